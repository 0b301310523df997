// What keeps a token from being given: time, silence of the node, a full disk, a revocation in the middle.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, before, beforeEach, describe, it } from 'node:test'
import { Refusals } from '#hub/audit/refusals.ts'
import { TokenExchange } from '#hub/authority/exchange.ts'
import { Policy } from '#hub/authority/policy.ts'
import { Denials } from '#hub/revocation/denials.ts'
import { createSqliteStore, openSqliteStore } from '#hub/store/sqlite.ts'
import type { HubStore } from '#hub/store/store.ts'
import { silentLogger } from '#shared/host/logger.ts'
import type { Identity } from '#shared/identity/identity.ts'
import { generateX25519 } from '#shared/jose/keys.ts'
import { parsePolicySet } from '#shared/policy/policy-set.ts'
import { DEFAULT_POLICY, POLICY_SCHEMA } from '#shared/policy/schema.ts'
import type { Command } from '#shared/protocol/command.ts'
import { signEncKey } from '#shared/protocol/enc-key.ts'
import { exchangeRequest, signIdToken, type ExchangeResponse } from '#shared/protocol/exchange.ts'
import type { VerifiedSvid } from '#shared/x509/svid.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { noRow, RowLog } from '#test/fakes/row-log.ts'
import { spawnCommand } from '#test/support/hub-node.ts'
import { createTestAuthority, TEST_NOW, type TestAuthority } from '#test/support/test-authority.ts'

describe('the exchange', () => {
  let authority: TestAuthority
  let hub: Identity
  let alice: Identity
  let node: Identity
  let caller: VerifiedSvid
  let dir: string
  let store: HubStore
  let clock: ManualClock
  let rows: RowLog
  let denials: Denials
  let exchange: TokenExchange
  let highWater: number
  before(async () => {
    authority = await createTestAuthority()
    hub = await authority.identity('/hub/h1')
    alice = await authority.identity('/operator/alice')
    node = await authority.identity('/node/n1')
    caller = authority.validator().validate(alice.chain, TEST_NOW)
  })
  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'zt-exchange-'))
    createSqliteStore(join(dir, 'hub.db'))
    store = openSqliteStore(join(dir, 'hub.db'))
    clock = new ManualClock(TEST_NOW)
    highWater = 0
    rows = new RowLog()
    denials = await Denials.open({ store: store.denials, clock, identity: () => hub })
    const set = parsePolicySet(DEFAULT_POLICY, POLICY_SCHEMA)
    const rolesOf = (name: string): string[] => (name === 'alice' ? ['operator'] : [])
    exchange = new TokenExchange({
      clock,
      trust: authority.validator(),
      denials,
      store,
      policy: new Policy({ hubId: hub.id, clock, ver: 1, set, rolesOf }),
      rows,
      refusals: new Refusals({ rows, clock, log: silentLogger }),
      identity: () => hub,
      anchorMaxAgeMs: 60_000,
      highWater: () => highWater,
    })
    await join1()
  })
  afterEach(async () => {
    await store.close()
    rmSync(dir, { recursive: true })
  })
  const join1 = async (): Promise<void> => {
    const [hash, device] = [new Uint8Array(32), new Uint8Array(91)]
    await store.joinTokens.add({
      hash,
      node: 'n1',
      replace: false,
      createdBy: alice.id,
      expires: TEST_NOW + 1,
    })
    const log = { origin: 'mesh.example/log/node/n1/e1', vkey: 'v' }
    await store.joinTokens.redeem({ hash, node: 'n1', device, log, now: TEST_NOW })
    await store.nodes.attest({ name: 'n1', lvl: 1, boot: 'b', log, now: TEST_NOW })
    const { id, thumbprint } = node
    await store.credentials.add({ id, natsKey: 'UA', thumbprint, expires: node.notAfter, device })
    const statement = signEncKey(node, generateX25519().publicKey, TEST_NOW)
    assert.ok(await store.nodes.recordEncKey({ name: 'n1', id, thumbprint }, statement))
    await store.nodes.anchor('n1', 0, { size: 1, root: 'r', note: 'n', at: TEST_NOW })
  }
  const replace = async (ready = false): Promise<void> => {
    const [hash, device] = [new Uint8Array(32).fill(1), new Uint8Array(91).fill(1)]
    const order = { hash, node: 'n1', replace: true, createdBy: alice.id, expires: TEST_NOW + 1 }
    await store.joinTokens.add(order)
    const log = { origin: 'mesh.example/log/node/n1/e2', vkey: 'v2' }
    await store.joinTokens.redeem({ hash, node: 'n1', device, log, now: TEST_NOW })
    if (!ready) return
    const { id, thumbprint } = node
    await store.credentials.add({ id, natsKey: 'UB', thumbprint: 't2', expires: node.notAfter, device })
    await store.nodes.attest({ name: 'n1', lvl: 1, boot: 'b', log, now: TEST_NOW })
    const statement = signEncKey(node, generateX25519().publicKey, TEST_NOW)
    assert.ok(await store.nodes.recordEncKey({ name: 'n1', id, thumbprint: 't2' }, statement), thumbprint)
    await store.nodes.anchor('n1', 0, { size: 1, root: 'r', note: 'n', at: TEST_NOW })
  }
  const idToken = (identity = alice): string => signIdToken(identity, { hub: hub.id, now: clock.now() })
  const ask = async (
    change: { cmd?: Command; token?: string; caller?: VerifiedSvid } = {},
  ): Promise<ExchangeResponse> => {
    const request = exchangeRequest(change.cmd ?? spawnCommand(node.id), change.token ?? idToken())
    const origin = { caller: change.caller ?? caller, request: {} }
    return (await exchange.exchange(request, origin)).response
  }

  it('writes the row of the token before it signs it', async () => {
    assert.equal((await ask()).expires_in, 15)
    assert.deepEqual(rows.types, ['token.minted'])
    assert.equal(rows.rows[0]?.pol?.ver, 1)
  })

  it('never writes the token or the subject token into a row', async () => {
    const token = idToken()
    const { access_token: given } = await ask({ token })
    const said = JSON.stringify(rows.rows)
    assert.ok(!said.includes(given) && !said.includes(token))
  })

  it('gives nothing when the row cannot be written', async () => {
    rows.full = true
    await assert.rejects(ask(), { code: 'ZT-503-AUDIT' })
  })

  it('gives nothing to who is revoked while the row is being written', async () => {
    rows.during = async () =>
      void (await denials.deny({ kind: 'id', value: alice.id, reason: 'left' }, noRow))
    await assert.rejects(ask(), { code: 'ZT-403-REVOKED' })
  })

  it('leaves no identity for a task whose token was not given after all', async () => {
    const sandbox = { profile: 'default@1', caps: ['identity:reports'] } as const
    const cmd = spawnCommand(node.id, { sandbox })
    assert.ok(cmd.op === 'process.spawn')
    rows.during = async () =>
      void (await denials.deny({ kind: 'id', value: alice.id, reason: 'left' }, noRow))
    await assert.rejects(ask({ cmd }), { code: 'ZT-403-REVOKED' })
    assert.equal((await store.tasks.find(cmd.proc))?.ended, TEST_NOW)
  })

  it('gives nothing to who is revoked, whatever the caller shows', async () => {
    await denials.deny({ kind: 'id', value: alice.id, reason: 'left' }, noRow)
    await assert.rejects(ask(), { code: 'ZT-403-REVOKED' })
    assert.deepEqual([rows.rows[0]?.type, rows.rows[0]?.code], ['token.refused', 'ZT-403-REVOKED'])
  })

  it('gives nothing for a node whose last anchor is over 60 seconds old', async () => {
    clock.advance(60_000)
    await ask()
    clock.advance(1)
    await assert.rejects(ask(), { code: 'ZT-503-ANCHOR' })
  })

  it('gives nothing for a node that is revoked, in the registry or on the deny list alone', async () => {
    await denials.deny({ kind: 'id', value: node.id, reason: 'lost' }, noRow)
    await assert.rejects(ask(), { code: 'ZT-403-REVOKED' })
    await denials.lift({ kind: 'id', value: node.id }, noRow)
    await store.nodes.revoke('n1', TEST_NOW)
    await assert.rejects(ask(), { code: 'ZT-403-REVOKED' })
  })

  it('gives nothing for a node that contradicted itself', async () => {
    await store.nodes.recordEquivocation({ node: 'n1', held: 'a', received: 'b', now: TEST_NOW })
    await assert.rejects(ask(), { code: 'ZT-490-FORK' })
  })

  it('gives nothing for a node whose encryption key has ended', async () => {
    clock.advance(2 * 60_000)
    await store.nodes.anchor('n1', 1, { size: 2, root: 'r', note: 'n', at: clock.now() })
    await ask()
    clock.advance(60_000 + 1000)
    await store.nodes.anchor('n1', 2, { size: 3, root: 'r', note: 'n', at: clock.now() })
    const later = await authority.identity('/operator/alice', { notAfter: TEST_NOW + 600_000 })
    const token = signIdToken(later, { hub: hub.id, now: clock.now() })
    await assert.rejects(ask({ token }), { code: 'ZT-503-NODE' })
  })

  it('gives nothing to an operator without a role, and names the decision', async () => {
    const bob = await authority.identity('/operator/bob')
    const svid = authority.validator().validate(bob.chain, TEST_NOW)
    const asking = ask({ caller: svid, token: idToken(bob) })
    await assert.rejects(asking, (error: { code: string; details: Record<string, string> }) => {
      assert.equal(error.code, 'ZT-403-POLICY')
      assert.match(String(error.details['decision']), /^[0-9a-f-]{36}$/)
      return true
    })
    assert.deepEqual(rows.types, ['token.refused'])
  })

  it('gives nothing to a node that asks for itself', async () => {
    const svid = authority.validator().validate(node.chain, TEST_NOW)
    await assert.rejects(ask({ caller: svid, token: idToken(node) }), { code: 'ZT-403-POLICY' })
  })

  it('gives one token for a process among 50 that ask at once', async () => {
    const cmd = spawnCommand(node.id)
    const results = await Promise.allSettled(Array.from({ length: 50 }, () => ask({ cmd })))
    assert.equal(results.filter((result) => result.status === 'fulfilled').length, 1)
    assert.equal(rows.types.filter((type) => type === 'token.minted').length, 1)
  })

  it('does not burn a process id for what was refused', async () => {
    const cmd = spawnCommand(node.id)
    await denials.deny({ kind: 'id', value: node.id, reason: 'x' }, noRow)
    await assert.rejects(ask({ cmd }), { code: 'ZT-403-REVOKED' })
    await denials.lift({ kind: 'id', value: node.id }, noRow)
    await ask({ cmd })
  })

  it('takes a subject token once, 20 at once', async () => {
    const token = idToken()
    const results = await Promise.allSettled(Array.from({ length: 20 }, () => ask({ token })))
    assert.equal(results.filter((result) => result.status === 'fulfilled').length, 1)
  })

  const meanwhile: Record<string, { act: () => Promise<unknown>; code: string }> = {
    revoked: { act: () => store.nodes.revoke('n1', TEST_NOW), code: 'ZT-403-REVOKED' },
    'put on the deny list': {
      act: () => denials.deny({ kind: 'id', value: node.id, reason: 'lost' }, noRow),
      code: 'ZT-403-REVOKED',
    },
    'caught in a contradiction': {
      act: () => store.nodes.recordEquivocation({ node: 'n1', held: 'a', received: 'b', now: TEST_NOW }),
      code: 'ZT-490-FORK',
    },
    replaced: { act: () => replace(), code: 'ZT-503-ANCHOR' },
    'replaced by a machine that is ready': { act: () => replace(true), code: 'ZT-503-NODE' },
  }
  for (const [what, { act, code }] of Object.entries(meanwhile))
    it(`gives nothing for a node that is ${what} while the row is being written`, async () => {
      let done = false
      rows.during = async () => {
        if (!done) await act()
        done = true
      }
      await assert.rejects(ask(), { code })
    })

  it('gives nothing for a node whose anchor is of a time to come', async () => {
    clock.advance(-31_000)
    await assert.rejects(ask(), { code: 'ZT-503-ANCHOR' })
  })

  it('gives nothing while the clock is behind what the log has recorded', async () => {
    highWater = TEST_NOW + 31_000
    await assert.rejects(ask(), { code: 'ZT-408-CLOCK' })
    highWater = TEST_NOW + 30_000
    await ask()
  })

  const unready: Record<string, () => Promise<unknown>> = {
    'ZT-403-REVOKED': () => store.nodes.revoke('n1', TEST_NOW),
    'ZT-490-FORK': () =>
      store.nodes.recordEquivocation({ node: 'n1', held: 'a', received: 'b', now: TEST_NOW }),
    'ZT-503-ANCHOR': async () => clock.advance(60_001),
    'ZT-503-NODE': () =>
      store.nodes.recordEncKey({ name: 'n1', id: node.id, thumbprint: node.thumbprint }, 'x'),
  }
  for (const [code, act] of Object.entries(unready))
    it(`says no through can-i where the exchange says ${code}`, async () => {
      await act()
      const { allowed, reasons } = await exchange.canI(spawnCommand(node.id), caller)
      assert.deepEqual([allowed, reasons], [false, [code]])
    })

  it('says through can-i what it would decide, and writes nothing', async () => {
    assert.equal((await exchange.canI(spawnCommand(node.id), caller)).allowed, true)
    assert.deepEqual(rows.rows, [])
  })
})
