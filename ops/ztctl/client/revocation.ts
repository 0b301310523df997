// What the verbs that cut off and let in again have in common.
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { isZtError } from '#shared/errors/error.ts'
import { parseSpiffeId, principalOf, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import { lineField } from '#shared/protocol/fields.ts'
import type { DenyTarget, Grounds } from '#shared/protocol/hub-ops.ts'
import { isFingerprint } from '../grammar/fingerprint.ts'
import type { Invocation } from '../grammar/invocation.ts'
import { parseMoment } from '../grammar/moment.ts'
import { typedField } from '../grammar/typed.ts'
import { quoted, usageError } from '../grammar/usage-error.ts'
import type { Io } from '../io.ts'
import { printJson, wantsJson } from '../output/print.ts'
import { rfc3339 } from '../output/time.ts'
import type { Context } from './contexts.ts'
import type { Ended } from './end-processes.ts'

const FORMS =
  'write node/NAME, operator/NAME, ci/NAME, agent/NAME/task/ID, a whole spiffe:// ID, or a fingerprint: `whoami` prints one'

/**
 * A SPIFFE ID, in full or as `operator/alice` below the mesh's own trust domain; or one certificate by its fingerprint,
 * as `whoami` prints it or as `sha256:` and hex. Errors: ZT-400-USAGE.
 */
export function denyTarget(text: string, { td }: Context): DenyTarget {
  if (text.startsWith('sha256:')) return { thumbprint: thumbprintOfHex(text) }
  if (isFingerprint(text)) return { thumbprint: text }
  const id = idOf(text, td)
  const { kind, name } = principalOf(id)
  if (kind !== 'link') return { id }
  throw usageError(
    `${quoted(text)} is the connection of a node, and not denied by its name`,
    `name the node, node/${name}, or the fingerprint of the connection's certificate`,
  )
}

function idOf(text: string, td: string): SpiffeId {
  try {
    const id = parseSpiffeId(text.startsWith('spiffe://') ? text : `spiffe://${td}/${text}`)
    principalOf(id)
    return id
  } catch (error) {
    if (!isZtError(error, 'ZT-422-SPIFFE-ID')) throw error
    throw usageError(`${quoted(text)} is no identity of the mesh, and no fingerprint`, FORMS)
  }
}

function thumbprintOfHex(text: string): string {
  const hex = text.slice('sha256:'.length).replaceAll(':', '').toLowerCase()
  if (/^[0-9a-f]{64}$/.test(hex)) return encodeBase64url(Buffer.from(hex, 'hex'))
  throw usageError(
    `${quoted(text)} is no fingerprint`,
    'write sha256: and 64 hex digits, or what `whoami` prints',
  )
}

/** Why, and since when data is suspect, as the flags say. Errors: ZT-400-USAGE. */
export function groundsOf(call: Invocation, io: Io): Grounds {
  const reason = typedField(lineField, call.flags.one('reason') ?? 'revoked by an operator', {
    what: '--reason',
    hint: 'one line of at most 512 characters',
  })
  const since = call.flags.one('since')
  if (since === undefined) return { reason }
  return { reason, since: Math.floor(parseMoment(since, '--since', io.clock.now()) / 1000) }
}

export interface RevocationOutcome {
  readonly kind: 'Revocation' | 'Allowance'
  readonly id: SpiffeId
  readonly target: DenyTarget
  /** version of the deny list that says so */
  readonly ver: number
  /** what was done, to whom */
  readonly verb: string
  readonly grounds?: Grounds
  /** the processes that were ended with it */
  readonly ended?: readonly Ended[]
}

/** Prints what was done. */
export function reportRevocation(outcome: RevocationOutcome, call: Invocation, io: Io): void {
  const { kind, id, target, ver, verb, grounds, ended } = outcome
  const fingerprint = 'thumbprint' in target ? target.thumbprint : undefined
  if (wantsJson(call)) {
    const more = {
      ...(fingerprint !== undefined && { fingerprint }),
      ...(grounds?.since !== undefined && { since: rfc3339(grounds.since * 1000) }),
      ...(ended !== undefined && { ended }),
    }
    printJson({ kind, id, denyListVersion: ver, ...more }, io)
    return
  }
  const whom = fingerprint === undefined ? id : `certificate ${fingerprint} of ${id}`
  io.stdout.write(`${whom} ${verb} (deny list ${ver})\n`)
  reportEnded(ended ?? [], io)
}

/** Prints what was ended, for people. */
export function reportEnded(ended: readonly Ended[], io: Io): void {
  for (const { node, proc } of ended) io.stdout.write(`${node}/${proc} is ended\n`)
}
