// What each kind of command brings along for the checks 15 to 18. Preparing looks and changes nothing; what it took hold
// of is let go of if the command is refused after all.
import type { JsonObject } from '#shared/encoding/json-value.ts'
import type { RowReceipt } from '#shared/host/durable-log.ts'
import type { CapabilityClaims } from '#shared/protocol/capability.ts'
import type { Command } from '#shared/protocol/command.ts'
import type { CommandEnvelope } from '#shared/protocol/envelope.ts'
import type { VerifiedSvid } from '#shared/x509/svid.ts'
import type { PrivatePayload } from '../audit/private-payload.ts'
import type { Trail } from './trail.ts'

/** A command that passed checks 1 to 14. */
export interface GrantedCommand<C extends Command = Command> {
  readonly cmd: C
  readonly envelope: CommandEnvelope
  readonly sender: VerifiedSvid
  readonly claims: CapabilityClaims
  /** that signed the token */
  readonly hub: VerifiedSvid
  readonly trail: Trail
  /** of the monotonic clock, when the message came */
  readonly arrivedNs: bigint
}

/** What came of a command. */
export interface Completion {
  /** goes into the receipt */
  readonly result: unknown
  /** newest row about it: its checkpoint covers all of them */
  readonly row: RowReceipt
  /** begins what comes after the receipt, such as a stream of output */
  readonly afterwards?: () => void
}

export interface PreparedCommand {
  /** what the `cmd.accepted` row says about it: never argv, environment or output */
  readonly obj: JsonObject
  readonly payload?: PrivatePayload
  /** SQL that goes into the transaction of that row; what it throws undoes all of it */
  readonly record?: () => void
  /** Called once, after the row is on disk: from here on nothing is undone. */
  run(accepted: RowReceipt): Promise<Completion>
  /** Called instead of run() if the command is refused after it was prepared. */
  release(): void
  /**
   * After run() has rejected: whether it is sure that nothing came of the command. If not, it stays open in the log,
   * and whoever finds out what became of it writes that.
   */
  cameToNothing(): boolean
  /** SQL beside the row that says that it came to nothing */
  readonly recordNothing?: () => void
}

/** Check 15. ZT-412-FACT, ZT-404-PROC and so on: what the machine itself does not allow or does not have. */
export type Preparer<C extends Command = Command> = (granted: GrantedCommand<C>) => Promise<PreparedCommand>
