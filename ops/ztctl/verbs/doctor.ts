// ztctl doctor: what works on this machine, what does not, and the remedy. Exit code 1 if anything fails.
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'
import type { Check, CheckInput, CheckResult } from '../doctor/check.ts'
import { checkHub } from '../doctor/hub.ts'
import { checkSessionDir, checkSofthsm } from '../doctor/keys.ts'
import { checkCgroup, checkSandbox, checkUserNamespaces } from '../doctor/sandbox.ts'
import { checkSwtpm, checkTpm } from '../doctor/tpm.ts'
import { checkFrpc, checkFrps, checkNats, checkNode } from '../doctor/versions.ts'
import { currentUid } from '../client/user.ts'
import { printListing } from '../output/print.ts'

const LOCAL: readonly Check[] = [
  checkNode,
  checkSessionDir,
  checkSandbox,
  checkUserNamespaces,
  checkCgroup,
  checkTpm,
  checkNats,
  checkSofthsm,
  checkFrps,
  checkFrpc,
  checkSwtpm,
]

export async function execute(call: Invocation, io: Io): Promise<number> {
  const input: CheckInput = { env: io.env, uid: currentUid() }
  const checks: readonly Check[] = [...LOCAL, (given) => checkHub(call, io, given)]
  const items = await Promise.all(checks.map((check) => check(input)))
  const failed = items.filter((item) => item.state === 'fail').length
  printListing(listing(items, failed), call, io)
  return failed === 0 ? 0 : 1
}

function listing(
  items: readonly CheckResult[],
  failed: number,
): Parameters<typeof printListing<CheckResult>>[0] {
  return {
    kind: 'DoctorReport',
    headings: ['STATE', 'CHECK', 'NEEDED BY', 'DETAIL'],
    items,
    extra: { ok: failed === 0 },
    toName: (item) => `${item.state} ${item.name}`,
    toRow: ({ state, name, neededBy, detail, remedy }) => [
      state,
      name,
      neededBy,
      remedy === undefined ? detail : `${detail}; remedy: ${remedy}`,
    ],
    toJson: ({ name, state, neededBy, detail, remedy }) => ({
      name,
      state,
      neededBy,
      detail,
      remedy: remedy ?? null,
    }),
  }
}
