import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  generateNkey,
  nkeyFromSeed,
  parseNkeyPublic,
  verifyNkeySignature,
  type NkeyKind,
} from '#shared/nats/nkeys.ts'

const SEED = Uint8Array.from({ length: 32 }, (_, i) => i)
const DATA = Buffer.from('nonce')
const KINDS: readonly NkeyKind[] = ['operator', 'account', 'user']

describe('an nkey', () => {
  it('comes from its seed alone', () => {
    const [one, two] = [nkeyFromSeed('user', SEED), nkeyFromSeed('user', SEED)]
    assert.equal(one.publicKey, two.publicKey)
    assert.deepEqual(one.sign(DATA), two.sign(DATA))
    assert.deepEqual(one.seed(), SEED)
  })

  it('keeps its own copy of the seed', () => {
    const seed = Uint8Array.from(SEED)
    const key = nkeyFromSeed('user', seed)
    seed.fill(0)
    key.seed().fill(0)
    assert.deepEqual(key.seed(), SEED)
  })

  it('says by its first letter what it is for', () => {
    assert.deepEqual(
      KINDS.map((kind) => generateNkey(kind).publicKey[0]),
      ['O', 'A', 'U'],
    )
  })

  for (const length of [0, 31, 33, 64]) {
    it(`is not made of ${length} bytes`, () => {
      assert.throws(() => nkeyFromSeed('user', new Uint8Array(length)), { code: 'ZT-422-SCHEMA' })
    })
  }

  it('verifies what it signed', () => {
    for (const kind of KINDS) {
      const key = generateNkey(kind)
      verifyNkeySignature(key.publicKey, DATA, key.sign(DATA))
    }
  })

  it('refuses a signature over other data, by another key, changed, cut or empty', () => {
    const [key, other] = [generateNkey('user'), generateNkey('user')]
    const signature = key.sign(DATA)
    const changed = signature.map((byte, at) => (at === 0 ? byte ^ 1 : byte))
    const refused: readonly [string, Uint8Array, Uint8Array][] = [
      [key.publicKey, Buffer.from('other'), signature],
      [other.publicKey, DATA, signature],
      [key.publicKey, DATA, changed],
      [key.publicKey, DATA, signature.subarray(1)],
      [key.publicKey, DATA, new Uint8Array()],
    ]
    for (const [publicKey, data, bytes] of refused) {
      assert.throws(() => verifyNkeySignature(publicKey, data, bytes), { code: 'ZT-401-SIG' })
    }
  })
})

describe('the text of a public nkey', () => {
  const good = generateNkey('user').publicKey

  it('is itself', () => {
    assert.equal(parseNkeyPublic(good, 'user', 'key'), good)
  })

  const refused: Record<string, unknown> = {
    'in lower case': good.toLowerCase(),
    'with a letter changed': `${good.slice(0, 20)}${good[20] === 'A' ? 'B' : 'A'}${good.slice(21)}`,
    'with its checksum changed': `${good.slice(0, -1)}${good.endsWith('A') ? 'B' : 'A'}`,
    'that is short': good.slice(0, -1),
    'that is long': `${good}A`,
    'with a newline': `${good}\n`,
    'with padding': `${good}=`,
    'with a letter outside base32': good.replace(/.$/, '1'),
    'of an account': generateNkey('account').publicKey,
    'of an operator': generateNkey('operator').publicKey,
    'that is empty': '',
    'that is a number': 7,
    'that is null': null,
    'that is missing': undefined,
    'that is a list': [good],
  }
  for (const [what, text] of Object.entries(refused)) {
    it(`${what} is refused, naming the field`, () => {
      assert.throws(() => parseNkeyPublic(text, 'user', 'nats.publicKey'), {
        code: 'ZT-422-SCHEMA',
        details: { field: 'nats.publicKey' },
      })
    })
  }

  it('that is no key verifies nothing', () => {
    const key = generateNkey('user')
    assert.throws(() => verifyNkeySignature('U', DATA, key.sign(DATA)), { code: 'ZT-422-SCHEMA' })
  })
})
