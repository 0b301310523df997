// A signing key of a real swtpm: certified by the attestation key, put aside between two uses, and of use nowhere else.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it, type TestContext } from 'node:test'
import { TpmAttester } from '#shared/host/tpm/attester.ts'
import { parseAttest } from '#shared/tpm/attest.ts'
import { nameOf, parsePublic2b, type TpmPublic } from '#shared/tpm/public.ts'
import { parseTpmSignature, verifyTpmSignature } from '#shared/tpm/signature.ts'
import { startSwtpm, type Swtpm } from '#test/support/swtpm.ts'

const NONCE = new Uint8Array(32).fill(7)
const DATA = Buffer.from('to be signed')
const DIGEST = createHash('sha256').update(DATA).digest()

async function opened(t: TestContext, tpm: Swtpm): Promise<TpmAttester> {
  const attester = await TpmAttester.open(tpm.open())
  t.after(() => attester.close())
  return attester
}

const isSignedBy = (area: TpmPublic, signature: Uint8Array, data: Uint8Array): boolean =>
  verifyTpmSignature(area, parseTpmSignature(signature), data)

describe('a signing key in a tpm', () => {
  it('is certified by the attestation key, and its signatures verify', async (t) => {
    const attester = await opened(t, await startSwtpm(t))
    const [ak, key] = [await attester.createAk(), await attester.createSigningKey()]
    const said = await attester.certify(ak, key, NONCE)
    assert.ok(isSignedBy(parsePublic2b(ak.public), said.signature, said.attest))
    const { attested, extraData } = parseAttest(said.attest)
    assert.deepEqual(extraData, NONCE)
    const area = parsePublic2b(key.public)
    assert.ok(attested.kind === 'certify')
    assert.deepEqual(attested.name, nameOf(area))
    assert.ok(isSignedBy(area, await attester.sign(key, DIGEST), DATA))
  })

  it('signs again after the device was closed and opened', async (t) => {
    const tpm = await startSwtpm(t)
    const first = await opened(t, tpm)
    const key = await first.createSigningKey()
    await first.close()
    const again = await opened(t, tpm)
    assert.ok(isSignedBy(parsePublic2b(key.public), await again.sign(key, DIGEST), DATA))
  })

  it('does not sign in another TPM', async (t) => {
    const key = await (await opened(t, await startSwtpm(t))).createSigningKey()
    const other = await opened(t, await startSwtpm(t))
    await assert.rejects(other.sign(key, DIGEST), { code: 'ZT-503-TPM' })
  })

  it('does not sign after a reset', async (t) => {
    const tpm = await startSwtpm(t)
    const before = await opened(t, tpm)
    const key = await before.createSigningKey()
    await before.close()
    await tpm.reset()
    await assert.rejects((await opened(t, tpm)).sign(key, DIGEST), { code: 'ZT-503-TPM' })
  })
})
