// An identity that has ended is refused on the connection that it opened while it lived, and a TLS session of its life
// opens no new one: Node's server would accept both.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Agent } from 'node:https'
import { connect } from 'node:tls'
import { after, before, describe, it } from 'node:test'
import { startTestHub, type TestHub } from '#test/support/hub.ts'
import {
  certificateOf,
  FORM_POST,
  operator,
  rawRequest,
  type RawAnswer,
  type TestClient,
} from '#test/support/hub-client.ts'
import { eventually, needsNats } from '#test/support/nats.ts'

describe('an SVID that has ended', { skip: needsNats }, () => {
  let hub: TestHub
  let alice: TestClient
  let agent: Agent
  before(async () => {
    hub = await startTestHub({ config: { svidTtlS: 4 } })
    alice = await operator(hub)
    agent = new Agent({
      keepAlive: true,
      maxSockets: 1,
      maxCachedSessions: 0,
      ...certificateOf(alice.identity),
    })
  })
  after(async () => {
    agent?.destroy()
    await alice?.close()
    await hub?.stop()
  })

  const ask = (): Promise<RawAnswer> =>
    rawRequest(hub, '/oauth/token', { ...FORM_POST, agent, body: 'grant_type=x' })
  const sockets = (): number => Object.values(agent.freeSockets).flat().length

  it('is refused on a connection that was open before, and by resumption', async () => {
    const host = new URL(hub.url)
    const first = connect({
      host: host.hostname,
      port: Number(host.port),
      rejectUnauthorized: false,
      ...certificateOf(alice.identity),
    })
    const [session] = (await once(first, 'session')) as [Buffer]
    first.destroy()

    // Refused for what it asks, not for who asks: the identity is good.
    assert.equal((await ask()).body['error'], 'invalid_request')
    assert.equal(sockets(), 1)
    // RFC 5280 §4.1.2.5: the second that notAfter names is the last one.
    await eventually('the SVID has ended', () => Date.now() > alice.identity.notAfter + 1000)
    const late = await ask()
    assert.equal(late.status, 401)
    assert.equal(late.body['error'], 'invalid_client')

    const second = connect({
      host: host.hostname,
      port: Number(host.port),
      rejectUnauthorized: false,
      session,
      ...certificateOf(alice.identity),
    })
    second.on('error', () => undefined)
    const chunks: Buffer[] = []
    second.on('data', (chunk: Buffer) => chunks.push(chunk))
    second.write('GET /v1/health HTTP/1.1\r\nhost: x\r\n\r\n')
    await once(second, 'close')
    assert.equal(Buffer.concat(chunks).toString(), '')
  })
})
