import assert from 'node:assert/strict'
import { createPrivateKey, generateKeyPairSync } from 'node:crypto'
import { describe, it } from 'node:test'
import {
  generateP256,
  generateX25519,
  publicKeyFromSpki,
  spkiOf,
  thumbprint,
  x25519Agree,
  x25519PublicKey,
  x25519Raw,
} from '#shared/jose/keys.ts'

describe('p-256 keys', () => {
  it('survive their DER form', () => {
    const pair = generateP256()
    assert.deepEqual(spkiOf(publicKeyFromSpki(pair.spki)), pair.spki)
  })

  const p256 = Buffer.from(generateP256().spki)
  const compressed = Buffer.concat([
    Buffer.from('3039301306072a8648ce3d020106082a8648ce3d030107032200', 'hex'),
    Buffer.from([2 + ((p256.at(-1) ?? 0) & 1)]),
    p256.subarray(27, 59),
  ])
  const der = (key: { export: (o: { type: 'spki'; format: 'der' }) => Buffer }): Buffer =>
    key.export({ type: 'spki', format: 'der' })
  const refused: Record<string, Buffer> = {
    nothing: Buffer.alloc(0),
    noise: Buffer.alloc(91, 7),
    'a P-384 key': der(generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey),
    'a secp256k1 key': der(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey),
    'an Ed25519 key': der(generateKeyPairSync('ed25519').publicKey),
    'an RSA key': der(generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey),
    'a point that is not on the curve': Buffer.concat([p256.subarray(0, 60), Buffer.alloc(31, 1)]),
    'a compressed point': compressed,
    'bytes after the key': Buffer.concat([p256, Buffer.from([0])]),
    'a key that is cut off': p256.subarray(0, 90),
  }
  for (const [what, bytes] of Object.entries(refused)) {
    it(`refuse ${what}`, () => assert.throws(() => publicKeyFromSpki(bytes), { code: 'ZT-400-MALFORMED' }))
  }
})

describe('x25519 keys', () => {
  it('agree on the secret of RFC 7748 §6.1', () => {
    const bob = createPrivateKey({
      key: Buffer.from(
        '302e020100300506032b656e042204205dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb',
        'hex',
      ),
      format: 'der',
      type: 'pkcs8',
    })
    const alice = Buffer.from('8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a', 'hex')
    assert.equal(
      Buffer.from(x25519Agree(bob, alice)).toString('hex'),
      '4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742',
    )
  })

  it('survive their raw form', () => {
    const { publicKey } = generateX25519()
    assert.equal(publicKey.length, 32)
    assert.deepEqual(x25519Raw(x25519PublicKey(publicKey)), publicKey)
  })

  for (const length of [0, 31, 33, 44]) {
    it(`refuse ${length} bytes`, () => {
      assert.throws(() => x25519PublicKey(new Uint8Array(length)), { code: 'ZT-400-MALFORMED' })
    })
  }

  // The points of small order, https://cr.yp.to/ecdh.html: with them the secret is zero whatever the private key.
  const lowOrder: readonly string[] = [
    '00'.repeat(32),
    `01${'00'.repeat(31)}`,
    'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
    '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
    `ec${'ff'.repeat(30)}7f`,
    `ed${'ff'.repeat(30)}7f`,
    `ee${'ff'.repeat(30)}7f`,
  ]
  for (const hex of lowOrder) {
    it(`refuse the point of small order ${hex.slice(0, 8)}`, () => {
      const { privateKey } = generateX25519()
      assert.throws(() => x25519Agree(privateKey, Buffer.from(hex, 'hex')), { code: 'ZT-400-MALFORMED' })
    })
  }
})

describe('thumbprint', () => {
  it('is the base64url SHA-256 of the certificate', () => {
    assert.equal(thumbprint(Buffer.from('abc')), 'ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0')
  })
})
