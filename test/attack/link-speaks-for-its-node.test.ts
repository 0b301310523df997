// Where the key of a node's SVID is in its TPM, the certificate of its connection is beside it with a key in memory. Whoever
// steals that key can connect, and say nothing: no request, no receipt and no key is believed that it signed, under the
// node's name or its own.
import assert from 'node:assert/strict'
import { generateKeyPairSync, randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { Received } from '#hub/bus/gate.ts'
import { performOperation, type Operations } from '#hub/bus/operations.ts'
import type { Admission } from '#node-agent/attest/admission.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import type { Channel } from '#shared/host/channel.ts'
import { systemClock } from '#shared/host/clock.ts'
import { silentLogger } from '#shared/host/logger.ts'
import { connectNats } from '#shared/host/nats-channel.ts'
import type { Identity } from '#shared/identity/identity.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { generateX25519 } from '#shared/jose/keys.ts'
import { openEncKey, signEncKey } from '#shared/protocol/enc-key.ts'
import { sealHubRequest } from '#shared/protocol/envelope.ts'
import { HUB_OPS } from '#shared/protocol/hub-ops.ts'
import { openReceipt, sealReceipt } from '#shared/protocol/receipt.ts'
import { hubSubject, inboxPrefix } from '#shared/protocol/subjects.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { judgementOf } from '#test/support/audit-rows.ts'
import { certificateOf, rawRequest, type TestClient } from '#test/support/hub-client.ts'
import type { TestHub } from '#test/support/hub.ts'
import { needsNats } from '#test/support/nats.ts'
import { ReceivingNode } from '#test/support/receiving-node.ts'
import { startTpmHub } from '#test/support/tpm-machine.ts'

const NODE = parseSpiffeId('spiffe://mesh.example/node/mini')
const LINK = parseSpiffeId('spiffe://mesh.example/link/mini')

describe('a stolen link', { skip: needsNats }, () => {
  const undo: (() => Promise<void>)[] = []
  const scope = { after: (action: () => Promise<void>) => void undo.unshift(action) }
  let hub: TestHub
  let admission: Admission
  let channel: Channel
  let trust: SvidValidator
  let ann: TestClient

  before(async () => {
    const made = await startTpmHub(scope)
    hub = made.hub
    ann = made.ann
    admission = (await made.joined('mini')).admission
    trust = new SvidValidator(hub.bundle)
    channel = await connectNats({
      servers: admission.nats.servers.map((server) => server.replace('tls://', '')),
      identity: { ...admission.identity, ...admission.link },
      credentials: admission.credentials,
      trust,
      expectServer: admission.nats.serverId,
      clock: systemClock,
      log: silentLogger,
    })
    scope.after(() => channel.close())
  })
  after(async () => {
    for (const step of undo) await step()
  })

  /** What the thief has: the link's certificate and key, under whichever name he likes. */
  const stolen = (id: Identity['id']): Identity => ({ ...admission.identity, ...admission.link, id })

  /** Publishes a request of the node's, and answers how the hub's log says that it was judged. */
  const judged = async (identity: Parameters<typeof sealHubRequest>[0]['identity']): Promise<string> => {
    const subject = hubSubject('deny', NODE)
    const { text } = await sealHubRequest(
      {
        identity,
        to: admission.hubKey,
        subject,
        reply: `${inboxPrefix(NODE)}.${randomUUID()}`,
        replyKey: generateX25519().publicKey,
        now: Date.now(),
      },
      { op: 'deny', params: {} },
    )
    channel.publish(subject, Buffer.from(text))
    return judgementOf(join(hub.stateDir, 'log.db'), sha256Text(text))
  }

  it('is another identity than its node, with another key', () => {
    const [leaf = new Uint8Array()] = admission.link.chain
    const link = trust.validate(admission.link.chain, Date.now())
    assert.equal(link.id, LINK)
    assert.equal('key' in admission.identity, false)
    assert.notDeepEqual(leaf, admission.identity.chain[0])
  })

  it('asks the hub for nothing', async () => {
    assert.equal(await judged(stolen(NODE)), 'ZT-421-MISDIRECTED')
    assert.equal(await judged(stolen(LINK)), 'ZT-421-MISDIRECTED')
    const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
    assert.equal(await judged({ ...admission.identity, key }), 'ZT-401-SIG')
  })

  it('may ask for nothing under a tag of its own, even if the broker let it', async () => {
    const caller = trust.validate(admission.link.chain, Date.now())
    const asked = { caller, sha256: '', envelope: { params: {} } } as unknown as Received
    const answered: string[] = []
    const all = HUB_OPS.map((op) => [op, async () => void answered.push(op)])
    const operations = Object.fromEntries(all) as unknown as Operations
    for (const op of HUB_OPS)
      await assert.rejects(
        performOperation(operations, { ...asked, envelope: { ...asked.envelope, op } }),
        { code: 'ZT-403-POLICY' },
        op,
      )
    assert.deepEqual(answered, [])
  })

  it('reads nothing of the hub over HTTPS', async () => {
    const answer = await rawRequest(hub, '/log/checkpoint', certificateOf(stolen(LINK)))
    assert.deepEqual([answer.status, answer.body['code']], [403, 'ZT-403-POLICY'])
  })

  it('commands no node, whatever it was granted', async (t) => {
    const node = await ReceivingNode.create(t)
    const signer = node.pki.identity('/link/other')
    const granted = { signer, claims: { sub: signer.id, cnf: { 'x5t#S256': signer.thumbprint } } }
    assert.equal(await node.send(node.spawn(), granted), undefined)
    assert.deepEqual(node.lastRejection(), { code: 'ZT-421-MISDIRECTED', check: 7 })
  })

  it('is not denied by its id, which would refuse nothing', async () => {
    await assert.rejects(ann.call('revoke', { id: LINK, reason: 'copied' }), { code: 'ZT-422-SPIFFE-ID' })
  })

  it('gives no receipt', async () => {
    const replyKeys = generateX25519()
    const asked = {
      v: 1,
      iss: parseSpiffeId('spiffe://mesh.example/operator/ann'),
      aud: NODE,
      chan: 'nats:zt.node.mini.cmd',
      reply: 'zt.inbox.ann',
      replyKey: Buffer.from(replyKeys.publicKey).toString('base64url'),
      jti: randomUUID(),
      nonce: randomUUID(),
      iat: Math.floor(Date.now() / 1000),
      exp: Math.floor(Date.now() / 1000) + 30,
    } as const
    const error = { code: 'ZT-404-NODE', message: 'gone', requestId: 'r' } as const
    const answer = { to: asked, outcome: { op: 'process.kill', ok: false, error }, now: Date.now() } as const
    for (const id of [NODE, LINK]) {
      const text = await sealReceipt(stolen(id), answer)
      const by = {
        trust,
        now: Date.now(),
        from: NODE,
        to: asked.iss,
        re: asked.jti,
        key: replyKeys.privateKey,
      }
      assert.throws(() => openReceipt(text, by), { code: 'ZT-421-MISDIRECTED' })
    }
  })

  it('has no command sealed to a key of its own', () => {
    const { publicKey } = generateX25519()
    for (const id of [NODE, LINK]) {
      const statement = signEncKey(stolen(id), publicKey, Date.now())
      assert.throws(() => openEncKey(statement, { trust, now: Date.now(), owner: NODE }), {
        code: 'ZT-421-MISDIRECTED',
      })
    }
  })
})
