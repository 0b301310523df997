// What the platform configuration registers hold, and a quote of just that: registers may change at any time between two
// commands, so both are taken until they agree.
import { ZtError } from '#shared/errors/error.ts'
import { parseAttest } from '#shared/tpm/attest.ts'
import { quote, type Attestation, type QuoteInput } from '#shared/tpm/attest-calls.ts'
import type { TpmHash } from '#shared/tpm/hash.ts'
import { pcrDigest, type PcrSelection } from '#shared/tpm/pcr.ts'
import { pcrRead } from '#shared/tpm/platform-calls.ts'
import { malformedTpm } from '#shared/tpm/wire.ts'
import type { TpmCommands } from './commands.ts'

interface RegisterValues {
  /** by index, ascending */
  readonly values: ReadonlyMap<number, Uint8Array>
  readonly updateCounter: number
}

export interface Quote extends Attestation {
  /** by index, ascending: what the quote's digest is of */
  readonly pcrs: ReadonlyMap<number, Uint8Array>
}

// A boot extends registers by the hundred in a second, and is over before a node agent starts.
const MAX_ATTEMPTS = 10

/**
 * A quote and the values that it is of. Throws ZT-503-TPM if the registers change faster than they can be read, or the
 * TPM does not keep the bank; ZT-422-TPM if the TPM quotes something else than it says it holds.
 */
export async function quoteRegisters(
  tpm: TpmCommands,
  input: QuoteInput & { readonly hash: TpmHash },
): Promise<Quote> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
    const before = await readRegisters(tpm, input.selection)
    const made = await tpm.run(quote(input))
    const { attested } = parseAttest(made.attest)
    if (attested.kind !== 'quote') throw malformedTpm('tpm quote', 'is of another kind')
    const expected = pcrDigest([...before.values.values()], input.hash)
    if (Buffer.compare(attested.pcrDigest, expected) === 0) return { ...made, pcrs: before.values }
    // Some registers (16, 23) do not count their changes: then the second reading alone tells.
    const after = await readRegisters(tpm, input.selection)
    if (after.updateCounter === before.updateCounter && sameValues(after, before))
      throw malformedTpm('tpm quote', 'is not of what the registers hold')
  }
  throw changing()
}

/** The values of one moment. Throws ZT-503-TPM if there is no such moment, or the TPM does not keep the bank. */
async function readRegisters(tpm: TpmCommands, selection: PcrSelection): Promise<RegisterValues> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
    const read = await readOnce(tpm, selection)
    if (read !== undefined) return read
  }
  throw changing()
}

/** Undefined if a register changed between two responses. */
async function readOnce(
  tpm: TpmCommands,
  { bank, indices }: PcrSelection,
): Promise<RegisterValues | undefined> {
  const values = new Map<number, Uint8Array>()
  let updateCounter: number | undefined
  for (let missing = indices; missing.length > 0;) {
    const part = await tpm.run(pcrRead({ bank, indices: missing }))
    if (updateCounter !== undefined && updateCounter !== part.updateCounter) return undefined
    updateCounter = part.updateCounter
    if (part.values.length === 0) throw noBank(bank)
    part.selection.indices.forEach((index, at) => values.set(index, part.values[at] ?? new Uint8Array()))
    missing = missing.filter((index) => !values.has(index))
  }
  const ascending = [...values].toSorted(([a], [b]) => a - b)
  return { values: new Map(ascending), updateCounter: updateCounter ?? 0 }
}

function sameValues(a: RegisterValues, b: RegisterValues): boolean {
  return [...a.values].every(
    ([index, value]) => Buffer.compare(value, b.values.get(index) ?? new Uint8Array()) === 0,
  )
}

function noBank(bank: TpmHash): ZtError {
  const reason = `no registers of ${bank}`
  return new ZtError('ZT-503-TPM', `the TPM keeps ${reason}`, { details: { reason } })
}

function changing(): ZtError {
  const reason = 'registers keep changing'
  return new ZtError('ZT-503-TPM', `tpm: ${reason}`, { details: { reason } })
}
