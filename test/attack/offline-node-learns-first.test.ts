// A node was away while somebody was revoked: switched off, or its link was down. Whoever has the broker sends it commands
// of the revoked one, with a capability from before, again and again from the moment on at which it can be reached. It
// learns of the revocation before it accepts anything.
import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, it } from 'node:test'
import { freePort } from '#ops/demo/free-port.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import { parseNodeName } from '#shared/identity/names.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { openEncKey } from '#shared/protocol/enc-key.ts'
import { sealCommand } from '#shared/protocol/envelope.ts'
import { commandSubject } from '#shared/protocol/subjects.ts'
import { generateX25519 } from '#shared/jose/keys.ts'
import type { ExchangeResponse } from '#shared/protocol/exchange.ts'
import type { Command } from '#shared/protocol/command.ts'
import { startTestHub, type TestHub } from '#test/support/hub.ts'
import { operator, type TestClient } from '#test/support/hub-client.ts'
import { spawnCommand } from '#test/support/hub-node.ts'
import { eventually, NATS_BINARY } from '#test/support/nats.ts'
import { needsMesh } from '#test/support/mesh.ts'
import { RealNode } from '#test/support/real-node.ts'
import { TcpCut } from '#test/support/tcp-cut.ts'

const EVERY_MS = 2

describe('a node that was away while somebody was revoked', { skip: needsMesh }, () => {
  let hub: TestHub
  let cable: TcpCut
  let alice: TestClient
  let stolen: TestClient
  let node: RealNode
  let cmd: Command
  let granted: ExchangeResponse

  before(async () => {
    const port = await freePort()
    cable = await TcpCut.lay(port)
    const url = `tls://127.0.0.1:${cable.port}`
    hub = await startTestHub({ config: { nats: { host: '127.0.0.1', port, binary: NATS_BINARY, url } } })
    alice = await operator(hub)
    stolen = await operator(hub)
    cable.spareThese()
    node = await RealNode.create(hub, alice, { name: 'n1' })
  })
  after(async () => {
    await node?.end()
    await stolen?.close()
    await alice?.close()
    await hub?.stop()
    await cable?.close()
  })
  beforeEach(async () => {
    if (!stolen.channel.connected) {
      await stolen.close()
      stolen = await operator(hub)
    }
    cmd = spawnCommand(parseSpiffeId(node.id), { exe: { path: '/bin/true' }, argv: ['true'] })
    granted = await stolen.token(cmd)
  })

  const revokeStolen = (): Promise<unknown> =>
    alice.call('revoke', { thumbprint: stolen.identity.thumbprint, reason: 'copied' })

  /** The stolen identity's command, sealed to the key that the node has now. */
  const sealed = async (nodeKey: string): Promise<{ text: string; digest: string }> => {
    const owner = parseSpiffeId(node.id)
    const { text } = await sealCommand(
      {
        identity: stolen.identity,
        to: openEncKey(nodeKey, { trust: alice.trust, now: Date.now(), owner }),
        subject: commandSubject(parseNodeName('n1')),
        reply: alice.channel.newInbox(),
        replyKey: generateX25519().publicKey,
        now: Date.now(),
      },
      { cmd, tok: granted.access_token },
    )
    return { text, digest: sha256Text(text) }
  }

  /** What the broker does: sends it until it has been judged, and says how. */
  const judged = async (message: { text: string; digest: string }): Promise<string> => {
    const subject = commandSubject(parseNodeName('n1'))
    const bytes = Buffer.from(message.text, 'latin1')
    const timer = setInterval(
      () => alice.channel.publish(subject, bytes, { replyTo: alice.channel.newInbox() }),
      EVERY_MS,
    )
    try {
      let found = ''
      await eventually('the message to be judged', () => {
        const row = node.rows().find(({ req }) => req?.env === message.digest)
        found = row?.type === 'cmd.accepted' ? 'accepted' : (row?.code ?? '')
        return found !== ''
      })
      return found
    } finally {
      clearInterval(timer)
    }
  }

  const neverAccepted = (digest: string): void =>
    assert.equal(
      node.rows().some(({ req, type }) => req?.env === digest && type === 'cmd.accepted'),
      false,
    )

  it('because its link was down', async () => {
    const message = await sealed(granted.zt.node_key)
    cable.cut()
    await revokeStolen()
    const verdict = judged(message)
    cable.mend()
    assert.equal(await verdict, 'ZT-403-REVOKED')
    neverAccepted(message.digest)
  })

  it('because it was switched off', async () => {
    await node.stop()
    await revokeStolen()
    const started = node.start()
    // The hub tells whoever may command the node its new key, as soon as it knows it.
    let nodeKey = granted.zt.node_key
    await eventually('the new key of the node', async () => {
      const fresh = spawnCommand(parseSpiffeId(node.id))
      nodeKey = (await alice.token(fresh).catch(() => granted)).zt.node_key
      return nodeKey !== granted.zt.node_key
    })
    const message = await sealed(nodeKey)
    assert.equal(await judged(message), 'ZT-403-REVOKED')
    await started
    neverAccepted(message.digest)
  })
})
