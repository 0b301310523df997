// A capability allows one command to the byte: whoever holds it cannot run anything else with it, nor more of the same.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { detailFor } from '#shared/protocol/authorization.ts'
import { ReceivingNode } from '#test/support/receiving-node.ts'

const changed: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  'another program': { exe: { path: '/bin/sh' } },
  'another argument': { argv: ['true', 'another argument'] },
  'another environment': { env: { LD_PRELOAD: '/tmp/x.so' } },
  'another folder': { cwd: '/workspace/other' },
  'another process id': { proc: 'p-bbbbbbbbbbbbbbbbbbbb' },
  'fewer limits': { limits: { wall_s: 1000 } },
  'fewer capabilities': { sandbox: { profile: 'default@1', caps: ['read_anywhere'] } },
}

describe('a token for another command', () => {
  for (const [what, fields] of Object.entries(changed)) {
    it(`does not allow ${what}`, async (test) => {
      const node = await ReceivingNode.create(test)
      const granted = node.spawn({ proc: 'p-aaaaaaaaaaaaaaaaaaaa', limits: { wall_s: 60 } })
      const asked = node.spawn({ proc: 'p-aaaaaaaaaaaaaaaaaaaa', limits: { wall_s: 60 }, ...fields })
      const message = node.message(asked, { token: node.token(granted) })
      assert.equal(await node.refusal(message), 'ZT-422-CMD')
      assert.deepEqual(node.lastRejection(), { code: 'ZT-422-CMD', check: 11 })
      assert.equal(node.keeper.started.length, 0)
    })
  }

  it('does not allow a kill with the token of a list', async (test) => {
    const node = await ReceivingNode.create(test)
    const list = node.parse({ v: 1, op: 'process.list', node: node.node.id, all: true })
    const kill = node.parse({
      v: 1,
      op: 'process.kill',
      node: node.node.id,
      proc: 'p-aaaaaaaaaaaaaaaaaaaa',
      started: 1,
    })
    assert.equal(await node.refusal(node.message(kill, { token: node.token(list) })), 'ZT-422-CMD')
    assert.equal(node.keeper.killed.length, 0)
  })

  it('does not allow what its digest allows if its plain words say something else', async (test) => {
    const node = await ReceivingNode.create(test)
    const cmd = node.spawn()
    const detail = { ...detailFor(cmd), caps: ['read_anywhere'] }
    const message = node.message(cmd, { claims: { authorization_details: [detail] } })
    assert.equal(await node.refusal(message), 'ZT-422-CMD')
  })

  it('is not used up by being refused: the command that it is for still runs', async (test) => {
    const node = await ReceivingNode.create(test)
    const granted = node.spawn()
    const token = node.token(granted)
    await node.send(node.spawn(), { token })
    assert.equal((await node.send(granted, { token }))?.ok, true)
  })
})
