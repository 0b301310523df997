// T7: a TPM counts its resets and its time, and both only go up while an AK exists: TPM2_Clear sets them to zero and destroys the
// AK with its hierarchy. So a clock that went back is that of a restored snapshot of a virtual TPM.
import type { ClockInfo } from '#shared/tpm/attest.ts'
import { refuse } from './refusal.ts'

export interface ClockExpectation {
  /** what the same AK's last quote said */
  readonly clock?: ClockInfo
  readonly requireSafeClock?: boolean
}

/**
 * Throws ZT-401-TPM-CLOCK if the TPM was rolled back since `expected.clock`, ZT-401-TPM-UNSAFE if a safe clock is required
 * and this is none.
 */
export function requireClock(now: ClockInfo, expected: ClockExpectation): void {
  if (expected.requireSafeClock === true && !now.safe)
    throw refuse('ZT-401-TPM-UNSAFE', 'safe', 'the TPM does not vouch for its clock after an unclean stop')
  const before = expected.clock
  if (before === undefined) return
  const resets = forward(before.resetCount, now.resetCount)
  if (resets < 0) throw rolledBack('reset-count')
  // The clock is kept in non-volatile memory now and then only: after a reset, and after nothing else, it may lose a little.
  if (resets > 0) return
  const restarts = forward(before.restartCount, now.restartCount)
  if (restarts < 0) throw rolledBack('restart-count')
  if (now.clock < before.clock) throw rolledBack('clock')
}

/**
 * How far a 32-bit counter went, negative if back. To keep machines apart, a TPM adds a constant of the AK to both
 * counters unless the AK is in the endorsement hierarchy (Part 1 §36.7), modulo 2^32: so the difference counts, not the
 * order.
 */
function forward(from: number, to: number): number {
  return (to - from) | 0
}

function rolledBack(reason: string): Error {
  return refuse('ZT-401-TPM-CLOCK', reason, 'the clock of the TPM went back: a snapshot was restored')
}
