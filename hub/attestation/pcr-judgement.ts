// T6 and T13: whether what a machine has started is what the policy accepts. Fails closed: a register that the policy names and
// the quote does not have matches nothing.
import type { NodeName } from '#shared/identity/names.ts'
import { acceptedSets, type PcrPolicy, type PcrSet, type PcrValues } from '#shared/protocol/pcr-policy.ts'
import { ZtError } from '#shared/errors/error.ts'

export interface JudgedPcrs {
  readonly node: NodeName
  /** proved by a quote */
  readonly pcrs: PcrValues
  /** UTC, milliseconds */
  readonly now: number
}

export interface PcrVerdict {
  /** name of the accepted set */
  readonly set: string
}

/**
 * The first set of the policy that the values match. Throws ZT-403-PCR; details.reason is `no-set` if no set is in force
 * for the node, `drift` otherwise, with the closest set and the registers in which it differs.
 */
export function judgePcrs(policy: PcrPolicy, { node, pcrs, now }: JudgedPcrs): PcrVerdict {
  let closest: { readonly set: PcrSet; readonly differing: readonly number[] } | undefined
  for (const set of acceptedSets(policy, node, now)) {
    const differing = policy.indices.filter((index) => !matches(set.values, pcrs, index))
    if (differing.length === 0) return { set: set.name }
    if (closest === undefined || differing.length < closest.differing.length) closest = { set, differing }
  }
  if (closest === undefined)
    throw new ZtError('ZT-403-PCR', 'no set of the PCR policy is in force for the node', {
      details: { reason: 'no-set', version: policy.version },
    })
  throw new ZtError('ZT-403-PCR', 'what the machine has started is not what the PCR policy accepts', {
    details: {
      reason: 'drift',
      version: policy.version,
      set: closest.set.name,
      pcrs: closest.differing.join(','),
    },
  })
}

function matches(expected: PcrValues, measured: PcrValues, index: number): boolean {
  const key = String(index)
  return Object.hasOwn(expected, key) && Object.hasOwn(measured, key) && expected[key] === measured[key]
}
