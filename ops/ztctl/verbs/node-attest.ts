// ztctl node attest: what a node's TPM has measured, beside what the PCR policy expects. Exit status 1: no set accepts it.
import { ZtError } from '#shared/errors/error.ts'
import { parseNodeName } from '#shared/identity/names.ts'
import type { NodeInspection } from '#shared/protocol/node-inspection.ts'
import type { Suspicion } from '#shared/protocol/quarantine.ts'
import { compare, type ComparedSet, type Quote } from '../attestation/comparison.ts'
import { withMesh } from '../client/live-mesh.ts'
import { fetchQuarantine, quarantinedJson, warnOf } from '../client/quarantine.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'
import { printJson, wantsJson } from '../output/print.ts'
import { safeText } from '../output/safe-text.ts'
import { renderTable } from '../output/table.ts'
import { rfc3339, shortDuration } from '../output/time.ts'

const NOT_ACCEPTED = 1

export async function execute(call: Invocation, io: Io): Promise<number> {
  const name = parseNodeName(call.operands[0])
  const [node, quarantine] = await withMesh({ call, io }, ({ current }) =>
    Promise.all([current.hub('node.inspect', { node: name }), fetchQuarantine(current)]),
  )
  const quote = node.tpm?.quote ?? null
  if (quote === null) throw new ZtError('ZT-412-TPM', 'the node has no TPM, or has not quoted yet')
  const now = io.clock.now()
  const sets = node.policy === null ? undefined : compare(quote, node.policy, now)
  const accepted = sets === undefined ? null : sets.some(({ accepts }) => accepts)
  const suspicion = quarantine.ofNodeAt(node.id, quote.at)
  if (wantsJson(call)) printJson(json({ node, quote, sets, accepted, suspicion }), io)
  else print({ node, quote, sets }, call, io)
  if (suspicion !== undefined) warnOf(`the quote of ${name}`, suspicion, io)
  return accepted === false ? NOT_ACCEPTED : 0
}

interface Compared {
  readonly node: NodeInspection
  readonly quote: Quote
  /** undefined while the hub has no PCR policy */
  readonly sets: readonly ComparedSet[] | undefined
}

function print({ node, quote, sets }: Compared, call: Invocation, io: Io): void {
  const now = io.clock.now()
  const { resets, restarts } = quote.clock
  const head = `quoted ${shortDuration(now - quote.at)} ago, after ${resets} resets and ${restarts} restarts`
  const showHeadings = !call.flags.has('no-headers')
  if (sets === undefined) {
    io.stdout.write(`${head}; the hub has no PCR policy, so any values are accepted\n`)
    const rows = Object.entries(quote.pcrs).map(([pcr, value]) => [pcr, value])
    io.stdout.write(renderTable({ headings: ['PCR', `MEASURED (${quote.bank})`], rows, showHeadings }))
    return
  }
  io.stdout.write(`${head}; PCR policy ${node.policy?.version ?? ''}, ${quote.bank}\n`)
  if (sets.length === 0) io.stdout.write('no set of the policy is for this node\n')
  for (const set of sets) {
    io.stdout.write(`\nset ${safeText(set.name)}: ${verdict(set)}, ${end(set, now)}\n`)
    const rows = set.registers.map(({ pcr, measured, expected, same }) => [
      String(pcr),
      same ? 'same' : 'DIFFERS',
      measured,
      same ? '' : expected,
    ])
    io.stdout.write(renderTable({ headings: ['PCR', '', 'MEASURED', 'EXPECTED'], rows, showHeadings }))
  }
}

function verdict({ accepts, registers }: ComparedSet): string {
  const differing = registers.filter(({ same }) => !same).map(({ pcr }) => pcr)
  if (differing.length > 0) return `differs in PCR ${differing.join(', ')}`
  return accepts ? 'accepts' : 'would accept'
}

function end({ notAfter, ended }: ComparedSet, now: number): string {
  if (notAfter === null) return 'has no end'
  return ended ? `ended ${shortDuration(now - notAfter)} ago` : `ends in ${shortDuration(notAfter - now)}`
}

function json({
  node,
  quote,
  sets,
  accepted,
  suspicion,
}: Compared & { accepted: boolean | null; suspicion: Suspicion | undefined }): Record<string, unknown> {
  return {
    kind: 'NodeMeasurements',
    node: node.name,
    quoted: rfc3339(quote.at),
    bank: quote.bank,
    pcrs: quote.pcrs,
    clock: quote.clock,
    policy: node.policy && { version: node.policy.version, digest: node.policy.digest },
    accepted,
    quarantined: quarantinedJson(suspicion),
    sets: sets?.map(({ notAfter, ...set }) => ({ ...set, notAfter: rfc3339(notAfter ?? undefined) })) ?? null,
  }
}
