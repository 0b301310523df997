import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { before, describe, it } from 'node:test'
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import { ZtError, toWireError } from '#shared/errors/error.ts'
import { svidSigner } from '#shared/identity/identity.ts'
import { sealJwe } from '#shared/jose/jwe.ts'
import { signJws } from '#shared/jose/jws.ts'
import { generateX25519 } from '#shared/jose/keys.ts'
import { ENVELOPE_TYP, readCommandEnvelope, type EnvelopeHead } from '#shared/protocol/envelope.ts'
import {
  openReceipt,
  RECEIPT_TYP,
  sealReceipt,
  type Outcome,
  type ReceiptContext,
} from '#shared/protocol/receipt.ts'
import {
  createProtocolFixture,
  envelopeBody,
  NOW_S,
  type ProtocolFixture,
} from '#test/support/protocol-fixture.ts'
import { createTestAuthority, TEST_NOW } from '#test/support/test-authority.ts'

let fixture: ProtocolFixture
let question: EnvelopeHead
before(async () => {
  fixture = await createProtocolFixture()
  question = readCommandEnvelope(canonicalBytes(envelopeBody(fixture)))
})

const row = { log: 'mesh.example/log/node/mac-mini/e1', seq: 12, hash: sha256Text('row') }
const checkpoint = 'mesh.example/log/node/mac-mini/e1\n13\nAAAA\n\n— key sig\n'
const done: Outcome = { op: 'process.list', row, checkpoint, ok: true, result: { procs: [] } }

function answer(outcome: Outcome, identity = fixture.node): Promise<string> {
  return sealReceipt(identity, { to: question, outcome, now: TEST_NOW })
}

function context(changes: Partial<ReceiptContext> = {}): ReceiptContext {
  return {
    trust: fixture.trust,
    now: TEST_NOW,
    from: fixture.node.id,
    to: fixture.operator.id,
    re: question.jti,
    key: fixture.callerKeys.privateKey,
    ...changes,
  }
}

/** A receipt with any body, signed by the node. */
function forced(body: object): string {
  const payload = canonicalBytes(body)
  const inner = signJws({ typ: RECEIPT_TYP, payload, signer: svidSigner(fixture.node) })
  const { publicKey } = fixture.callerKeys
  return sealJwe(Buffer.from(inner), { kid: 'reply', publicKey, typ: ENVELOPE_TYP, cty: RECEIPT_TYP })
}

const body = (): Record<string, unknown> => ({
  v: 1,
  iss: fixture.node.id,
  aud: fixture.operator.id,
  re: question.jti,
  iat: NOW_S,
  ...done,
})

describe('receipt', () => {
  it('carries the result and the audit row to the one who asked', async () => {
    const receipt = openReceipt(await answer(done), context())
    assert.ok(receipt.ok)
    assert.deepEqual(receipt.row, row)
    assert.equal(receipt.checkpoint, checkpoint)
    assert.equal(JSON.stringify(receipt.result), '{"procs":[]}')
  })

  it('carries a refusal with its code and details', async () => {
    const failure = new ZtError('ZT-403-POLICY', 'policy does not permit it', {
      details: { rule: 'x', n: 3 },
    })
    const text = await answer({ op: 'process.spawn', row, ok: false, error: toWireError(failure, 'r-1') })
    const receipt = openReceipt(text, context())
    assert.ok(!receipt.ok)
    assert.equal(receipt.error.code, 'ZT-403-POLICY')
    assert.equal(JSON.stringify(receipt.error.details), '{"n":3,"rule":"x"}')
  })

  it('may carry a refusal without a row, when rejections are counted together', async () => {
    const error = toWireError(new ZtError('ZT-408-STALE', 'too old'), 'r-1')
    assert.equal(openReceipt(await answer({ op: 'process.spawn', ok: false, error }), context()).ok, false)
  })

  it('keeps a code of a newer peer as it came', () => {
    const error = { code: 'ZT-499-NEW', message: 'something new', requestId: 'r' }
    const { result: _result, ...rest } = body()
    const receipt = openReceipt(forced({ ...rest, ok: false, error }), context())
    assert.ok(!receipt.ok)
    assert.equal(receipt.error.code, 'ZT-499-NEW')
  })

  it('of something done by a node is refused without its row or its checkpoint', async () => {
    for (const part of ['row', 'checkpoint'] as const) {
      const { [part]: _gone, ...rest } = done
      await assert.rejects(async () => openReceipt(await answer(rest as Outcome), context()), {
        code: 'ZT-422-SCHEMA',
      })
    }
  })

  it('of a hub may have no row', async () => {
    const outcome: Outcome = { op: 'node.list', ok: true, result: { nodes: [] } }
    assert.ok(openReceipt(await answer(outcome, fixture.hub), context({ from: fixture.hub.id })).ok)
  })

  it('from somebody else than was asked is refused', async () => {
    for (const other of [fixture.otherNode, fixture.hub, fixture.operator]) {
      await assert.rejects(async () => openReceipt(await answer(done, other), context()), {
        code: 'ZT-421-MISDIRECTED',
        details: { field: 'iss' },
      })
    }
    assert.throws(() => openReceipt(forced({ ...body(), iss: fixture.otherNode.id }), context()), {
      code: 'ZT-421-MISDIRECTED',
    })
  })

  it('for somebody else, or for another question, is refused', async () => {
    await assert.rejects(async () => openReceipt(await answer(done), context({ to: fixture.stranger.id })), {
      code: 'ZT-421-MISDIRECTED',
      details: { field: 'aud' },
    })
    await assert.rejects(async () => openReceipt(await answer(done), context({ re: randomUUID() })), {
      code: 'ZT-421-MISDIRECTED',
      details: { field: 're' },
    })
  })

  it('does not open with another key, and is not accepted unsealed', async () => {
    const other = generateX25519()
    await assert.rejects(async () => openReceipt(await answer(done), context({ key: other.privateKey })), {
      code: 'ZT-400-MALFORMED',
    })
    const bare = signJws({
      typ: RECEIPT_TYP,
      payload: canonicalBytes(body()),
      signer: svidSigner(fixture.node),
    })
    assert.throws(() => openReceipt(bare, context()), { code: 'ZT-400-MALFORMED' })
  })

  it('of a foreign root is refused', async () => {
    const foreign = await (await createTestAuthority()).identity('/node/mac-mini')
    await assert.rejects(async () => openReceipt(await answer(done, foreign), context()), {
      code: 'ZT-401-CERT',
    })
  })

  it('with a changed byte is refused', async () => {
    const text = await answer(done)
    for (let at = 0; at < text.length; at += 101) {
      const changed = `${text.slice(0, at)}${text[at] === 'A' ? 'B' : 'A'}${text.slice(at + 1)}`
      assert.throws(() => openReceipt(changed, context()), { code: /^ZT-400-(?:MALFORMED|KID)$/ })
    }
  })

  const changes: Record<string, object> = {
    'an unknown field': { note: 'x' },
    'ok as text': { ok: 'true' },
    'both a result and an error': { error: { code: 'ZT-400-USAGE', message: 'x', requestId: 'r' } },
    'a row before the first': { row: { ...row, seq: -1 } },
    'a row hash in hex': { row: { ...row, hash: 'a'.repeat(64) } },
    'another version': { v: 2 },
  }
  for (const [what, change] of Object.entries(changes)) {
    it(`with ${what} is refused`, () => {
      assert.throws(() => openReceipt(forced({ ...body(), ...change }), context()), { code: 'ZT-422-SCHEMA' })
    })
  }

  it('is not sent when it is too large for one message', async () => {
    const outcome = { ...done, result: 'x'.repeat(800_000) }
    await assert.rejects(answer(outcome), { code: 'ZT-413-SIZE' })
  })
})
