// What carries commands to a TPM, and the first question to whatever comes back: how long it says it is.
import { ZtError } from '#shared/errors/error.ts'
import { MAX_TPM_BYTES } from '#shared/tpm/wire.ts'

/** Carries one command and its response; the device above it does the rest. */
export interface TpmTransport {
  /** Rejects, after `signal` aborts too; what is still to come then must never be the answer to a later command. */
  exchange(command: Uint8Array, signal: AbortSignal): Promise<Uint8Array>
  close(): Promise<void>
}

const HEADER_BYTES = 10

/** How many bytes a response that begins with `bytes` has, once that can be said. Throws ZT-422-TPM if it is out of range. */
export function announcedBytes(bytes: Uint8Array): number | undefined {
  if (bytes.length < 6) return undefined
  const announced = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).readUInt32BE(2)
  if (announced < HEADER_BYTES || announced > MAX_TPM_BYTES)
    throw new ZtError('ZT-422-TPM', `tpm response says it has ${announced} bytes`)
  return announced
}
