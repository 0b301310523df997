// From before a task starts until the hub has heard of its end, over restarts of the agent.
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { status } from '@grpc/grpc-js'
import { makePlace, placedTasks, placeOf, socketOf } from '#node-agent/workload-api/place.ts'
import { ZtError } from '#shared/errors/error.ts'
import { eventually } from '#test/support/eventually.ts'
import { randomProc } from '#test/support/keeper.ts'
import { decode, type Received, type Svid } from '#test/support/workload-client.ts'
import { WorkloadFixture } from '#test/support/workload-fixture.ts'

const first = (stream: Received): Promise<Svid> =>
  eventually('the first message', () => {
    const [bytes] = stream.messages
    return bytes === undefined ? undefined : (decode('X509SVIDResponse', bytes) as { svids: Svid[] }).svids[0]
  })
const codeOf = (stream: Received): Promise<number> =>
  eventually('the end of the stream', () => stream.ended?.code)

describe('the identity of a task', () => {
  it('ends with it: streams end, nobody connects, and the hub is told', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const { proc, client } = await fixture.begin(t)
    const stream = client.stream('FetchX509SVID')
    await first(stream)
    fixture.states.set(proc, 'exited')
    await fixture.api.ended(proc)
    assert.equal(await codeOf(stream), status.PERMISSION_DENIED)
    assert.deepEqual(fixture.hub.asked.at(-1), { op: 'task.ended', params: { proc } })
    assert.equal(await codeOf(client.stream('FetchX509SVID')), status.UNAVAILABLE)
    assert.ok(!existsSync(placeOf(fixture.workspaceRoot, proc)))
  })

  it('is served again by the next agent, with a new key', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const { client } = await fixture.begin(t)
    const stream = client.stream('FetchX509SVID')
    const before = await first(stream)
    await fixture.restart()
    assert.equal(await codeOf(stream), status.UNAVAILABLE)
    const after = await eventually('an answer of the new agent', async () => {
      const again = client.stream('FetchX509SVID')
      await eventually('anything', () => again.messages.length > 0 || again.ended !== undefined || undefined)
      return again.messages.length > 0 ? first(again) : undefined
    })
    assert.equal(after.spiffeId, before.spiffeId)
    assert.notDeepEqual(after.x509SvidKey, before.x509SvidKey)
  })

  it('of a task that ended while no agent ran is told to the hub, once it can be', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const { proc } = await fixture.begin(t)
    fixture.states.set(proc, 'exited')
    fixture.hub.failure = new ZtError('ZT-503-NATS', 'the node is not connected')
    await fixture.restart()
    assert.deepEqual(placedTasks(fixture.workspaceRoot), [proc])
    fixture.hub.failure = undefined
    await fixture.api.resume()
    assert.deepEqual(placedTasks(fixture.workspaceRoot), [])
  })

  it('that the hub never heard of leaves nothing behind', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const { proc } = await fixture.begin(t)
    fixture.hub.failure = new ZtError('ZT-403-TASK', 'there is no such task')
    await fixture.api.ended(proc)
    assert.deepEqual(placedTasks(fixture.workspaceRoot), [])
  })

  it('is refused at once to a task whose owner is denied', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const { client } = await fixture.begin(t)
    const stream = client.stream('FetchX509SVID')
    await first(stream)
    fixture.denied.add(fixture.owner)
    fixture.api.denialsChanged()
    assert.equal(await codeOf(stream), status.PERMISSION_DENIED)
    const asked = fixture.hub.asked.length
    assert.equal(await codeOf(client.stream('FetchX509SVID')), status.PERMISSION_DENIED)
    assert.equal(fixture.hub.asked.length, asked)
  })

  it('is refused at once to a task that is denied itself, and to no other', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const [denied, other] = [await fixture.begin(t), await fixture.begin(t)]
    const streams = [denied, other].map(({ client }) => client.stream('FetchX509SVID'))
    const [svid] = await Promise.all(streams.map(first))
    fixture.denied.add(svid?.spiffeId ?? '')
    fixture.api.denialsChanged()
    assert.equal(await codeOf(streams[0] as Received), status.PERMISSION_DENIED)
    assert.equal(streams[1]?.ended, undefined)
    // The hub would refuse it; a node whose list is newer does so by itself.
    assert.equal(await codeOf(denied.client.stream('FetchX509SVID')), status.PERMISSION_DENIED)
  })

  const line: Record<string, (fixture: WorkloadFixture) => string> = {
    'the certificate with which it was asked for': ({ ownerX5t }) => ownerX5t,
    'its node': ({ node }) => node,
  }
  for (const [what, nameOf] of Object.entries(line))
    for (const restarted of [false, true])
      it(`is refused at once where ${what} is denied${restarted ? ', by the next agent too' : ''}`, async (t) => {
        const fixture = await WorkloadFixture.create(t)
        const { client } = await fixture.begin(t)
        if (restarted) await fixture.restart()
        const stream = await eventually('a stream', async () => {
          const again = client.stream('FetchX509SVID')
          await eventually(
            'anything',
            () => again.messages.length > 0 || again.ended !== undefined || undefined,
          )
          return again.ended === undefined ? again : undefined
        })
        fixture.denied.add(nameOf(fixture))
        fixture.api.denialsChanged()
        assert.equal(await codeOf(stream), status.PERMISSION_DENIED)
        const asked = fixture.hub.asked.length
        assert.equal(await codeOf(client.stream('FetchX509SVID')), status.PERMISSION_DENIED)
        assert.equal(fixture.hub.asked.length, asked)
      })

  it('is not asked for anew by each request of a task that is refused', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const { client } = await fixture.begin(t)
    fixture.hub.failure = new ZtError('ZT-403-TASK', 'ended')
    for (let n = 0; n < 30; n += 1)
      assert.equal(await codeOf(client.stream('FetchX509Bundles')), status.PERMISSION_DENIED)
    assert.equal(fixture.hub.count('task.svid'), 1)
    fixture.clock.advance(2000)
    fixture.hub.failure = undefined
    await first(client.stream('FetchX509SVID'))
  })

  it('asks for bundles once in a second, where the hub gives none', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const { client } = await fixture.begin(t)
    fixture.hub.failures.set('bundles', new ZtError('ZT-503-NATS', 'no'))
    for (let n = 0; n < 10; n += 1)
      assert.equal(await codeOf(client.stream('FetchX509Bundles')), status.UNAVAILABLE)
    assert.equal(fixture.hub.count('bundles'), 1)
    fixture.clock.advance(1000)
    assert.equal(await codeOf(client.stream('FetchX509Bundles')), status.UNAVAILABLE)
    assert.equal(fixture.hub.count('bundles'), 2)
  })

  it('needs a path that a socket can have', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const long = join(fixture.workspaceRoot, 'x'.repeat(80))
    mkdirSync(long)
    const proc = randomProc()
    assert.ok(socketOf(long, proc).length > 107)
    assert.throws(() => makePlace(long, proc), { code: 'ZT-412-FACT' })
  })

  it('is made once for a process', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const { proc } = await fixture.begin(t)
    await assert.rejects(fixture.api.begin(fixture.taskOf(proc)), { code: 'ZT-500-SPAWN' })
  })

  it('leaves alone what is no folder of a task', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    await fixture.begin(t)
    writeFileSync(join(fixture.workspaceRoot, '.workload', 'README'), 'kept')
    assert.equal(placedTasks(fixture.workspaceRoot).length, 1)
  })
})
