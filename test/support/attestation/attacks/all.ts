// Every case of the corpus, made from a rig: those that put a TPM out of order come last.
import type { AttackCase } from '../case.ts'
import type { Rig } from '../rig.ts'
import { endorsementCases } from './endorsements.ts'
import { eventLogCases } from './event-logs.ts'
import { genuineCases } from './genuine.ts'
import { keyCases } from './keys.ts'
import { malformedCases } from './malformed.ts'
import { quoteCases } from './quotes.ts'
import { stateCases } from './states.ts'

/** Takes some seconds. */
export async function allCases(rig: Rig): Promise<readonly AttackCase[]> {
  return [
    ...(await quoteCases(rig)),
    ...(await keyCases(rig)),
    ...(await endorsementCases(rig)),
    ...(await malformedCases(rig)),
    ...(await eventLogCases(rig)),
    ...(await genuineCases(rig)),
    ...(await stateCases(rig)),
  ]
}
