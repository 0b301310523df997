// The next PCR policy, not signed yet: what is in force, and a set of what a node has measured.
import { ZtError } from '#shared/errors/error.ts'
import type { NodeName } from '#shared/identity/names.ts'
import type { PcrPolicy } from '#shared/protocol/pcr-policy.ts'
import type { Quote } from './comparison.ts'

// A set's name has no more characters.
const MAX_LABEL = 63

/** ZT-403-PCR if the quote is not of the bank and the registers that the policy names. */
export function withMeasuredSet(
  policy: PcrPolicy,
  { name, quote }: { readonly name: NodeName; readonly quote: Quote },
): PcrPolicy {
  const values = Object.fromEntries(policy.indices.map((index) => [index, quote.pcrs[String(index)]]))
  if (quote.bank !== policy.bank || Object.values(values).includes(undefined))
    throw new ZtError(
      'ZT-403-PCR',
      'the node has not quoted what the policy in force names; wait for its next renewal',
    )
  const version = policy.version + 1
  const taken = new Set(policy.sets.map((set) => set.name))
  const day = new Date(quote.at).toISOString().slice(0, 10)
  const label = labelOf(name, `-${day}`)
  const free = taken.has(label) ? labelOf(name, `-${day}.${version}`) : label
  const set = { name: free, nodes: [name], values: values as Record<string, string> }
  return { ...policy, version, sets: [...policy.sets, set] }
}

/** As much of the node's name as there is room for before `tail`. */
function labelOf(name: NodeName, tail: string): string {
  return name.slice(0, MAX_LABEL - tail.length) + tail
}
