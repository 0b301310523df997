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
})
