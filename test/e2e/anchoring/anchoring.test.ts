import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { sha256, sha256Text } from '#shared/encoding/digest.ts'
import { openCheckpoint, signCheckpoint } from '#shared/log/checkpoint.ts'
import { verifyConsistency, verifyInclusion } from '#shared/log/merkle.ts'
import { createNoteSigner, parseVkey } from '#shared/log/note.ts'
import { leafHash, parseRow } from '#shared/log/row.ts'
import type { HubParams, HubResults } from '#shared/protocol/hub-ops.ts'
import { anchorSubject } from '#shared/protocol/subjects.ts'
import { startTestHub, type TestHub } from '#test/support/hub.ts'
import { operator, type TestClient } from '#test/support/hub-client.ts'
import { joinNode, machine, spawnCommand, type TestNode } from '#test/support/hub-node.ts'
import { needsNats } from '#test/support/nats.ts'

const PREV_BYTES = 32

describe('anchoring', { skip: needsNats }, () => {
  let hub: TestHub
  let alice: TestClient
  let names = 0
  const nodes: TestNode[] = []
  before(async () => {
    hub = await startTestHub()
    alice = await operator(hub)
  })
  after(async () => {
    for (const node of nodes) await node.close()
    await alice?.close()
    await hub?.stop()
  })
  const fresh = async (): Promise<TestNode> => {
    names += 1
    const node = await joinNode(hub, alice, { name: `n${names}`, ready: false })
    nodes.push(node)
    await node.hello()
    return node
  }
  const rows = async (node: TestNode, count: number): Promise<void> => {
    for (let i = 0; i < count; i += 1) await node.log.append({ type: 'heartbeat', out: 'info' })
  }
  const anchor = (
    node: TestNode,
    change: Partial<HubParams['anchor']> = {},
  ): Promise<HubResults['anchor']> => {
    const { note } = node.log.checkpoint()
    return node.client.call('anchor', { checkpoint: note, old: 0, proof: [], hub_old: 0, ...change })
  }
  const hashes = (proof: readonly string[]): Uint8Array[] =>
    proof.map((hash) => decodeBase64url(hash, 'proof'))
  const headOfHub = (node: TestNode, note: string): ReturnType<typeof openCheckpoint> => {
    const { origin, vkey } = node.client.credentials.hub_log
    return openCheckpoint(note, origin, [parseVkey(vkey)])
  }

  it('makes the head of a node a leaf of the log of the hub, and proves it', async () => {
    const node = await fresh()
    const result = await anchor(node)
    const head = headOfHub(node, result.checkpoint)
    const entry = decodeBase64url(result.entry, 'entry')
    verifyInclusion({
      leaf: leafHash(entry),
      index: result.index,
      size: head.size,
      root: head.root,
      proof: hashes(result.inclusion),
    })
    const row = parseRow(entry.subarray(PREV_BYTES))
    const { size, root, note } = node.log.checkpoint()
    assert.equal(row.type, 'anchor.received')
    assert.equal(row.obj?.['origin'], node.log.origin)
    assert.equal(row.obj?.['size'], size)
    assert.equal(row.obj?.['root'], encodeBase64url(root))
    assert.equal(row.obj?.['note_sha256'], sha256Text(note))
  })

  it('proves that the log of the hub went on from the head that the node held', async () => {
    const node = await fresh()
    const first = headOfHub(node, (await anchor(node)).checkpoint)
    const old = node.log.size
    await rows(node, 3)
    const result = await anchor(node, {
      old,
      proof: node.log.proveConsistency(old).map(encodeBase64url),
      hub_old: first.size,
    })
    const second = headOfHub(node, result.checkpoint)
    verifyConsistency({
      oldSize: first.size,
      oldRoot: first.root,
      size: second.size,
      root: second.root,
      proof: hashes(result.consistency),
    })
  })

  it('takes the same head again: a node with nothing new is still alive', async () => {
    const node = await fresh()
    await anchor(node)
    await anchor(node, { old: node.log.size })
  })

  it('tells a node that names another head which one is held', async () => {
    const node = await fresh()
    await rows(node, 2)
    await anchor(node)
    await assert.rejects(anchor(node), (error: { code: string; details: Record<string, unknown> }) => {
      assert.deepEqual([error.code, error.details['size']], ['ZT-409-ANCHOR', node.log.size])
      return true
    })
  })

  it('of many heads that go on from one at once, holds one', async () => {
    const node = await fresh()
    const results = await Promise.allSettled(Array.from({ length: 10 }, () => anchor(node)))
    const codes = results.map((result) =>
      result.status === 'fulfilled' ? 'ok' : (result.reason as { code: string }).code,
    )
    assert.equal(codes.filter((code) => code === 'ok').length, 1)
    assert.equal(codes.filter((code) => code === 'ZT-409-ANCHOR').length, 9)
  })

  it('refuses a head that is shorter than the one that is held', async () => {
    const node = await fresh()
    const before = node.log.checkpoint().note
    await rows(node, 3)
    await anchor(node)
    const held = node.log.size
    await assert.rejects(anchor(node, { checkpoint: before, old: held }), { code: 'ZT-490-TRUNCATED' })
  })

  it('refuses a longer head without a proof, and with a wrong one', async () => {
    const node = await fresh()
    await anchor(node)
    const old = node.log.size
    await rows(node, 4)
    await assert.rejects(anchor(node, { old }), { code: 'ZT-490-PROOF' })
    const proof = node.log.proveConsistency(old).map(() => encodeBase64url(sha256('x')))
    await assert.rejects(anchor(node, { old, proof }), { code: 'ZT-490-PROOF' })
  })

  it('refuses a head signed with a key that was not registered', async () => {
    const node = await fresh()
    const other = createNoteSigner(node.log.origin, generateKeyPairSync('ed25519').privateKey)
    const { note } = signCheckpoint(node.log.checkpoint(), other)
    await assert.rejects(anchor(node, { checkpoint: note }), { code: 'ZT-490-SIGNATURE' })
  })

  it('refuses the head of another node', async () => {
    const [one, two] = [await fresh(), await fresh()]
    await assert.rejects(anchor(one, { checkpoint: two.log.checkpoint().note }), { code: 'ZT-490-SIGNATURE' })
  })

  it('refuses a text that is no head', async () => {
    const node = await fresh()
    await assert.rejects(anchor(node, { checkpoint: 'x\n1\n' }), { code: 'ZT-422-NOTE' })
  })

  it('does not let a node publish on the subject of another', async () => {
    const [one, two] = [await fresh(), await fresh()]
    const params = { checkpoint: one.log.checkpoint().note, old: 0, proof: [], hub_old: 0 }
    const subject = anchorSubject(two.machine.name as never)
    const message = await one.client.seal({ op: 'anchor', params }, { subject })
    await assert.rejects(one.client.send(message, 400))
  })

  it('gets no answer for an anchor on the subject of another node, if a broker let it through', async () => {
    const [one, two] = [await fresh(), await fresh()]
    const params = { checkpoint: one.log.checkpoint().note, old: 0, proof: [], hub_old: 0 }
    const message = await one.client.seal(
      { op: 'anchor', params },
      { subject: `zt.anchor.${two.machine.name}` },
    )
    const carried = { ...message, subject: `zt.anchor.${one.machine.name}` }
    await assert.rejects(one.client.send(carried, 400), { code: 'ZT-504-TIMEOUT' })
  })

  describe('of two histories', () => {
    let node: TestNode
    before(async () => {
      node = await fresh()
      await anchor(node)
      await alice.token(spawnCommand(node.id))
      const { size } = node.log.checkpoint()
      const { note } = signCheckpoint({ size, root: sha256('another history') }, node.machine.logKey)
      await assert.rejects(anchor(node, { checkpoint: note, old: size }), { code: 'ZT-490-FORK' })
    })

    it('takes no head of that node any more, not even a good one', () =>
      assert.rejects(anchor(node, { old: node.log.size }), { code: 'ZT-490-FORK' }))

    it('gives no tokens for it', () =>
      assert.rejects(alice.token(spawnCommand(node.id)), { code: 'ZT-490-FORK' }))

    it('shows it as distrusted', async () => {
      const { nodes: list } = await alice.call('node.list', {})
      assert.equal(list.find((entry) => entry.id === node.id)?.state, 'distrusted')
    })

    it('stays that way through a restart of the hub', async () => {
      await hub.restart()
      await alice.close()
      alice = await operator(hub)
      await assert.rejects(alice.token(spawnCommand(node.id)), { code: 'ZT-490-FORK' })
    })

    it('lets it in again when an operator says so, with a new join token', async () => {
      await alice.call('allow', { id: node.id })
      const { name } = node.machine
      const again = await joinNode(hub, alice, { name, machine: machine(name, { epoch: 2 }) })
      nodes.push(again)
      assert.equal((await alice.token(spawnCommand(again.id))).token_type, 'N_A')
    })
  })
})
