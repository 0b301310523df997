import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { before, describe, it } from 'node:test'
import fc from 'fast-check'
import { canonicalJson } from '#shared/encoding/canonical-json.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { parseJoinString } from '#shared/protocol/admission.ts'
import { detailFor, matchCommand, parseDetail } from '#shared/protocol/authorization.ts'
import { CAPABILITY_TYP, verifyCapability, type VerifiedCapability } from '#shared/protocol/capability.ts'
import { commandDigest, parseCommand } from '#shared/protocol/command.ts'
import { authenticate, readCommandEnvelope, sealCommand } from '#shared/protocol/envelope.ts'
import { exchangeForm, exchangeRequest, parseExchangeForm } from '#shared/protocol/exchange.ts'
import { HUB_OPS, parseHubParams, parseHubResult } from '#shared/protocol/hub-ops.ts'
import { FrameOpener, FrameSealer, type Frame } from '#shared/protocol/output-frame.ts'
import { openReceipt, sealReceipt } from '#shared/protocol/receipt.ts'
import { signStatement } from '#shared/protocol/signed.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { change, changed, edit, refusalOr, RUNS, strictJson } from '#test/support/fuzz.ts'
import {
  BOOT,
  capabilityClaims,
  createProtocolFixture,
  envelopeBody,
  FENCE,
  nodeContext,
  route,
  sealAnything,
  spawnBody,
  spawnCommand,
  tokenFor,
  type ProtocolFixture,
} from '#test/support/protocol-fixture.ts'
import { TEST_NOW } from '#test/support/test-authority.ts'

let fixture: ProtocolFixture
before(async () => {
  fixture = await createProtocolFixture()
})

const AUTHENTICATION = [
  'ZT-400-MALFORMED',
  'ZT-400-KID',
  'ZT-401-CERT',
  'ZT-401-SIG',
  'ZT-403-REVOKED',
] as const

const plainText = fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('\0'))
const spawnParts = fc.record({
  argv: fc.array(plainText, { minLength: 1, maxLength: 5 }),
  env: fc.dictionary(fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,10}$/), plainText, { maxKeys: 3 }),
  cwd: fc.stringMatching(/^(\/[a-z]{1,5}){1,3}$/),
})

describe('command', () => {
  it('is the same command, with the same digest, after any journey as json', () => {
    const property = fc.property(spawnParts, (parts) => {
      const cmd = parseCommand({ ...spawnBody(fixture), ...parts })
      const again = parseCommand(parseStrictJson(JSON.stringify(cmd), { maxBytes: 1 << 20 }))
      assert.equal(canonicalJson(again), canonicalJson({ ...spawnBody(fixture), ...parts }))
      assert.equal(commandDigest(again), commandDigest(cmd))
      matchCommand(again, parseDetail(JSON.parse(JSON.stringify(detailFor(cmd))), ''))
    })
    fc.assert(property, RUNS)
  })

  it('with any change is refused, or is another command that the grant does not cover', () => {
    const property = fc.property(change, (difference) => {
      const body = changed(spawnBody(fixture), difference)
      const granted = detailFor(spawnCommand(fixture))
      const cmd = refusalOr(() => parseCommand(body), ['ZT-422-SCHEMA'])
      if (typeof cmd === 'string') return
      assert.equal(canonicalJson(cmd), canonicalJson(body), 'a parser adds and drops nothing')
      if (canonicalJson(cmd) === canonicalJson(spawnBody(fixture))) return
      assert.throws(() => matchCommand(cmd, granted), { code: 'ZT-422-CMD' })
    })
    fc.assert(property, RUNS)
  })

  it('is not any other json', () => {
    const property = fc.property(strictJson, (value) => {
      assert.equal(
        refusalOr(() => parseCommand(value), ['ZT-422-SCHEMA']),
        'ZT-422-SCHEMA',
      )
    })
    fc.assert(property, RUNS)
  })
})

describe('envelope', () => {
  it('with any damage to its text is refused', async () => {
    const cmd = spawnCommand(fixture)
    const { text } = await sealCommand(route(fixture), { cmd, tok: tokenFor(fixture, cmd) })
    const property = fc.property(edit, fc.string({ unit: 'binary' }), (damage, noise) => {
      for (const bent of [damage(text), noise]) {
        if (bent === text) continue
        const result = refusalOr(() => authenticate(bent, nodeContext(fixture)), AUTHENTICATION)
        assert.equal(typeof result, 'string')
      }
    })
    fc.assert(property, RUNS)
  })

  it('with any change to its signed body is refused by the schema, or says exactly what was signed', () => {
    const sound = envelopeBody(fixture)
    const property = fc.property(change, (difference) => {
      const body = changed(sound, difference)
      const { payload } = authenticate(sealAnything(fixture, body), nodeContext(fixture))
      const envelope = refusalOr(() => readCommandEnvelope(payload), ['ZT-422-SCHEMA', 'ZT-413-SIZE'])
      if (typeof envelope !== 'string') assert.equal(canonicalJson(envelope), canonicalJson(body))
    })
    fc.assert(property, RUNS)
  })

  it('with any signed bytes for a body is refused by the schema', () => {
    const property = fc.property(fc.uint8Array({ maxLength: 200 }), strictJson, (bytes, value) => {
      for (const payload of [bytes, Buffer.from(JSON.stringify(value))]) {
        const result = refusalOr(() => readCommandEnvelope(payload), ['ZT-422-SCHEMA'])
        assert.equal(result, 'ZT-422-SCHEMA')
      }
    })
    fc.assert(property, RUNS)
  })
})

describe('capability token', () => {
  const verify = (token: string): VerifiedCapability | string => {
    const { id, thumbprint } = fixture.operator
    const context = {
      trust: fixture.trust,
      now: TEST_NOW,
      aud: fixture.node.id,
      holder: { id, thumbprint },
      tth: sha256Text(token),
      boot: BOOT,
      fence: FENCE,
    }
    return refusalOr(() => verifyCapability(token, context), ['ZT-401-TOKEN', 'ZT-403-HOLDER'])
  }

  it('with any damage to its text is refused', () => {
    const token = tokenFor(fixture, spawnCommand(fixture))
    const property = fc.property(edit, fc.string({ unit: 'binary' }), (damage, noise) => {
      for (const bent of [damage(token), noise])
        if (bent !== token) assert.equal(verify(bent), 'ZT-401-TOKEN')
    })
    fc.assert(property, RUNS)
  })

  it('with any change to its signed claims is refused, or keeps every binding', () => {
    const sound = capabilityClaims(fixture, spawnCommand(fixture))
    const property = fc.property(change, (difference) => {
      const body = changed(sound, difference)
      const result = verify(signStatement(fixture.hub, CAPABILITY_TYP, body))
      if (typeof result === 'string') return
      const { claims, detail } = result
      assert.equal(canonicalJson(claims), canonicalJson(body))
      assert.equal(claims.aud, fixture.node.id)
      assert.equal(claims.iss, fixture.hub.id)
      assert.equal(claims.cnf['x5t#S256'], fixture.operator.thumbprint)
      assert.equal(claims.act?.sub ?? claims.sub, fixture.operator.id)
      assert.deepEqual(claims.node, { boot: BOOT, fence: FENCE })
      assert.ok(claims.exp - claims.iat <= 60 && claims.exp * 1000 > TEST_NOW)
      assert.equal(claims.authorization_details.length, 1)
      if (canonicalJson(detail) === canonicalJson(sound.authorization_details[0])) return
      assert.throws(() => matchCommand(spawnCommand(fixture), detail), { code: 'ZT-422-CMD' })
    })
    fc.assert(property, RUNS)
  })
})

describe('receipt', () => {
  it('with any damage to its text is refused', async () => {
    const question = readCommandEnvelope(Buffer.from(canonicalJson(envelopeBody(fixture))))
    const outcome = { op: 'process.list', ok: true, result: {} } as const
    const text = await sealReceipt(fixture.hub, { to: question, outcome, now: TEST_NOW })
    const context = {
      trust: fixture.trust,
      now: TEST_NOW,
      from: fixture.hub.id,
      to: fixture.operator.id,
      re: question.jti,
      key: fixture.callerKeys.privateKey,
    }
    assert.ok(openReceipt(text, context).ok)
    const property = fc.property(edit, (damage) => {
      const bent = damage(text)
      if (bent === text) return
      assert.equal(typeof refusalOr(() => openReceipt(bent, context), AUTHENTICATION), 'string')
    })
    fc.assert(property, RUNS)
  })
})

describe('output frames', () => {
  const channel = { key: new Uint8Array(32).fill(7), subject: 'zt.node.a.out.p.t.s' }
  const frame: fc.Arbitrary<Frame> = fc.record({
    kind: fc.constantFrom('stdout', 'stderr', 'exit', 'gap', 'eof', 'ack', 'alive', 'close'),
    offset: fc.maxSafeNat(),
    data: fc.uint8Array({ maxLength: 200 }),
  })

  it('arrive as they were sent; what was lost shows as a jump; nothing else opens', () => {
    const property = fc.property(
      fc.array(fc.tuple(frame, fc.boolean()), { maxLength: 8 }),
      edit,
      (frames, damage) => {
        const sealer = new FrameSealer(channel)
        const opener = new FrameOpener(channel)
        frames.forEach(([sent, lost], index) => {
          const sealed = sealer.seal(sent)
          if (lost) return
          const bent = Buffer.from(damage(Buffer.from(sealed).toString('latin1')), 'latin1')
          if (!bent.equals(sealed)) {
            const refused = refusalOr(() => opener.open(bent), ['ZT-400-MALFORMED', 'ZT-409-REPLAY'])
            assert.equal(typeof refused, 'string')
          }
          const opened = opener.open(sealed)
          assert.equal(opened.seq, BigInt(index))
          assert.deepEqual([opened.kind, opened.offset], [sent.kind, sent.offset])
          assert.deepEqual(Uint8Array.from(opened.data), sent.data)
        })
      },
    )
    fc.assert(property, RUNS)
  })

  it('are not any other bytes', () => {
    const property = fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      assert.throws(() => new FrameOpener(channel).open(bytes), { code: 'ZT-400-MALFORMED' })
    })
    fc.assert(property, RUNS)
  })
})

describe('other hostile input', () => {
  it('is refused by code: join strings, forms, spiffe ids, hub operations', () => {
    const form = exchangeForm(exchangeRequest(spawnCommand(fixture), `${randomUUID()}.b.c`))
    const property = fc.property(fc.string({ unit: 'binary' }), strictJson, edit, (noise, value, damage) => {
      const token = `ztjoin_${Buffer.from(JSON.stringify(value)).toString('base64url')}`
      for (const text of [noise, token]) assert.throws(() => parseJoinString(text), { code: 'ZT-403-JOIN' })
      refusalOr(() => parseExchangeForm(damage(form)), ['ZT-422-SCHEMA'])
      const id = refusalOr(() => parseSpiffeId(noise), ['ZT-422-SPIFFE-ID'])
      if (id !== 'ZT-422-SPIFFE-ID') assert.equal(id, noise)
      for (const op of HUB_OPS) {
        refusalOr(() => parseHubParams(op, value), ['ZT-422-SCHEMA'])
        refusalOr(() => parseHubResult(op, value), ['ZT-422-SCHEMA'])
      }
    })
    fc.assert(property, RUNS)
  })
})
