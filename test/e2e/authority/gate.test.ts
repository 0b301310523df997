import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, describe, it } from 'node:test'
import { parseNodeName } from '#shared/identity/names.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { generateX25519 } from '#shared/jose/keys.ts'
import { encKeyId } from '#shared/protocol/enc-key.ts'
import type { HubOp } from '#shared/protocol/hub-ops.ts'
import type { Receipt } from '#shared/protocol/receipt.ts'
import { hubSubject } from '#shared/protocol/subjects.ts'
import { createTestAuthority } from '#test/support/test-authority.ts'
import { startTestHub, type TestHub } from '#test/support/hub.ts'
import { operator, type TestClient } from '#test/support/hub-client.ts'
import { joinNode, spawnCommand, type TestNode } from '#test/support/hub-node.ts'
import { needsNats } from '#test/support/nats.ts'

const LIST = { op: 'node.list', params: {} } as const
// Longer than the hub needs for an answer, short enough to wait for none.
const SILENCE_MS = 400

describe('a request over NATS', { skip: needsNats }, () => {
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
  const codeOf = (receipt: Receipt): string => (receipt.ok ? 'ok' : receipt.error.code)
  type Message = Awaited<ReturnType<TestClient['seal']>>
  const unanswered = (message: Message): Promise<void> =>
    assert.rejects(alice.send(message, SILENCE_MS), { code: 'ZT-504-TIMEOUT' })
  const bend = (message: Message, text: string): Message => ({
    ...message,
    sealed: { ...message.sealed, text },
  })

  it('is answered once, and a copy of it is a replay', async () => {
    const message = await alice.seal(LIST)
    assert.equal(codeOf(await alice.send(message)), 'ok')
    assert.equal(codeOf(await alice.send(message)), 'ZT-409-REPLAY')
  })

  it('is answered to one of 20 copies at once', async () => {
    const message = await alice.seal(LIST)
    const codes = (await Promise.all(Array.from({ length: 20 }, () => alice.send(message)))).map(codeOf)
    assert.equal(codes.filter((code) => code === 'ok').length, 1)
    assert.equal(codes.filter((code) => code === 'ZT-409-REPLAY').length, 19)
  })

  const times: Record<string, { now?: number; lifeSeconds?: number }> = {
    'older than 30 seconds': { now: -31_000, lifeSeconds: 60 },
    // Far enough to be so still when a busy machine comes to it.
    'more than 30 seconds ahead': { now: 60_000 },
    'past its end': { now: -5000, lifeSeconds: 1 },
    'meant to live for more than a minute': { lifeSeconds: 61 },
    'meant to live for no time': { lifeSeconds: 0 },
  }
  for (const [what, { now = 0, lifeSeconds }] of Object.entries(times))
    it(`is refused when it is ${what}`, async () => {
      const change = { now: Date.now() + now, ...(lifeSeconds !== undefined && { lifeSeconds }) }
      assert.equal(codeOf(await alice.send(await alice.seal(LIST, change))), 'ZT-408-STALE')
    })

  const silent: Record<string, () => Promise<Message>> = {
    'with a byte changed': async () => {
      const message = await alice.seal(LIST)
      const { text } = message.sealed
      return bend(message, `${text.slice(0, -1)}${text.endsWith('A') ? 'B' : 'A'}`)
    },
    'that is no envelope': async () => bend(await alice.seal(LIST), 'hello'),
    'that is not sealed': async () => bend(await alice.seal(LIST), alice.idToken()),
    'that is over 64 KiB': async () => bend(await alice.seal(LIST), 'A'.repeat(65 * 1024)),
    'sealed to a key that the hub does not hold': () => {
      const { publicKey } = generateX25519()
      return alice.seal(LIST, { to: { ...alice.hubKey, publicKey, kid: encKeyId(publicKey) } })
    },
    'sealed to a node': () => {
      const { publicKey } = node.client.keys.enc
      return alice.seal(LIST, { to: { ...alice.hubKey, publicKey, kid: encKeyId(publicKey) } })
    },
    'signed under a foreign root': async () => {
      const foreign = await createTestAuthority('mesh.example', Date.now())
      return alice.seal(LIST, { identity: await foreign.identity('/operator/alice') })
    },
    'signed in the name of another': () =>
      alice.seal(LIST, {
        identity: { ...alice.identity, id: parseSpiffeId('spiffe://mesh.example/operator/bob') },
      }),
    'signed with a key that is not the certificate’s': () =>
      alice.seal(LIST, { identity: { ...alice.identity, key: node.client.identity.key } }),
    'addressed to another hub': () =>
      alice.seal(LIST, { to: { ...alice.hubKey, owner: parseSpiffeId('spiffe://mesh.example/hub/h2') } }),
    'sent on the subject of another operation': async () => ({
      ...(await alice.seal(LIST)),
      subject: hubSubject('deny', alice.id),
    }),
    'whose operation is not that of its signed subject': () =>
      alice.seal(LIST, { subject: hubSubject('deny', alice.id) }),
    'with a field that no operation has': () =>
      alice.seal({ op: 'node.list', params: {}, more: 1 } as { op: HubOp; params: unknown }),
  }
  for (const [what, make] of Object.entries(silent))
    it(`gets no answer when it is one ${what}`, async () => unanswered(await make()))

  it('is refused when its parameters have a field that the operation does not know', async () => {
    const message = await alice.seal({ op: 'node.list', params: { all: true } })
    assert.equal(codeOf(await alice.send(message)), 'ZT-422-SCHEMA')
  })

  const wrongKind: Record<string, () => Promise<unknown>> = {
    'a node asks for a token': () => node.client.token(spawnCommand(node.id)),
    'a node lists nodes': () => node.client.call('node.list', {}),
    'a node invites another': () => node.client.call('node.join-token', { node: parseNodeName('n2') }),
    'a node revokes another': () =>
      node.client.call('node.revoke', { node: parseNodeName('n1'), reason: 'x' }),
    'a node reads the log': () => node.client.call('log', { kind: 'checkpoint' }),
    'an operator says hello as a node': () => alice.call('hello', { enc_key: alice.credentials.hub_key }),
  }
  for (const [what, act] of Object.entries(wrongKind))
    it(`is refused when ${what}`, () => assert.rejects(act(), { code: 'ZT-403-POLICY' }))

  it('cannot give a node the encryption key of somebody else', () =>
    assert.rejects(node.client.call('hello', { enc_key: alice.credentials.hub_key }), {
      code: 'ZT-421-MISDIRECTED',
    }))

  it('leaves no secret in the log of the program', async () => {
    const { join } = await alice.call('node.join-token', { node: parseNodeName('quiet') })
    const token = await alice.token(spawnCommand(node.id))
    const said = readFileSync(hub.logFile, 'utf8')
    for (const secret of [join, token.access_token, alice.credentials.nats_jwt, alice.idToken().slice(0, 40)])
      assert.ok(!said.includes(secret))
  })
})
