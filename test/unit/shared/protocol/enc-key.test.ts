import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { generateX25519 } from '#shared/jose/keys.ts'
import { ENC_KEY_TYP, encKeyId, openEncKey, signEncKey } from '#shared/protocol/enc-key.ts'
import { signStatement } from '#shared/protocol/signed.ts'
import { createProtocolFixture, NOW_S, type ProtocolFixture } from '#test/support/protocol-fixture.ts'
import { createTestAuthority, TEST_NOW } from '#test/support/test-authority.ts'

const { publicKey } = generateX25519()
let fixture: ProtocolFixture
before(async () => {
  fixture = await createProtocolFixture()
})

const context = (): Parameters<typeof openEncKey>[1] => ({
  trust: fixture.trust,
  now: TEST_NOW,
  owner: fixture.node.id,
})
const body = (): Record<string, unknown> => ({
  v: 1,
  iss: fixture.node.id,
  kid: encKeyId(publicKey),
  x25519: encodeBase64url(publicKey),
  iat: NOW_S,
  exp: NOW_S + 60,
})

describe('encryption key statement', () => {
  it('vouches for a key until the SVID ends', () => {
    const key = openEncKey(signEncKey(fixture.node, publicKey, TEST_NOW), context())
    assert.equal(key.owner, fixture.node.id)
    assert.deepEqual(key.publicKey, publicKey)
    assert.equal(key.expires, fixture.node.notAfter)
  })

  it("is refused for another owner than the one that is asked for, also by that owner's word", () => {
    const other = signEncKey(fixture.otherNode, publicKey, TEST_NOW)
    assert.throws(() => openEncKey(other, context()), { code: 'ZT-421-MISDIRECTED' })
    const forged = signStatement(fixture.otherNode, ENC_KEY_TYP, body())
    assert.throws(() => openEncKey(forged, context()), { code: 'ZT-421-MISDIRECTED' })
    const disowned = signStatement(fixture.node, ENC_KEY_TYP, { ...body(), iss: fixture.otherNode.id })
    assert.throws(() => openEncKey(disowned, context()), { code: 'ZT-421-MISDIRECTED' })
  })

  it('is refused from a foreign root and with a thief key', async () => {
    const foreign = await (await createTestAuthority()).identity('/node/mac-mini')
    assert.throws(() => openEncKey(signEncKey(foreign, publicKey, TEST_NOW), context()), {
      code: 'ZT-401-CERT',
    })
    const thief = { ...fixture.node, key: fixture.stranger.key }
    assert.throws(() => openEncKey(signEncKey(thief, publicKey, TEST_NOW), context()), { code: 'ZT-401-SIG' })
  })

  it('is refused when it or its SVID has ended', () => {
    const text = signStatement(fixture.node, ENC_KEY_TYP, body())
    assert.throws(() => openEncKey(text, { ...context(), now: TEST_NOW + 60_000 }), { code: 'ZT-408-STALE' })
    assert.throws(() => openEncKey(text, { ...context(), now: fixture.node.notAfter + 1000 }), {
      code: 'ZT-401-CERT',
    })
  })

  it("is refused under an id that is another key's", () => {
    const kid = encKeyId(generateX25519().publicKey)
    const text = signStatement(fixture.node, ENC_KEY_TYP, { ...body(), kid })
    assert.throws(() => openEncKey(text, context()), { code: 'ZT-400-KID' })
  })

  const changes: Record<string, object> = {
    'another version': { v: 2 },
    'a key of 31 bytes': { x25519: encodeBase64url(new Uint8Array(31)) },
    'an unknown field': { d: 'x' },
    'no end': { exp: null },
  }
  for (const [what, change] of Object.entries(changes)) {
    it(`is refused with ${what}`, () => {
      const text = signStatement(fixture.node, ENC_KEY_TYP, { ...body(), ...change })
      assert.throws(() => openEncKey(text, context()), { code: 'ZT-422-SCHEMA' })
    })
  }
})
