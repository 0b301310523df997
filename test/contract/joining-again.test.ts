// What joining again may change of a node, and what it may not: its log, its anchor and what is held against it.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { createSqliteStore, openSqliteStore } from '#hub/store/sqlite.ts'
import type { AnchoredHead, HubStore, JoinToken, Redemption } from '#hub/store/store.ts'

const NOW = 1_000_000
const bytes = (text: string): Uint8Array => Buffer.from(text.padEnd(32, '.'))
const token = (change: Partial<JoinToken> = {}): JoinToken => ({
  hash: bytes('t1'),
  node: 'n1',
  replace: false,
  createdBy: 'spiffe://td/operator/alice',
  expires: NOW + 600_000,
  ...change,
})
const first = {
  hash: bytes('t1'),
  node: 'n1',
  device: bytes('device-1'),
  log: { origin: 'td/log/node/n1/e1', vkey: 'vkey-1' },
  now: NOW,
}
const second = {
  hash: bytes('t2'),
  device: bytes('device-2'),
  log: { origin: 'td/log/node/n1/e2', vkey: 'vkey-2' },
}
const attestation = { name: 'n1', lvl: 1, boot: 'boot-a', log: first.log, now: NOW }
const head = (size: number): AnchoredHead => ({ size, root: `root-${size}`, note: `note-${size}`, at: NOW })

describe('joining again', () => {
  let dir: string
  let store: HubStore
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'zt-store-'))
    createSqliteStore(join(dir, 'hub.db'))
    store = openSqliteStore(join(dir, 'hub.db'))
  })
  afterEach(async () => {
    await store.close()
    rmSync(dir, { recursive: true })
  })
  const redeem = async (change: Partial<Redemption> = {}): Promise<string> => {
    const outcome = await store.joinTokens.redeem({ ...first, ...change })
    return outcome.kind === 'refused' ? outcome.reason : outcome.kind
  }
  const join1 = async (): Promise<void> => {
    await store.joinTokens.add(token())
    assert.equal(await redeem(), 'joined')
  }

  it('a node that contradicted itself joins with no token until it is allowed', async () => {
    await join1()
    await store.nodes.recordEquivocation({ node: 'n1', held: 'a', received: 'b', now: NOW })
    await store.joinTokens.add(token({ hash: bytes('t2'), replace: true }))
    assert.equal(await redeem({ hash: bytes('t2') }), 'distrusted')
    assert.equal(await redeem(second), 'distrusted')
    assert.equal((await store.nodes.find('n1'))?.distrustedAt, NOW)
    await store.nodes.allow('n1')
    assert.equal(await redeem(second), 'joined')
  })

  it('a machine that joins again keeps its log and the head that is anchored', async () => {
    await join1()
    await store.nodes.attest(attestation)
    await store.nodes.anchor('n1', 0, head(4))
    await store.joinTokens.add(token({ hash: bytes('t2'), replace: true }))
    assert.equal(await redeem({ hash: bytes('t2') }), 'joined')
    const node = await store.nodes.find('n1')
    assert.deepEqual([node?.anchor, node?.log, node?.boot], [head(4), attestation.log, 'boot-a'])
  })

  it('a token that is used voids the others of its name', async () => {
    await store.joinTokens.add(token({ hash: bytes('t2'), replace: true }))
    await store.joinTokens.add(token({ hash: bytes('t3'), node: 'n2' }))
    await join1()
    assert.equal(await redeem(second), 'expired')
    assert.deepEqual(await store.joinTokens.outstanding(NOW), ['n2'])
  })

  const strangers: Record<string, Redemption['log']> = {
    'under its origin with another key': { origin: first.log.origin, vkey: 'vkey-2' },
    'under its very origin and key': first.log,
  }
  for (const [what, log] of Object.entries(strangers))
    it(`another machine cannot go on with the log of the one before it, ${what}`, async () => {
      await join1()
      await store.joinTokens.add(token({ hash: bytes('t2'), replace: true }))
      assert.equal(await redeem({ ...second, log }), 'log')
      assert.deepEqual((await store.nodes.find('n1'))?.device, new Uint8Array(first.device))
      assert.equal(await redeem(second), 'joined')
    })

  it('no name takes an origin that was registered under any other before', async () => {
    await join1()
    await store.joinTokens.add(token({ hash: bytes('t2'), node: 'n2' }))
    assert.equal(await redeem({ ...second, node: 'n2', log: first.log }), 'log')
  })

  it('an allowed machine joins with a new log only: its old head is forgotten', async () => {
    await join1()
    await store.nodes.allow('n1')
    await store.joinTokens.add(token({ hash: bytes('t2') }))
    assert.equal(await redeem({ hash: bytes('t2') }), 'log')
    assert.equal(await redeem({ hash: bytes('t2'), log: second.log }), 'joined')
  })

  for (const [what, log] of Object.entries({
    'another log': second.log,
    'another key of its log': { ...first.log, vkey: 'vkey-2' },
  }))
    it(`a machine that holds the name cannot come with ${what}`, async () => {
      await join1()
      await store.joinTokens.add(token({ hash: bytes('t2'), replace: true }))
      assert.equal(await redeem({ hash: bytes('t2'), log }), 'log')
      await assert.rejects(store.nodes.attest({ ...attestation, log }), { code: 'ZT-490-FORK' })
      assert.deepEqual((await store.nodes.find('n1'))?.log, first.log)
    })
})
