import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { canonicalJson } from '#shared/encoding/canonical-json.ts'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { svidSigner } from '#shared/identity/identity.ts'
import { sealJwe } from '#shared/jose/jwe.ts'
import { signJws } from '#shared/jose/jws.ts'
import { generateX25519 } from '#shared/jose/keys.ts'
import { DenyList } from '#shared/protocol/deny-list.ts'
import {
  authenticate,
  checkClock,
  checkDirection,
  checkFreshness,
  COMMAND_TYP,
  ENVELOPE_TYP,
  HUB_TYP,
  MAX_ENVELOPE_BYTES,
  readCommandEnvelope,
  readHubEnvelope,
  retainUntil,
  sealCommand,
  sealHubRequest,
} from '#shared/protocol/envelope.ts'
import { inboxPrefix } from '#shared/protocol/subjects.ts'
import {
  createProtocolFixture,
  encKey,
  envelopeBody,
  nodeContext,
  NOW_S,
  route,
  sealAnything,
  spawnCommand,
  tokenFor,
  type ProtocolFixture,
} from '#test/support/protocol-fixture.ts'
import { createTestAuthority, TEST_NOW } from '#test/support/test-authority.ts'

let fixture: ProtocolFixture
before(async () => {
  fixture = await createProtocolFixture()
})

describe('command envelope', () => {
  it('arrives as it was sent, with its sender proved', async () => {
    const cmd = spawnCommand(fixture)
    const tok = tokenFor(fixture, cmd)
    const sealed = await sealCommand(route(fixture), { cmd, tok })
    const { svid, payload } = authenticate(sealed.text, nodeContext(fixture))
    const envelope = readCommandEnvelope(payload)
    assert.equal(svid.id, fixture.operator.id)
    assert.equal(canonicalJson(envelope.cmd), canonicalJson(cmd))
    assert.equal(envelope.tok, tok)
    assert.equal(envelope.jti, sealed.jti)
    assert.equal(envelope.nonce, sealed.nonce)
    assert.equal(envelope.exp, sealed.exp)
    assert.deepEqual(envelope.chain, [])
    checkDirection(envelope, { sender: svid.id, me: fixture.node.id, subject: fixture.subject })
    checkFreshness({ ...envelope, now: TEST_NOW })
  })

  it('shows the broker neither command nor sender', async () => {
    const cmd = spawnCommand(fixture, { argv: ['node', 'very-secret-argument'] })
    const { text } = await sealCommand(route(fixture), { cmd, tok: tokenFor(fixture, cmd) })
    const seen = [
      text,
      ...text.split('.').map((part) => Buffer.from(part, 'base64url').toString('latin1')),
    ].join()
    for (const secret of ['very-secret-argument', fixture.operator.id, 'process.spawn', 'zt-cap']) {
      assert.equal(seen.includes(secret), false, secret)
    }
  })

  it('is refused at sealing when the node would refuse its size', async () => {
    const cmd = spawnCommand(fixture, { argv: ['x'.repeat(30_000), 'y'.repeat(20_000)] })
    await assert.rejects(sealCommand(route(fixture), { cmd, tok: tokenFor(fixture, cmd) }), {
      code: 'ZT-413-SIZE',
    })
  })
})

describe('check 1: shape', () => {
  it('refuses what is too large before it looks at it', () => {
    assert.throws(() => authenticate('A'.repeat(MAX_ENVELOPE_BYTES + 1), nodeContext(fixture)), {
      code: 'ZT-400-MALFORMED',
    })
  })

  it('refuses an envelope of the other family, outside and inside', async () => {
    const hubRequest = await sealHubRequest(route(fixture), { op: 'node.list', params: {} })
    assert.throws(() => authenticate(hubRequest.text, nodeContext(fixture)), { code: 'ZT-400-MALFORMED' })
    const inner = signJws({ typ: HUB_TYP, payload: Buffer.from('{}'), signer: svidSigner(fixture.operator) })
    const { kid, publicKey } = fixture.nodeEncKey
    const disguised = sealJwe(Buffer.from(inner), { kid, publicKey, typ: ENVELOPE_TYP, cty: COMMAND_TYP })
    assert.throws(() => authenticate(disguised, nodeContext(fixture)), { code: 'ZT-400-MALFORMED' })
  })

  it('refuses a command that is not sealed', () => {
    const bare = signJws({
      typ: COMMAND_TYP,
      payload: Buffer.from('{}'),
      signer: svidSigner(fixture.operator),
    })
    assert.throws(() => authenticate(bare, nodeContext(fixture)), { code: 'ZT-400-MALFORMED' })
  })

  it('refuses a sealed text that is not signed', () => {
    const { kid, publicKey } = fixture.nodeEncKey
    for (const inside of ['{"cmd":{}}', '', 'a.b.c', '\0\xff']) {
      const text = sealJwe(Buffer.from(inside, 'latin1'), {
        kid,
        publicKey,
        typ: ENVELOPE_TYP,
        cty: COMMAND_TYP,
      })
      assert.throws(() => authenticate(text, nodeContext(fixture)), { code: 'ZT-400-MALFORMED' })
    }
  })
})

describe('check 2: decryption', () => {
  it('refuses what was sealed to a key that the node does not hold', async () => {
    const to = encKey(fixture.node, generateX25519())
    const cmd = spawnCommand(fixture)
    const { text } = await sealCommand(route(fixture, { to }), { cmd, tok: tokenFor(fixture, cmd) })
    assert.throws(() => authenticate(text, nodeContext(fixture)), { code: 'ZT-400-KID' })
  })
})

describe('checks 3 to 5: who signed', () => {
  it('refuses a denied certificate, and a denied identity with any certificate', () => {
    const entries = {
      thumbprint: fixture.operator.thumbprint,
      id: fixture.operator.id,
    }
    for (const [kind, value] of Object.entries(entries)) {
      const deny = new DenyList()
      deny.replace({
        v: 1,
        iss: fixture.hub.id,
        ver: 1,
        iat: NOW_S,
        entries: [{ kind: kind as 'id' | 'thumbprint', value, from: NOW_S, reason: 'left' }],
      })
      const text = sealAnything(fixture, envelopeBody(fixture))
      assert.throws(() => authenticate(text, nodeContext(fixture, { deny })), { code: 'ZT-403-REVOKED' })
      const other = sealAnything(fixture, envelopeBody(fixture), fixture.stranger)
      assert.equal(authenticate(other, nodeContext(fixture, { deny })).svid.id, fixture.stranger.id)
    }
  })

  it('refuses an SVID of a foreign root, even of the same trust domain', async () => {
    const foreign = await (await createTestAuthority()).identity('/operator/ann')
    const text = sealAnything(fixture, envelopeBody(fixture), foreign)
    assert.throws(() => authenticate(text, nodeContext(fixture)), { code: 'ZT-401-CERT' })
  })

  it('refuses an SVID before and after its life, also when it was seen alive', () => {
    const text = sealAnything(fixture, envelopeBody(fixture))
    authenticate(text, nodeContext(fixture))
    for (const now of [fixture.operator.notBefore - 1000, fixture.operator.notAfter + 1000]) {
      assert.throws(() => authenticate(text, nodeContext(fixture, { now })), { code: 'ZT-401-CERT' })
    }
  })

  it("refuses a signature by a key that is not the certificate's", () => {
    const thief = { ...fixture.operator, key: fixture.stranger.key }
    const text = sealAnything(fixture, envelopeBody(fixture), thief)
    assert.throws(() => authenticate(text, nodeContext(fixture)), { code: 'ZT-401-SIG' })
  })
})

describe('check 6: schema', () => {
  const changes: Record<string, object> = {
    'an unknown field': { extra: 1 },
    'another version': { v: 2 },
    'a sender that is not a spiffe id': { iss: 'ann' },
    'a channel that is not nats': { chan: 'https://mesh.example' },
    'a channel with a wildcard': { chan: 'nats:zt.node.*.cmd' },
    'a reply with a wildcard': { reply: 'zt.inbox.>' },
    'a reply key of 31 bytes': { replyKey: encodeBase64url(new Uint8Array(31)) },
    'a nonce that is not a random uuid': { nonce: '00000000-0000-1000-8000-000000000000' },
    'an id in capitals': { jti: 'AAAAAAAA-AAAA-4AAA-8AAA-AAAAAAAAAAAA' },
    'a time in milliseconds': { iat: TEST_NOW },
    'a time as text': { exp: String(NOW_S) },
    'a token with a space': { tok: 'a.b.c d' },
    'a chain that is not a list': { chain: null },
    'a command with an unknown field': { cmd: { op: 'process.spawn', shell: true } },
    'no command': { cmd: null },
  }
  for (const [what, change] of Object.entries(changes)) {
    it(`refuses ${what}`, () => {
      const text = sealAnything(fixture, { ...envelopeBody(fixture), ...change })
      const { payload } = authenticate(text, nodeContext(fixture))
      assert.throws(() => readCommandEnvelope(payload), { code: 'ZT-422-SCHEMA' })
    })
  }

  it('refuses a missing field, whichever it is', () => {
    const body = envelopeBody(fixture)
    for (const field of Object.keys(body)) {
      const { [field]: _gone, ...rest } = body
      assert.throws(() => readCommandEnvelope(Buffer.from(canonicalJson(rest))), {
        code: 'ZT-422-SCHEMA',
        details: { field },
      })
    }
  })

  it('refuses a field that comes twice', () => {
    const twice = canonicalJson(envelopeBody(fixture)).replace('{', `{"aud":"${fixture.otherNode.id}",`)
    assert.throws(() => readCommandEnvelope(Buffer.from(twice)), { code: 'ZT-422-SCHEMA' })
  })
})

describe('check 7: direction', () => {
  const parse = (change: object): ReturnType<typeof readCommandEnvelope> =>
    readCommandEnvelope(Buffer.from(canonicalJson({ ...envelopeBody(fixture), ...change })))
  const cases: Record<string, () => object> = {
    iss: () => ({ iss: fixture.stranger.id }),
    aud: () => ({ aud: fixture.otherNode.id }),
    chan: () => ({ chan: 'nats:zt.node.build-box.cmd' }),
    reply: () => ({ reply: `${inboxPrefix(fixture.stranger.id)}.r1` }),
  }
  for (const [field, change] of Object.entries(cases)) {
    it(`refuses another ${field}`, () => {
      const at = { sender: fixture.operator.id, me: fixture.node.id, subject: fixture.subject }
      checkDirection(parse({}), at)
      assert.throws(() => checkDirection(parse(change()), at), {
        code: 'ZT-421-MISDIRECTED',
        details: { field },
      })
    })
  }

  it("refuses a reply that only begins like the sender's inbox", () => {
    const at = { sender: fixture.operator.id, me: fixture.node.id, subject: fixture.subject }
    for (const reply of [inboxPrefix(fixture.operator.id), `${inboxPrefix(fixture.operator.id)}x.r1`]) {
      assert.throws(() => checkDirection(parse({ reply }), at), { code: 'ZT-421-MISDIRECTED' })
    }
  })
})

describe('check 8: time', () => {
  const now = TEST_NOW
  it('accepts 30 seconds of difference either way and a life of 60 seconds', () => {
    checkFreshness({ iat: NOW_S - 30, exp: NOW_S + 30, now })
    checkFreshness({ iat: NOW_S + 30, exp: NOW_S + 90, now })
    checkFreshness({ iat: NOW_S, exp: NOW_S + 1, now })
  })

  const refused: Record<string, { iat: number; exp: number }> = {
    'a message from 31 seconds ago': { iat: NOW_S - 31, exp: NOW_S + 20 },
    'a message from 31 seconds ahead': { iat: NOW_S + 31, exp: NOW_S + 60 },
    'a life of 61 seconds': { iat: NOW_S, exp: NOW_S + 61 },
    'a life of nothing': { iat: NOW_S + 5, exp: NOW_S + 5 },
    'an end before its beginning': { iat: NOW_S + 5, exp: NOW_S + 4 },
    'a message at the second of its end': { iat: NOW_S - 10, exp: NOW_S },
  }
  for (const [what, time] of Object.entries(refused)) {
    it(`refuses ${what}`, () =>
      assert.throws(() => checkFreshness({ ...time, now }), { code: 'ZT-408-STALE' }))
  }

  it('refuses to judge time when the clock is more than 30 seconds behind its own past', () => {
    checkClock({ now, highWater: now + 30_000 })
    assert.throws(() => checkClock({ now, highWater: now + 30_001 }), { code: 'ZT-408-CLOCK' })
  })

  it('remembers a nonce for longer than its message can be fresh', () => {
    for (const [iat, exp] of [
      [NOW_S + 30, NOW_S + 31],
      [NOW_S + 30, NOW_S + 90],
      [NOW_S - 30, NOW_S + 30],
    ] as const) {
      const until = retainUntil({ iat, exp })
      assert.throws(() => checkFreshness({ iat, exp, now: until }), { code: 'ZT-408-STALE' })
      assert.ok(until >= Math.max(iat + 30, exp) * 1000 + 30_000)
    }
  })
})

describe('hub envelope', () => {
  it('arrives as it was sent', async () => {
    const sealed = await sealHubRequest(route(fixture), { op: 'node.list', params: {} })
    const { payload, svid } = authenticate(sealed.text, nodeContext(fixture, { typ: HUB_TYP }))
    const envelope = readHubEnvelope(payload)
    assert.equal(envelope.op, 'node.list')
    assert.equal(envelope.iss, svid.id)
  })

  it('refuses an operation that does not exist, and a command in place of one', () => {
    const body = envelopeBody(fixture)
    assert.throws(() => readHubEnvelope(Buffer.from(canonicalJson(body))), { code: 'ZT-422-SCHEMA' })
    const { cmd: _cmd, tok: _tok, tth: _tth, chain: _chain, ...head } = body
    for (const op of ['node.delete', 'toString', '', 1]) {
      const text = canonicalJson({ ...head, op, params: {} })
      assert.throws(() => readHubEnvelope(Buffer.from(text)), {
        code: 'ZT-422-SCHEMA',
        details: { field: 'op' },
      })
    }
  })
})
