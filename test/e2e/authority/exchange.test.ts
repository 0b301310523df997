import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { sha256Text } from '#shared/encoding/digest.ts'
import { parseNodeName, parseTrustDomain } from '#shared/identity/names.ts'
import { nodeId, parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { parseVkey } from '#shared/log/note.ts'
import { verifyCapability } from '#shared/protocol/capability.ts'
import { openEncKey } from '#shared/protocol/enc-key.ts'
import {
  exchangeForm,
  exchangeRequest,
  parseExchangeResponse,
  signIdToken,
} from '#shared/protocol/exchange.ts'
import { openCheckpoint } from '#shared/log/checkpoint.ts'
import { startTestHub, type TestHub } from '#test/support/hub.ts'
import {
  certificateOf,
  FORM_POST,
  operator,
  rawRequest,
  type RawAnswer,
  type TestClient,
} from '#test/support/hub-client.ts'
import { connectNode, joinNode, machine, spawnCommand, type TestNode } from '#test/support/hub-node.ts'
import { needsNats } from '#test/support/nats.ts'

const domain = parseTrustDomain('mesh.example')

describe('the token exchange', { skip: needsNats }, () => {
  let hub: TestHub
  let alice: TestClient
  let node: TestNode
  before(async () => {
    hub = await startTestHub()
    alice = await operator(hub)
    node = await joinNode(hub, alice, { name: 'n1' })
  })
  after(async () => {
    await node?.close()
    await alice?.close()
    await hub?.stop()
  })
  const form = (body: string, identity = alice.identity): Promise<RawAnswer> =>
    rawRequest(hub, '/oauth/token', { ...FORM_POST, ...certificateOf(identity), body })
  const zt = (answer: RawAnswer): unknown => (answer.body['zt'] as Record<string, unknown>)['code']

  it('gives a capability that the node verifies: this command, this caller, this boot, 15 seconds', async () => {
    const cmd = spawnCommand(node.id)
    const given = await alice.token(cmd)
    const { claims, detail } = verifyCapability(given.access_token, {
      trust: alice.trust,
      now: Date.now(),
      aud: node.id,
      holder: { id: alice.id, thumbprint: alice.identity.thumbprint },
      tth: sha256Text(given.access_token),
      boot: 'boot-1',
      fence: 1,
    })
    assert.equal(claims.exp - claims.iat, 15)
    assert.deepEqual(claims.pol.reasons, ['default.operator'])
    assert.equal(detail.identifier, 'proc' in cmd ? cmd.proc : '')
    assert.equal(
      openEncKey(given.zt.node_key, { trust: alice.trust, now: Date.now(), owner: node.id }).owner,
      node.id,
    )
  })

  it('gives the same over HTTPS with a client certificate', async () => {
    const answer = await form(exchangeForm(exchangeRequest(spawnCommand(node.id), alice.idToken())))
    assert.equal(answer.status, 200)
    assert.equal(parseExchangeResponse(answer.body).expires_in, 15)
  })

  it('names the row in its receipt, under a head that the log of the hub signed', async () => {
    const params = exchangeRequest(spawnCommand(node.id), alice.idToken())
    const receipt = await alice.send(await alice.seal({ op: 'token', params }))
    const { origin, vkey } = alice.credentials.hub_log
    const head = openCheckpoint(receipt.checkpoint ?? '', origin, [parseVkey(vkey)])
    assert.ok(head.size > (receipt.row?.seq ?? Infinity))
  })

  it('refuses a client without a certificate in the words of OAuth', async () => {
    const body = exchangeForm(exchangeRequest(spawnCommand(node.id), alice.idToken()))
    const answer = await rawRequest(hub, '/oauth/token', { ...FORM_POST, body })
    assert.deepEqual(
      [answer.status, answer.body['error'], zt(answer)],
      [401, 'invalid_client', 'ZT-401-CERT'],
    )
  })

  it('refuses a subject token that was used before', async () => {
    const idToken = alice.idToken()
    await form(exchangeForm(exchangeRequest(spawnCommand(node.id), idToken)))
    const answer = await form(exchangeForm(exchangeRequest(spawnCommand(node.id), idToken)))
    assert.equal(zt(answer), 'ZT-409-REPLAY')
  })

  it('refuses a subject token of somebody else', async () => {
    const foreign = signIdToken(node.client.identity, { hub: parseSpiffeId(hub.id), now: Date.now() })
    const answer = await form(exchangeForm(exchangeRequest(spawnCommand(node.id), foreign)))
    assert.deepEqual([answer.body['error'], zt(answer)], ['access_denied', 'ZT-403-HOLDER'])
  })

  it('refuses a subject token for another hub', async () => {
    const other = signIdToken(alice.identity, {
      hub: parseSpiffeId('spiffe://mesh.example/hub/h2'),
      now: Date.now(),
    })
    assert.equal(
      zt(await form(exchangeForm(exchangeRequest(spawnCommand(node.id), other)))),
      'ZT-421-MISDIRECTED',
    )
  })

  it('refuses a subject token of another minute', async () => {
    const late = signIdToken(alice.identity, { hub: parseSpiffeId(hub.id), now: Date.now() - 61_000 })
    assert.equal(zt(await form(exchangeForm(exchangeRequest(spawnCommand(node.id), late)))), 'ZT-408-STALE')
  })

  it('refuses a subject token with a byte changed', async () => {
    const token = alice.idToken()
    const [head = '', body = '', signature = ''] = token.split('.')
    const bent = [head, body, `${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`].join('.')
    assert.equal(zt(await form(exchangeForm(exchangeRequest(spawnCommand(node.id), bent)))), 'ZT-401-SIG')
  })

  it('refuses a node that never joined', async () => {
    const cmd = spawnCommand(nodeId(domain, parseNodeName('nobody')))
    await assert.rejects(alice.token(cmd), { code: 'ZT-404-NODE' })
  })

  it('refuses a node of another trust domain', async () => {
    const cmd = spawnCommand(nodeId(parseTrustDomain('other.example'), parseNodeName('n1')))
    await assert.rejects(alice.token(cmd), { code: 'ZT-404-NODE' })
  })

  it('refuses a node that has not anchored its log', async () => {
    const silent = await joinNode(hub, alice, { name: 'silent', ready: false })
    await silent.hello()
    await assert.rejects(alice.token(spawnCommand(silent.id)), { code: 'ZT-503-ANCHOR' })
    await silent.close()
  })

  it('refuses a node that has not said its encryption key', async () => {
    const mute = await joinNode(hub, alice, { name: 'mute', ready: false })
    await mute.anchor()
    await assert.rejects(alice.token(spawnCommand(mute.id)), { code: 'ZT-503-NODE' })
    await mute.close()
  })

  it('gives one spawn token for a process, to one of 20 that ask at once', async () => {
    const cmd = spawnCommand(node.id)
    const results = await Promise.allSettled(Array.from({ length: 20 }, () => alice.token(cmd)))
    const refused = results.filter((result) => result.status === 'rejected')
    assert.equal(results.length - refused.length, 1)
    for (const { reason } of refused) assert.equal((reason as { code: string }).code, 'ZT-409-IDENTIFIER')
  })

  it('gives kill and watch tokens for a process as often as they are asked for', async () => {
    const spawn = spawnCommand(node.id)
    const kill = {
      v: 1,
      op: 'process.kill',
      node: node.id,
      proc: 'proc' in spawn ? spawn.proc : ('' as never),
      started: 1,
      grace_ms: 0,
    } as const
    await alice.token(kill)
    assert.equal((await alice.token(kill)).scope, 'process.kill')
  })

  it('names the boot and the joining of the node, so that a rebooted one refuses older tokens', async () => {
    const who = machine('reboots')
    const first = await joinNode(hub, alice, { name: 'reboots', machine: who })
    await first.close()
    const again = await connectNode(hub, { ...who, boot: 'boot-2' }, { ready: false })
    await again.hello()
    const token = (await alice.token(spawnCommand(again.id))).access_token
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as {
      node: unknown
    }
    assert.deepEqual(claims.node, { boot: 'boot-2', fence: 2 })
    await again.close()
  })

  const bent: Record<string, (body: URLSearchParams) => void> = {
    'a field given twice': (body) => body.append('audience', node.id),
    'another grant type': (body) => body.set('grant_type', 'client_credentials'),
    'another audience than the command has': (body) => body.set('audience', 'spiffe://mesh.example/node/n2'),
    'another scope than the command has': (body) => body.set('scope', 'process.kill'),
    'no authorization details': (body) => body.delete('authorization_details'),
    'details that are no JSON': (body) => body.set('authorization_details', '['),
    'two details': (body) => {
      const [detail] = JSON.parse(body.get('authorization_details') ?? '[]') as unknown[]
      body.set('authorization_details', JSON.stringify([detail, detail]))
    },
  }
  for (const [what, bend] of Object.entries(bent))
    it(`refuses a form with ${what}`, async () => {
      const body = new URLSearchParams(exchangeForm(exchangeRequest(spawnCommand(node.id), alice.idToken())))
      bend(body)
      const answer = await form(body.toString())
      assert.deepEqual([answer.status, answer.body['error']], [400, 'invalid_request'])
    })

  it('can-i says what the exchange would, and takes no identifier', async () => {
    const cmd = spawnCommand(node.id)
    const answer = await alice.call('can-i', { cmd })
    assert.equal(answer.allowed, true)
    assert.match(answer.reasons.join(), /^default\.operator \(.*\)$/)
    await alice.token(cmd)
  })
})
