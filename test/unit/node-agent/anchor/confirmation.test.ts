import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import type { AnchorResponse } from '#shared/protocol/anchor.ts'
import type { JsonObject } from '#shared/encoding/json-value.ts'
import { verifyConfirmation, type Anchored } from '#node-agent/anchor/confirmation.ts'
import { TestHubLog } from '#test/support/hub-log.ts'
import { openTestLog } from '#test/support/node-log.ts'

type Test = Parameters<typeof openTestLog>[0]

async function setUp(test: Test, change: JsonObject = {}) {
  const { log } = await openTestLog(test)
  const hub = await TestHubLog.open(test)
  const sent = log.durable.checkpoint()
  const request = { checkpoint: sent.note, old: 0, proof: [], hub_old: 0 }
  for (let n = 0; n < 5; n += 1) await hub.log.append({ type: 'heartbeat', out: 'info' })
  const response = await hub.answer(request, change)
  const anchored: Anchored = { sent, held: { size: 0, root: '' } }
  return { log, hub, sent, request, response, anchored }
}

describe("the hub's confirmation", () => {
  it('holds when our head is the leaf that it shows', async (test) => {
    const { hub, anchored, response } = await setUp(test)
    assert.equal(verifyConfirmation(hub.hub, anchored, response).size, response.index + 1)
  })

  it('holds on top of what we held before', async (test) => {
    const { hub, anchored, response, request } = await setUp(test)
    const first = verifyConfirmation(hub.hub, anchored, response)
    const held = { size: first.size, root: encodeBase64url(first.root) }
    const next = await hub.answer({ ...request, hub_old: first.size })
    verifyConfirmation(hub.hub, { ...anchored, held }, next)
  })

  const bent: Record<string, { change: (r: AnchorResponse) => Partial<AnchorResponse>; code: string }> = {
    'a proof that lacks a hash': {
      change: (r) => ({ inclusion: r.inclusion.slice(1) }),
      code: 'ZT-490-PROOF',
    },
    'a proof with a hash more': {
      change: (r) => ({ inclusion: [...r.inclusion, r.inclusion[0] ?? ''] }),
      code: 'ZT-490-PROOF',
    },
    'a proof for another place': { change: (r) => ({ index: r.index - 1 }), code: 'ZT-490-PROOF' },
    'an index outside of the log': { change: (r) => ({ index: r.index + 1 }), code: 'ZT-490-PROOF' },
    'consistency with nothing': { change: (r) => ({ consistency: r.inclusion }), code: 'ZT-490-PROOF' },
    'an entry with a byte changed': {
      change: (r) => {
        const entry = Buffer.from(r.entry, 'base64url')
        entry.writeUInt8(entry.readUInt8(40) ^ 1, 40)
        return { entry: encodeBase64url(entry) }
      },
      code: 'ZT-490-PROOF',
    },
    'a head with another size': {
      change: (r) => ({ checkpoint: r.checkpoint.replace(`\n${r.index + 1}\n`, `\n${r.index + 2}\n`) }),
      code: 'ZT-490-SIGNATURE',
    },
    'no head at all': { change: () => ({ checkpoint: 'noise\n' }), code: 'ZT-422-NOTE' },
  }
  for (const [what, { change, code }] of Object.entries(bent)) {
    it(`does not hold with ${what}`, async (test) => {
      const { hub, anchored, response } = await setUp(test)
      const answer = { ...response, ...change(response) }
      assert.throws(() => verifyConfirmation(hub.hub, anchored, answer), { code })
    })
  }

  const leaves: Record<string, JsonObject> = {
    'another log': { origin: 'mesh.example/log/node/other/e1' },
    'another size': { size: 4711 },
    'another root': { root: 'A'.repeat(43) },
    'another note': { note_sha256: 'A'.repeat(43) },
  }
  for (const [what, change] of Object.entries(leaves)) {
    it(`does not hold when the leaf says ${what}`, async (test) => {
      const { hub, anchored, response } = await setUp(test, change)
      assert.throws(() => verifyConfirmation(hub.hub, anchored, response), { code: 'ZT-490-ANCHOR' })
    })
  }

  it('does not hold under the head of another log', async (test) => {
    const { hub, anchored, response } = await setUp(test)
    const other = await TestHubLog.open(test)
    const answer = { ...response, checkpoint: other.log.checkpoint().note }
    assert.throws(() => verifyConfirmation(hub.hub, anchored, answer), { code: 'ZT-490-SIGNATURE' })
  })

  it('is a fork when the hub shows two roots of one size', async (test) => {
    const { hub, anchored, response } = await setUp(test)
    const held = { size: response.index + 1, root: 'A'.repeat(43) }
    assert.throws(() => verifyConfirmation(hub.hub, { ...anchored, held }, response), { code: 'ZT-490-FORK' })
  })

  it('does not hold when the hub has dropped what we held', async (test) => {
    const { hub, anchored, response } = await setUp(test)
    const held = { size: response.index + 5, root: 'A'.repeat(43) }
    assert.throws(() => verifyConfirmation(hub.hub, { ...anchored, held }, response), {
      code: 'ZT-490-PROOF',
    })
  })

  it('does not hold when what we held is not how it begins', async (test) => {
    const { hub, anchored, request } = await setUp(test)
    const answer = await hub.answer({ ...request, hub_old: 3 })
    const held = { size: 3, root: 'A'.repeat(43) }
    assert.throws(() => verifyConfirmation(hub.hub, { ...anchored, held }, answer), { code: 'ZT-490-PROOF' })
  })
})
