import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { isZtError } from '#shared/errors/error.ts'
import { parseNodeName } from '#shared/identity/names.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { openDenyList } from '#shared/protocol/deny-list.ts'
import { generateNkey } from '#shared/nats/nkeys.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { needsNats } from '#test/support/nats.ts'
import { startTestHub, type TestHub } from '#test/support/hub.ts'
import {
  freshKeys,
  httpsTo,
  identityOf,
  JSON_POST,
  operator,
  rawRequest,
  type TestClient,
} from '#test/support/hub-client.ts'
import { attest, machine, type AttestChange, type TestMachine } from '#test/support/hub-node.ts'

describe('joining', { skip: needsNats }, () => {
  let hub: TestHub
  let alice: TestClient
  before(async () => {
    hub = await startTestHub()
    alice = await operator(hub)
  })
  after(async () => {
    await alice?.close()
    await hub?.stop()
  })

  const invite = async (name: string, replace?: boolean): Promise<string> => {
    const node = parseNodeName(name)
    return (await alice.call('node.join-token', replace === undefined ? { node } : { node, replace })).join
  }
  const joined = async (who: TestMachine): Promise<string> => {
    const join = await invite(who.name)
    await attest(hub, who, { join })
    return join
  }
  const codeOf = async (work: Promise<unknown>): Promise<string> => {
    try {
      await work
      return 'ok'
    } catch (error) {
      if (isZtError(error)) return error.code
      throw error
    }
  }

  it('gives a machine with a join token an identity, a NATS user, and what it needs to check the hub', async () => {
    const who = machine('first')
    const { response, keys } = await attest(hub, who, { join: await invite('first') })
    const trust = new SvidValidator(hub.bundle)
    const id = parseSpiffeId('spiffe://mesh.example/node/first')
    const svid = trust.validate(identityOf(id, response, keys).chain, Date.now())
    assert.equal(svid.id, id)
    assert.ok(svid.notAfter - Date.now() <= 300_000)
    assert.equal(openDenyList(response.deny, { trust, now: Date.now() }).ver, 0)
    assert.deepEqual([response.fence, response.lvl, response.policy.ver], [1, 1, 1])
    assert.equal(response.nats.serverId, hub.natsId)
  })

  it('lets the machine stay with its device key, and counts its boots', async () => {
    const who = machine('stays')
    await joined(who)
    assert.equal((await attest(hub, who)).response.fence, 1)
    assert.equal((await attest(hub, { ...who, boot: 'boot-2' })).response.fence, 2)
    assert.equal((await attest(hub, { ...who, boot: 'boot-2' })).response.fence, 2)
  })

  it('makes no second token for a registered name, unless it replaces', async () => {
    await joined(machine('taken'))
    assert.equal(await codeOf(invite('taken')), 'ZT-403-JOIN')
    const next = machine('taken', { epoch: 2 })
    await attest(hub, next, { join: await invite('taken', true) })
    assert.equal(await codeOf(attest(hub, next)), 'ok')
  })

  it('no longer knows the machine whose name another one took', async () => {
    const old = machine('moved')
    await joined(old)
    await attest(hub, machine('moved', { epoch: 2 }), { join: await invite('moved', true) })
    assert.equal(await codeOf(attest(hub, old)), 'ZT-401-EVIDENCE')
  })

  const forged: Record<string, (who: TestMachine) => Promise<AttestChange & { code?: string }>> = {
    'a proof for another hub': async () => ({ hub: 'spiffe://mesh.example/hub/h2' }),
    'a proof over another encryption key': async () => ({ enc: encodeBase64url(freshKeys().enc.publicKey) }),
    'a NATS key that somebody else holds': async () => ({ nats: generateNkey('user') }),
    'a proof of another device': async () => ({
      evidence: () => ({ type: 'device-key', proof: encodeBase64url(randomBytes(64)) }),
    }),
    'a challenge that was given out for another node': async () => ({
      node: 'forged-other',
      code: 'ZT-401-NONCE',
    }),
    'a challenge that was never given out': async () => ({
      session: encodeBase64url(randomBytes(16)),
      code: 'ZT-401-NONCE',
    }),
  }
  for (const [index, [what, forge]] of Object.entries(forged).entries())
    it(`refuses ${what}`, async () => {
      const who = machine(`forged-${index}`)
      await joined(who)
      const { code = 'ZT-401-EVIDENCE', ...change } = await forge(who)
      assert.equal(await codeOf(attest(hub, who, change)), code)
    })

  it('refuses a name that never joined as it refuses a proof that fails', async () => {
    assert.equal(await codeOf(attest(hub, machine('stranger'))), 'ZT-401-EVIDENCE')
  })

  it('refuses a challenge that was used before', async () => {
    const who = machine('twice')
    await joined(who)
    const https = httpsTo(hub)
    const { session } = (await https.post('/v1/challenge', { node: 'twice' })) as { session: string }
    assert.equal(await codeOf(attest(hub, who, { session })), 'ZT-401-EVIDENCE')
    assert.equal(await codeOf(attest(hub, who, { session })), 'ZT-401-NONCE')
  })

  const logs: Record<string, { origin: string; code: string }> = {
    'of the hub': { origin: 'mesh.example/log/hub/h1/e1', code: 'ZT-422-SCHEMA' },
    'of another node': { origin: 'mesh.example/log/node/first/e1', code: 'ZT-422-SCHEMA' },
    'without an epoch': { origin: 'mesh.example/log/node/log-0/e0', code: 'ZT-422-SCHEMA' },
  }
  for (const [index, [what, { origin, code }]] of Object.entries(logs).entries())
    it(`does not let a node register a log ${what}`, async () => {
      const who = machine(`log-${index}`, { origin })
      assert.equal(await codeOf(attest(hub, who, { join: await invite(who.name) })), code)
    })

  it('does not let a node come back with another log than the one that is anchored', async () => {
    const who = machine('forked')
    await joined(who)
    const other = machine('forked', { epoch: 2 })
    assert.equal(await codeOf(attest(hub, { ...other, device: who.device })), 'ZT-490-FORK')
    const { logKey, log } = machine('forked')
    assert.equal(await codeOf(attest(hub, { ...who, logKey, log })), 'ZT-490-FORK')
  })

  it('does not let a machine that replaces another one go on with its log, and leaves the token unspent', async () => {
    await joined(machine('heir'))
    const join = await invite('heir', true)
    assert.equal(await codeOf(attest(hub, machine('heir'), { join })), 'ZT-490-FORK')
    assert.equal(await codeOf(attest(hub, machine('heir', { epoch: 2 }), { join })), 'ok')
  })

  it('refuses a NATS key that belongs to somebody else', async () => {
    const keys = freshKeys()
    const [one, two] = [machine('nats-one'), machine('nats-two')]
    await attest(hub, one, { join: await invite('nats-one'), keys })
    const copied = { ...freshKeys(), nats: keys.nats }
    assert.equal(
      await codeOf(attest(hub, two, { join: await invite('nats-two'), keys: copied })),
      'ZT-401-EVIDENCE',
    )
  })

  const bodies: Record<string, string> = {
    'a field twice': '{"node":"a","node":"b"}',
    'an unknown field': '{"node":"a","debug":true}',
    'a name with a dot': '{"node":"a.b"}',
    'a wildcard': '{"node":"*"}',
    'no JSON': 'node=a',
  }
  for (const [what, body] of Object.entries(bodies))
    it(`refuses a challenge request with ${what}`, async () => {
      const answer = await rawRequest(hub, '/v1/challenge', { ...JSON_POST, body })
      assert.match(String(answer.body['code']), /^ZT-(?:422-SCHEMA|400-MALFORMED)$/)
    })

  it('shows operators who is invited, joined and revoked', async () => {
    await invite('waiting')
    const { nodes } = await alice.call('node.list', {})
    const state = new Map(nodes.map((node) => [node.name as string, node.state]))
    assert.equal(state.get('waiting'), 'invited')
    assert.equal(state.get('first'), 'joined')
  })
})
