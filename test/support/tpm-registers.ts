// The registers of a real TPM, extended by what a machine would have measured: the product only ever reads them.
import assert from 'node:assert/strict'
import type { TpmDevice } from '#shared/host/tpm/device.ts'
import { HANDLE, TAG } from '#shared/tpm/constants.ts'
import { hashId } from '#shared/tpm/hash.ts'
import { TpmWriter } from '#shared/tpm/wire.ts'

const PCR_EXTEND = 0x182
const HEADER_BYTES = 10

/** TPM2_PCR_Extend (TPM 2.0 Part 3 §22.2) in the bank of SHA-256, by an empty password. */
export async function extendRegister(device: TpmDevice, index: number, digest: Uint8Array): Promise<void> {
  const auth = new TpmWriter().u32(HANDLE.password).u16(0).u8(0).u16(0).done()
  const values = new TpmWriter().u32(1).u16(hashId('sha256')).bytes(digest).done()
  const body = new TpmWriter().u32(index).u32(auth.length).bytes(auth).bytes(values).done()
  const header = new TpmWriter()
    .u16(TAG.sessions)
    .u32(HEADER_BYTES + body.length)
    .u32(PCR_EXTEND)
  const response = Buffer.from(await device.send(header.bytes(body).done()))
  assert.equal(response.readUInt32BE(6), 0, `the response code to an extension of register ${index}`)
}
