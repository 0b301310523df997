// ztctl pcr-policy show: the PCR policy in force, or the signed note itself.
import { PCR_POLICY_HEAD, type PcrPolicy } from '#shared/protocol/pcr-policy.ts'
import { readUnverifiedPolicy } from '../attestation/policy-in-force.ts'
import { withMesh } from '../client/live-mesh.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'
import { printJson, wantsJson } from '../output/print.ts'
import { safeText } from '../output/safe-text.ts'
import { renderTable } from '../output/table.ts'
import { rfc3339, shortDuration } from '../output/time.ts'

export async function execute(call: Invocation, io: Io): Promise<number> {
  const { policy: held } = await withMesh({ call, io }, ({ current }) => current.hub('pcr-policy.show', {}))
  const policy = held === null ? undefined : readUnverifiedPolicy(held.note)
  if (wantsJson(call)) {
    const applied = held && { at: rfc3339(held.appliedAt), by: held.appliedBy }
    printJson({ kind: 'PcrPolicy', policy: policy ?? null, note: held?.note ?? null, applied }, io)
  } else if (call.flags.has('quiet')) {
    io.stdout.write(held?.note ?? '')
  } else if (held === null || policy === undefined) {
    io.stdout.write('no PCR policy: a TPM proves which machine it is, and not what it has started\n')
  } else {
    print(policy, { ...held, call }, io)
  }
  return 0
}

interface Shown {
  readonly note: string
  readonly appliedAt: number
  readonly appliedBy: string
  readonly call: Invocation
}

function print(policy: PcrPolicy, { note, appliedAt, appliedBy, call }: Shown, io: Io): void {
  const now = io.clock.now()
  const { version, bank, indices, sets, eventLog = 'ignored' } = policy
  const by = `applied ${shortDuration(now - appliedAt)} ago by ${safeText(appliedBy)}`
  io.stdout.write(`PCR policy ${version}, ${by}, signed by ${signers(note).map(safeText).join(', ')}\n`)
  io.stdout.write(`quotes       ${bank} of PCR ${indices.join(', ')}; event log ${eventLog}\n`)
  const rows = sets.map(({ name, notAfter, nodes }) => [
    name,
    notAfter === undefined ? 'no end' : now < notAfter ? `${shortDuration(notAfter - now)} left` : 'ended',
    nodes?.join(', ') ?? 'all nodes',
  ])
  const showHeadings = !call.flags.has('no-headers')
  io.stdout.write(renderTable({ headings: ['SET', 'ACCEPTED', 'FOR'], rows, showHeadings }))
}

/** The names on the signature lines (C2SP signed-note): claims, which the hub has verified. */
function signers(note: string): string[] {
  const lines = note.slice(Math.max(PCR_POLICY_HEAD.length, note.lastIndexOf('\n\n') + 2)).split('\n')
  return lines.flatMap((line) => (line.startsWith('\u2014 ') ? [line.split(' ')[1] ?? ''] : []))
}
