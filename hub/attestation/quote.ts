// T6 and T7: that a quote is over exactly the registers that the hub asked for, that the values beside it are the quoted ones, and
// that the TPM's clock has not gone back behind what it said before.
import { TAG } from '#shared/tpm/constants.ts'
import type { ClockInfo } from '#shared/tpm/attest.ts'
import { pcrDigest, type PcrSelection } from '#shared/tpm/pcr.ts'
import type { PcrBank, PcrValues } from '#shared/protocol/pcr-policy.ts'
import type { TpmHash } from '#shared/tpm/hash.ts'
import type { TpmPublic } from '#shared/tpm/public.ts'
import { openAttested } from './attested.ts'
import type { QuoteEvidence } from './evidence.ts'
import { refuse } from './refusal.ts'
import { requireClock } from './tpm-clock.ts'

/** What the hub asked to be quoted: one bank, registers ascending, at least one. */
export interface RequestedPcrs {
  readonly bank: PcrBank
  readonly indices: readonly number[]
}

export interface QuoteExpectation {
  readonly ak: { readonly public: TpmPublic }
  /** the whole of what the quote must be bound to */
  readonly extraData: Uint8Array
  readonly selection: RequestedPcrs
  /** what the same AK's last quote said, if there was one (T7) */
  readonly clock?: ClockInfo
  /** T7: refuse a clock that is not safe */
  readonly requireSafeClock?: boolean
}

export interface QuoteFacts {
  /** exactly the requested registers, proved */
  readonly pcrs: PcrValues
  readonly clock: ClockInfo
  /** lower-case hex; as the TPM gives it, which for an AK outside the endorsement hierarchy is obfuscated */
  readonly firmware: string
}

const HEX: Readonly<Record<PcrBank, RegExp>> = { sha256: /^[0-9a-f]{64}$/, sha384: /^[0-9a-f]{96}$/ }

/**
 * T6, T7. Throws what openAttested() throws, ZT-401-TPM-SELECTION (other registers or bank than asked for),
 * ZT-401-TPM-DIGEST (other values than quoted), ZT-401-TPM-CLOCK (rolled back), ZT-401-TPM-UNSAFE.
 */
export function verifyQuote(evidence: QuoteEvidence, expected: QuoteExpectation): QuoteFacts {
  const { ak, extraData, selection } = expected
  const structure = openAttested(evidence, { ak, type: TAG.attestQuote, extraData })
  const { attested, clockInfo, firmwareVersion } = structure
  if (attested.kind !== 'quote') throw refuse('ZT-401-TPM-TYPE', 'type', 'the attestation is not a quote')
  requireSelection(attested.pcrSelect, selection)
  const values = valuesOf(evidence.pcrs, selection)
  // Part 3 §18.4: the digest is made with the hash of the signing scheme.
  const digest = pcrDigest(values, hashOf(ak.public))
  if (Buffer.compare(digest, attested.pcrDigest) !== 0)
    throw refuse('ZT-401-TPM-DIGEST', 'digest', 'the PCR values are not those that were quoted')
  requireClock(clockInfo, expected)
  return Object.freeze({
    pcrs: evidence.pcrs,
    clock: clockInfo,
    firmware: firmwareVersion.toString(16).padStart(16, '0'),
  })
}

// A quote that selects nothing in further banks is refused as well: only one text of a selection is accepted.
function requireSelection(quoted: readonly PcrSelection[], { bank, indices }: RequestedPcrs): void {
  const [only] = quoted
  const same =
    quoted.length === 1 &&
    only?.bank === bank &&
    indices.length > 0 &&
    only.indices.length === indices.length &&
    only.indices.every((index, at) => index === indices[at])
  if (!same)
    throw refuse('ZT-401-TPM-SELECTION', 'selection', 'the quote is over other PCRs than were asked for')
}

/** The values in the order of the registers; the evidence must name exactly these. */
function valuesOf(pcrs: PcrValues, { bank, indices }: RequestedPcrs): Uint8Array[] {
  const named = Object.keys(pcrs)
  const values = indices.map((index) =>
    Object.hasOwn(pcrs, String(index)) ? pcrs[String(index)] : undefined,
  )
  if (
    named.length !== indices.length ||
    !values.every((value) => value !== undefined && HEX[bank].test(value))
  )
    throw refuse('ZT-401-TPM-DIGEST', 'values', 'the PCR values are of other registers than were asked for')
  return values.map((value) => Buffer.from(value ?? '', 'hex'))
}

function hashOf({ scheme }: TpmPublic): TpmHash {
  // openAttested() has refused an AK without a scheme.
  return scheme?.hash ?? 'sha256'
}
