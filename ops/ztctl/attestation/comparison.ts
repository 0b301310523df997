// Measured against expected, register by register, for each set of the PCR policy that is for a node. Computed here from
// the values themselves: what the hub concluded is not asked.
import type { InspectedSet, InspectedTpm, NodeInspection } from '#shared/protocol/node-inspection.ts'

export interface ComparedRegister {
  readonly pcr: number
  readonly measured: string
  readonly expected: string
  readonly same: boolean
}

export interface ComparedSet {
  readonly name: string
  /** UTC, milliseconds */
  readonly notAfter: number | null
  readonly ended: boolean
  readonly registers: readonly ComparedRegister[]
  /** every register is as expected, and the set has not ended */
  readonly accepts: boolean
}

export type Quote = NonNullable<InspectedTpm['quote']>

export function compare(
  quote: Quote,
  policy: NonNullable<NodeInspection['policy']>,
  now: number,
): ComparedSet[] {
  return policy.sets.map((set) => compareSet(quote, set, { now, sameBank: quote.bank === policy.bank }))
}

function compareSet(
  { pcrs }: Quote,
  { name, notAfter, values }: InspectedSet,
  { now, sameBank }: { readonly now: number; readonly sameBank: boolean },
): ComparedSet {
  const registers = Object.keys(values)
    .map(Number)
    .toSorted((a, b) => a - b)
    .map((pcr) => {
      const measured = (sameBank ? pcrs[String(pcr)] : undefined) ?? 'not quoted'
      const expected = values[String(pcr)] ?? ''
      return { pcr, measured, expected, same: measured === expected }
    })
  const ended = notAfter !== null && now >= notAfter
  return { name, notAfter, ended, registers, accepts: !ended && registers.every(({ same }) => same) }
}
