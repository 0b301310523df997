// Where the code of each verb is. Every import is lazy: `ztctl version` loads nothing of `ztctl run`.
import type { Io } from './io.ts'
import type { Invocation } from './grammar/invocation.ts'
import type { VerbName } from './grammar/verb-spec.ts'

/** Does what was asked and resolves to the exit status; what it throws is reported by main. */
export type Execute = (call: Invocation, io: Io) => Promise<number>

export const LOADERS: Readonly<Record<VerbName, () => Promise<{ execute: Execute }>>> = {
  allow: () => import('./verbs/allow.ts'),
  'audit verify': () => import('./verbs/audit-verify.ts'),
  'bundle import': () => import('./verbs/bundle-import.ts'),
  'bundle show': () => import('./verbs/bundle-show.ts'),
  'can-i': () => import('./verbs/can-i.ts'),
  'ceremony anchor': () => import('./verbs/ceremony-anchor.ts'),
  completion: () => import('./verbs/completion.ts'),
  doctor: () => import('./verbs/doctor.ts'),
  'federation bundle': () => import('./verbs/federation-bundle.ts'),
  'federation ls': () => import('./verbs/federation-ls.ts'),
  help: () => import('./verbs/help.ts'),
  kill: () => import('./verbs/kill.ts'),
  'ladder import': () => import('./verbs/ladder-import.ts'),
  'ladder request': () => import('./verbs/ladder-request.ts'),
  'ladder status': () => import('./verbs/ladder-status.ts'),
  'ladder usage': () => import('./verbs/ladder-usage.ts'),
  login: () => import('./verbs/login.ts'),
  logout: () => import('./verbs/logout.ts'),
  logs: () => import('./verbs/logs.ts'),
  'node attest': () => import('./verbs/node-attest.ts'),
  'node inspect': () => import('./verbs/node-inspect.ts'),
  'node join-token': () => import('./verbs/node-join-token.ts'),
  'node ls': () => import('./verbs/node-ls.ts'),
  'node revoke': () => import('./verbs/node-revoke.ts'),
  'pcr-policy apply': () => import('./verbs/pcr-policy-apply.ts'),
  'pcr-policy draft': () => import('./verbs/pcr-policy-draft.ts'),
  'pcr-policy keygen': () => import('./verbs/pcr-policy-keygen.ts'),
  'pcr-policy show': () => import('./verbs/pcr-policy-show.ts'),
  'pcr-policy sign': () => import('./verbs/pcr-policy-sign.ts'),
  ps: () => import('./verbs/ps.ts'),
  revoke: () => import('./verbs/revoke.ts'),
  run: () => import('./verbs/run.ts'),
  spawn: () => import('./verbs/spawn.ts'),
  version: () => import('./verbs/version.ts'),
  whoami: () => import('./verbs/whoami.ts'),
}
