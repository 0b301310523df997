// Hostile text given to the NATS JWT reader and the nkey reader: our errors, or nothing.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { isZtError } from '#shared/errors/error.ts'
import { encodeUserJwt, verifyAccountJwt, verifyUserJwt, type UserClaims } from '#shared/nats/claims.ts'
import { signNatsJwt } from '#shared/nats/jwt.ts'
import { generateNkey, nkeyFromSeed, parseNkeyPublic } from '#shared/nats/nkeys.ts'

const numRuns = Number(process.env['ZT_FUZZ_RUNS'] ?? 300)
const signer = generateNkey('account')
const account = generateNkey('account').publicKey
const base: UserClaims = {
  publicKey: generateNkey('user').publicKey,
  name: 'spiffe://mesh.example/node/n1',
  account,
  issuedAtS: 1_000,
  expiresS: 1_300,
  permissions: { pub: ['zt.hub.>'], sub: ['zt.node.n1.cmd'] },
}
const genuine = encodeUserJwt(base, signer)

/** Throws anything that is not one of our errors. */
function refusedOr(read: () => unknown): unknown {
  try {
    return read()
  } catch (error) {
    if (isZtError(error)) return undefined
    throw error
  }
}

describe('the NATS JWT reader', () => {
  it('refuses any text with our errors', () => {
    const part = fc.oneof(
      fc.string(),
      fc.base64String(),
      fc.constantFrom(...genuine.split('.')),
      fc.json().map((json) => Buffer.from(json).toString('base64url')),
    )
    fc.assert(
      fc.property(fc.array(part, { maxLength: 5 }), (parts) => {
        const text = parts.join('.')
        assert.ok(text === genuine || refusedOr(() => verifyUserJwt(text, signer.publicKey)) === undefined)
      }),
      { numRuns },
    )
  })

  it('refuses a genuine token with any one character changed', () => {
    fc.assert(
      fc.property(
        fc.nat({ max: genuine.length - 1 }),
        fc.string({ minLength: 1, maxLength: 1 }),
        (at, char) => {
          const text = genuine.slice(0, at) + char + genuine.slice(at + 1)
          assert.ok(text === genuine || refusedOr(() => verifyUserJwt(text, signer.publicKey)) === undefined)
        },
      ),
      { numRuns },
    )
  })

  it('refuses any signed claims but those of its own form', () => {
    fc.assert(
      fc.property(fc.object({ withNullPrototype: true }), (nats) => {
        const head = { sub: base.publicKey, name: base.name, iat: 1, exp: 2 }
        const text = signNatsJwt(head, nats, signer)
        for (const verify of [verifyUserJwt, verifyAccountJwt]) {
          assert.equal(
            refusedOr(() => verify(text, signer.publicKey)),
            undefined,
          )
        }
      }),
      { numRuns },
    )
  })

  it('reads back every claim that it writes', () => {
    const token = fc.stringMatching(/^[A-Za-z0-9_-]{1,12}$/)
    const subject = fc
      .tuple(fc.array(fc.oneof(token, fc.constant('*')), { minLength: 1, maxLength: 6 }), fc.boolean())
      .map(([tokens, rest]) => [...tokens, ...(rest ? ['>'] : [])].join('.'))
    const list = fc.array(subject, { maxLength: 20 })
    const seconds = fc.nat({ max: 2 ** 40 })
    const plain = { noNullPrototype: true }
    const responses = fc.record(
      { max: fc.integer({ min: 1, max: 1000 }), ttlMs: fc.integer({ min: 1, max: 10 ** 6 }) },
      plain,
    )
    const claims = fc.record({
      name: fc.webPath({ size: 'small' }).map((path) => `spiffe://mesh.example/${path}`),
      issuedAtS: seconds,
      expiresS: seconds,
      permissions: fc
        .tuple(list, list, fc.option(responses, { nil: undefined }))
        .map(([pub, sub, allowResponses]) => ({ pub, sub, ...(allowResponses && { allowResponses }) })),
    })
    fc.assert(
      fc.property(claims, (some) => {
        const all = { ...base, ...some }
        assert.deepEqual(verifyUserJwt(encodeUserJwt(all, signer), signer.publicKey), all)
      }),
      { numRuns },
    )
  })
})

describe('the nkey reader', () => {
  it('accepts the text of every key, and no other text of one more or one changed letter', () => {
    const letter = fc.constantFrom(...'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.split(''))
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.nat({ max: 55 }),
        letter,
        (seed, at, other) => {
          const { publicKey } = nkeyFromSeed('user', seed)
          assert.equal(parseNkeyPublic(publicKey, 'user', 'key'), publicKey)
          const changed = publicKey.slice(0, at) + other + publicKey.slice(at + 1)
          assert.equal(
            refusedOr(() => parseNkeyPublic(changed, 'user', 'key')) === undefined,
            changed !== publicKey,
          )
          assert.equal(
            refusedOr(() => parseNkeyPublic(publicKey + other, 'user', 'key')),
            undefined,
          )
        },
      ),
      { numRuns: Math.min(numRuns, 2_000) },
    )
  })

  it('refuses any value with our errors', () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        assert.equal(
          refusedOr(() => parseNkeyPublic(value, 'user', 'key')),
          undefined,
        )
      }),
      { numRuns },
    )
  })
})
