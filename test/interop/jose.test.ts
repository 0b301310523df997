import assert from 'node:assert/strict'
import { createHash, createPrivateKey, createPublicKey, sign } from 'node:crypto'
import { describe, it } from 'node:test'
import * as jose from 'jose'
import { encodeBase64 } from '#shared/encoding/base64url.ts'
import { openJwe, sealJwe } from '#shared/jose/jwe.ts'
import { parseJws, signJws, verifyJws, type SvidSigner } from '#shared/jose/jws.ts'
import { generateP256, generateX25519, thumbprint, x25519PublicKey, x25519Raw } from '#shared/jose/keys.ts'

const leaf = Buffer.from('leaf certificate')
const intermediate = Buffer.from('intermediate certificate')
const keys = generateP256()
const signer: SvidSigner = {
  alg: 'ES256',
  x5c: [leaf, intermediate],
  sign: (data) => sign('sha256', data, { key: keys.privateKey, dsaEncoding: 'ieee-p1363' }),
}
const payload = Buffer.from('{"hello":"world"}')
const receiver = generateX25519()

describe('jose, a library of others', () => {
  it('verifies the jws that is made here, if it is told of our critical parameter', async () => {
    const text = signJws({ typ: 'zt-cmd+jws', payload, signer })
    const verified = await jose.compactVerify(text, keys.publicKey, {
      algorithms: ['ES256'],
      crit: { zt: true },
    })
    assert.deepEqual(Buffer.from(verified.payload), payload)
    assert.equal(verified.protectedHeader['x5t#S256'], createHash('sha256').update(leaf).digest('base64url'))
    assert.equal(verified.protectedHeader.x5c?.[1], intermediate.toString('base64'))
  })

  it('refuses our jws as long as it does not know our critical parameter', async () => {
    const text = signJws({ typ: 'zt-cmd+jws', payload, signer })
    await assert.rejects(jose.compactVerify(text, keys.publicKey), { code: 'ERR_JOSE_NOT_SUPPORTED' })
  })

  it('makes a jws that is accepted here', async () => {
    const text = await new jose.CompactSign(payload)
      .setProtectedHeader({
        alg: 'ES256',
        typ: 'zt-cmd+jws',
        x5c: [leaf, intermediate].map((der) => encodeBase64(der)),
        'x5t#S256': thumbprint(leaf),
        crit: ['zt'],
        zt: 1,
      })
      .sign(keys.privateKey, { crit: { zt: true } })
    const jws = parseJws(text, { typ: 'zt-cmd+jws', maxBytes: 8192 })
    assert.deepEqual(Buffer.from(verifyJws(jws, keys.publicKey)), payload)
  })

  it('opens the jwe that is made here', async () => {
    const text = sealJwe(payload, {
      kid: 'k1',
      publicKey: receiver.publicKey,
      typ: 'zt-env+jwe',
      cty: 'zt-cmd+jws',
    })
    const opened = await jose.compactDecrypt(text, receiver.privateKey, {
      keyManagementAlgorithms: ['ECDH-ES'],
      contentEncryptionAlgorithms: ['A256GCM'],
    })
    assert.deepEqual(Buffer.from(opened.plaintext), payload)
    assert.equal(opened.protectedHeader.kid, 'k1')
  })

  it('makes a jwe that is opened here', async () => {
    const text = await new jose.CompactEncrypt(payload)
      .setProtectedHeader({ alg: 'ECDH-ES', enc: 'A256GCM', typ: 'zt-env+jwe', cty: 'zt-cmd+jws', kid: 'k1' })
      .encrypt(x25519PublicKey(receiver.publicKey))
    const opened = openJwe(text, {
      typ: 'zt-env+jwe',
      cty: 'zt-cmd+jws',
      maxBytes: 8192,
      key: (kid) => (kid === 'k1' ? receiver.privateKey : undefined),
    })
    assert.deepEqual(Buffer.from(opened.plaintext), payload)
  })

  it('reads the x25519 and P-256 keys of this side', async () => {
    const jwk = await jose.exportJWK(x25519PublicKey(receiver.publicKey))
    assert.equal(jwk.x, Buffer.from(receiver.publicKey).toString('base64url'))
    const back = createPublicKey({ key: jwk as { kty: string }, format: 'jwk' })
    assert.deepEqual(x25519Raw(back), receiver.publicKey)
    const privateJwk = await jose.exportJWK(receiver.privateKey)
    assert.ok(createPrivateKey({ key: privateJwk as { kty: string }, format: 'jwk' }))
  })
})
