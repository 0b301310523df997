import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { parseNodeName } from '#shared/identity/names.ts'
import { startTestHub, type TestHub } from '#test/support/hub.ts'
import { operator, type TestClient } from '#test/support/hub-client.ts'
import { joinNode, spawnCommand, type TestNode } from '#test/support/hub-node.ts'
import { needsNats } from '#test/support/nats.ts'

const POLICY = `
@id("operators.act")
permit(principal in Role::"operator", action, resource);
@id("shells.never")
forbid(principal, action == Action::"spawn", resource) when { context.exe like "*/sh" };
@id("disk.never")
forbid(principal, action == Action::"spawn", resource) when { context.caps.contains("full_disk_write") };
@id("guard.errs")
forbid(principal, action == Action::"spawn", resource)
  when { context has wall_s && context.wall_s * 9223372036854775807 > 1 };
@id("log.closed")
forbid(principal, action == Action::"log.read", resource);
`

describe('policy', { skip: needsNats }, () => {
  let hub: TestHub
  let alice: TestClient
  let node: TestNode
  before(async () => {
    hub = await startTestHub({ policy: POLICY })
    alice = await operator(hub)
    node = await joinNode(hub, alice, { name: 'n1' })
  })
  after(async () => {
    await node?.close()
    await alice?.close()
    await hub?.stop()
  })
  const denied = async (work: Promise<unknown>, reasons: string): Promise<void> => {
    await assert.rejects(work, (error: { code: string; details: Record<string, string> }) => {
      assert.equal(error.code, 'ZT-403-POLICY')
      assert.equal(error.details['reasons'], reasons)
      return true
    })
  }

  it('permits what it permits', async () => {
    assert.equal((await alice.token(spawnCommand(node.id))).token_type, 'N_A')
  })

  it('forbids a program by its path, and names the policy', () =>
    denied(alice.token(spawnCommand(node.id, { exe: { path: '/bin/sh' }, argv: ['sh'] })), 'shells.never'))

  it('forbids a capability', () => {
    const sandbox = { profile: 'default@1', caps: ['full_disk_write'] } as const
    return denied(alice.token(spawnCommand(node.id, { sandbox })), 'disk.never')
  })

  it('policy that errors is denied', () =>
    denied(alice.token(spawnCommand(node.id, { limits: { wall_s: 5 } })), 'guard.errs'))

  it('forbids an operation of the hub', () => denied(alice.call('log', { kind: 'checkpoint' }), 'log.closed'))

  it('says through can-i what it would deny', async () => {
    const cmd = spawnCommand(node.id, { exe: { path: '/bin/sh' }, argv: ['sh'] })
    const answer = await alice.call('can-i', { cmd })
    assert.deepEqual([answer.allowed, answer.reasons], [false, ['shells.never']])
  })

  it('does not burn the process id of what it denied', async () => {
    const cmd = spawnCommand(node.id, { exe: { path: '/bin/sh' }, argv: ['sh'] })
    await assert.rejects(alice.token(cmd), { code: 'ZT-403-POLICY' })
    await alice.token({ ...cmd, exe: { path: '/bin/true' } } as typeof cmd)
  })
})

describe('an operator without a role', { skip: needsNats }, () => {
  let hub: TestHub
  let mallory: TestClient
  before(async () => {
    hub = await startTestHub({ operators: [{ name: 'mallory', uid: process.getuid?.() ?? 0, roles: [] }] })
    mallory = await operator(hub)
  })
  after(async () => {
    await mallory?.close()
    await hub?.stop()
  })

  const tries: Record<string, () => Promise<unknown>> = {
    'list nodes': () => mallory.call('node.list', {}),
    'invite a node': () => mallory.call('node.join-token', { node: parseNodeName('n1') }),
    'revoke a node': () => mallory.call('node.revoke', { node: parseNodeName('n1'), reason: 'x' }),
    'revoke an operator': () => mallory.call('revoke', { id: mallory.id, reason: 'x' }),
    'lift a revocation': () => mallory.call('allow', { id: mallory.id }),
    'read the log': () => mallory.call('log', { kind: 'checkpoint' }),
  }
  for (const [what, act] of Object.entries(tries))
    it(`cannot ${what}`, () => assert.rejects(act(), { code: 'ZT-403-POLICY' }))
})
