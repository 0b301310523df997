// ztctl pcr-policy draft: the next PCR policy, not signed yet: what is in force, and a set of what a node has measured. The
// values are proved by a quote; whether they are good ones is for whoever signs.
import { ZtError } from '#shared/errors/error.ts'
import { parseNodeName } from '#shared/identity/names.ts'
import { trustDomainOf, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import type { NodeInspection } from '#shared/protocol/node-inspection.ts'
import { parsePcrPolicy, type PcrPolicy } from '#shared/protocol/pcr-policy.ts'
import type { Quarantine } from '#shared/protocol/quarantine.ts'
import { readUnverifiedPolicy } from '../attestation/policy-in-force.ts'
import type { Quote } from '../attestation/comparison.ts'
import { withMeasuredSet } from '../attestation/draft.ts'
import { withMesh } from '../client/live-mesh.ts'
import { fetchQuarantine, spanOf } from '../client/quarantine.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'

export async function execute(call: Invocation, io: Io): Promise<number> {
  const name = parseNodeName(call.operands[0])
  const [node, { policy: held }, quarantine] = await withMesh({ call, io }, ({ current }) =>
    Promise.all([
      current.hub('node.inspect', { node: name }),
      current.hub('pcr-policy.show', {}),
      fetchQuarantine(current),
    ]),
  )
  const quote = node.tpm?.quote ?? null
  if (quote === null) throw new ZtError('ZT-412-TPM', 'the node has no TPM, or has not quoted yet')
  requireClean(node.id, quote, quarantine)
  const before = held === null ? firstPolicy(node, quote) : readUnverifiedPolicy(held.note)
  const draft = withMeasuredSet(before, { name, quote })
  io.stdout.write(`${JSON.stringify(parsePcrPolicy(draft, ''), undefined, 2)}\n`)
  return 0
}

/** What becomes policy is believed of every node later: a suspect quote is none to begin with. ZT-403-REVOKED. */
export function requireClean(id: SpiffeId, { at }: Pick<Quote, 'at'>, quarantine: Quarantine): void {
  const suspicion = quarantine.ofNodeAt(id, at)
  if (suspicion === undefined) return
  throw new ZtError(
    'ZT-403-REVOKED',
    `the newest quote of the node is quarantined: ${spanOf(suspicion)}: ${suspicion.reason}`,
    { details: { hint: 'measure another node, or this one when it has quoted after that time' } },
  )
}

function firstPolicy({ id }: NodeInspection, { bank, pcrs }: Quote): PcrPolicy {
  const td = trustDomainOf(id)
  const indices = Object.keys(pcrs)
    .map(Number)
    .toSorted((a, b) => a - b)
  return { v: 1, td, version: 0, bank, indices, sets: [] }
}
