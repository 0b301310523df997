// Authority is for seconds. What has run out, lives too long, comes from the future or from before a reset clock runs
// nothing, whoever signed it.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { signStatement } from '#shared/protocol/signed.ts'
import { ReceivingNode } from '#test/support/receiving-node.ts'

describe('an expired token', () => {
  it('is refused in a fresh envelope', async (test) => {
    const node = await ReceivingNode.create(test)
    const cmd = node.spawn()
    const token = node.token(cmd)
    node.clock.advance(15_000)
    assert.equal(await node.refusal(node.message(cmd, { token })), 'ZT-401-TOKEN')
    assert.deepEqual(node.lastRejection(), { code: 'ZT-401-TOKEN', check: 10 })
    assert.equal(node.keeper.started.length, 0)
  })

  it('is refused when a hub has made it for longer than a minute', async (test) => {
    const node = await ReceivingNode.create(test)
    const cmd = node.spawn()
    const claims = node.claims(cmd)
    const token = signStatement(node.hub, 'zt-cap+jwt', { ...claims, exp: claims.iat + 61 })
    assert.equal(await node.refusal(node.message(cmd, { token })), 'ZT-401-TOKEN')
  })

  it('is refused when it is from the future', async (test) => {
    const node = await ReceivingNode.create(test)
    const cmd = node.spawn()
    const { iat } = node.claims(cmd)
    assert.equal(
      await node.refusal(node.message(cmd, { claims: { iat: iat + 31, exp: iat + 46 } })),
      'ZT-401-TOKEN',
    )
  })

  const stale: Record<string, (iat: number) => object> = {
    'is 31 s old': (now) => ({ iat: now - 31, exp: now + 20 }),
    'is 31 s ahead': (now) => ({ iat: now + 31, exp: now + 60 }),
    'lives longer than a minute': (now) => ({ iat: now, exp: now + 61 }),
    'has ended': (now) => ({ iat: now - 20, exp: now }),
    'ends before it begins': (now) => ({ iat: now + 5, exp: now + 4 }),
  }
  for (const [what, head] of Object.entries(stale)) {
    it(`does not run in an envelope that ${what}`, async (test) => {
      const node = await ReceivingNode.create(test)
      node.clock.advance(120_000)
      const now = Math.floor(node.clock.now() / 1000)
      const message = node.message(node.spawn(), { head: { ...head(now) } })
      assert.equal(await node.refusal(message), 'ZT-408-STALE')
      assert.deepEqual(node.lastRejection(), { code: 'ZT-408-STALE', check: 8 })
    })
  }

  it('is not brought back to life by setting the clock back', async (test) => {
    const node = await ReceivingNode.create(test)
    const cmd = node.spawn()
    const message = node.message(cmd)
    node.clock.advance(120_000)
    await node.send(node.spawn())
    node.clock.step(-120_000)
    assert.equal(await node.refusal(message), 'ZT-408-CLOCK')
    assert.deepEqual(node.lastRejection(), { code: 'ZT-408-CLOCK', check: 8 })
    assert.equal(node.keeper.started.length, 1)
  })
})
