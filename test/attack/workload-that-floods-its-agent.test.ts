// Attack: a workload asks its own socket as much as it can, with requests of the service and with what is none, to take
// the time of the agent from every other process of the node.
import assert from 'node:assert/strict'
import { connect, type ClientHttp2Session } from 'node:http2'
import { createConnection } from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import { status } from '@grpc/grpc-js'
import type { ProcId } from '#shared/identity/names.ts'
import { socketOf } from '#node-agent/workload-api/place.ts'
import { eventually } from '#test/support/eventually.ts'
import { encode, type WorkloadClient } from '#test/support/workload-client.ts'
import { WorkloadFixture } from '#test/support/workload-fixture.ts'

const request = encode('JWTSVIDRequest', { audience: ['db'] })
const NO_ANSWER = -1

const ask = (client: WorkloadClient): Promise<number> =>
  client.unary('FetchJWTSVID', request).then(
    () => status.OK,
    (error: { readonly code?: number }) => error.code ?? NO_ANSWER,
  )

async function askMany(client: WorkloadClient, count: number): Promise<Map<number, number>> {
  const codes = new Map<number, number>()
  for (let n = 0; n < count; n += 10)
    for (const code of await Promise.all(Array.from({ length: 10 }, () => ask(client))))
      codes.set(code, (codes.get(code) ?? 0) + 1)
  return codes
}

/** HTTP/2 without gRPC's manners. */
function raw(t: TestContext, fixture: WorkloadFixture, proc: ProcId): ClientHttp2Session {
  const path = socketOf(fixture.workspaceRoot, proc)
  const session = connect('http://localhost', { createConnection: () => createConnection(path) })
  session.on('error', () => undefined)
  t.after(() => session.destroy())
  return session
}

describe('a workload that floods its agent', () => {
  it('is told so before anything is done, and then cut off for a second', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const { proc, client } = await fixture.begin(t)
    const other = await fixture.begin(t)
    const codes = await askMany(client, 300)
    assert.deepEqual([codes.get(status.OK), codes.get(status.RESOURCE_EXHAUSTED)], [200, 100])
    assert.equal(await ask(client), status.UNAVAILABLE)
    const waiting = ask(fixture.connect(t, proc))
    assert.equal(await ask(other.client), status.OK)
    const late = await Promise.race([waiting, new Promise(setImmediate).then(() => 'waits')])
    assert.equal(late, 'waits')
    fixture.clock.advance(1000)
    assert.equal(await waiting, status.OK)
  })

  it('is cut off for what is no request of the service too', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const { proc } = await fixture.begin(t)
    const session = raw(t, fixture, proc)
    const noise = Buffer.alloc(8192)
    const headers = { ':method': 'POST', ':path': '/x', 'content-type': 'application/grpc', te: 'trailers' }
    await eventually('the end of the connection', () => {
      for (let n = 0; n < 20 && !session.destroyed; n += 1) {
        const stream = session.request({ ...headers, x: noise.toString('hex', 0, 512 + n) })
        stream.on('error', () => undefined)
        stream.end()
      }
      fixture.clock.advance(1)
      return session.destroyed || undefined
    })
  })

  it('is left alone while it asks as much as it may', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const { client } = await fixture.begin(t)
    for (let second = 0; second < 30; second += 1) {
      assert.deepEqual([...(await askMany(client, 20))], [[status.OK, 20]])
      fixture.clock.advance(1000)
    }
  })
})
