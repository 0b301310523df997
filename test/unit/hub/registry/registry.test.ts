// What an operator who is revoked has left behind, and what one can still do in the middle of it.
import assert from 'node:assert/strict'
import { afterEach, before, beforeEach, describe, it } from 'node:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Policy } from '#hub/authority/policy.ts'
import { issueJoinToken } from '#hub/admission/join-token.ts'
import { Registry } from '#hub/registry/registry.ts'
import { Denials } from '#hub/revocation/denials.ts'
import { Revocation } from '#hub/revocation/revocation.ts'
import { createSqliteStore, openSqliteStore } from '#hub/store/sqlite.ts'
import type { HubStore } from '#hub/store/store.ts'
import { decodeBase64url } from '#shared/encoding/base64url.ts'
import { sha256 } from '#shared/encoding/digest.ts'
import { silentLogger } from '#shared/host/logger.ts'
import type { Identity } from '#shared/identity/identity.ts'
import { parseNodeName, parseTrustDomain } from '#shared/identity/names.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { Quarantine } from '#shared/protocol/quarantine.ts'
import { parsePolicySet } from '#shared/policy/policy-set.ts'
import { DEFAULT_POLICY, POLICY_SCHEMA } from '#shared/policy/schema.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { noRow, RowLog } from '#test/fakes/row-log.ts'
import { createTestAuthority, TEST_NOW, type TestAuthority } from '#test/support/test-authority.ts'
import type { VerifiedSvid } from '#shared/x509/svid.ts'

const NODE = parseNodeName('n1')
const EVE = parseSpiffeId('spiffe://mesh.example/operator/eve')

describe('the registry', () => {
  let authority: TestAuthority
  let hub: Identity
  let alice: VerifiedSvid
  let bob: VerifiedSvid
  let dir: string
  let store: HubStore
  let clock: ManualClock
  let rows: RowLog
  let denials: Denials
  let registry: Registry
  let revocation: Revocation
  const ended: string[] = []
  before(async () => {
    authority = await createTestAuthority()
    hub = await authority.identity('/hub/h1')
    const svid = async (path: string): Promise<VerifiedSvid> =>
      authority.validator().validate((await authority.identity(path)).chain, TEST_NOW)
    alice = await svid('/operator/alice')
    bob = await svid('/operator/bob')
  })

  const open = (policyText: string): void => {
    const set = parsePolicySet(policyText, POLICY_SCHEMA)
    const parts = { hubId: hub.id, clock, store, rows }
    revocation = new Revocation({
      ...parts,
      log: silentLogger,
      denials,
      svidTtlMs: 1000,
      push: () => undefined,
      revokeUsers: async (keys) => void ended.push(...keys),
    })
    registry = new Registry({
      ...parts,
      trustDomain: parseTrustDomain('mesh.example'),
      url: 'https://127.0.0.1:1',
      root: () => 'a'.repeat(64),
      policy: new Policy({ hubId: hub.id, clock, ver: 1, set, rolesOf: () => ['operator'] }),
      revocation,
      denials,
    })
  }
  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'zt-registry-'))
    createSqliteStore(join(dir, 'hub.db'))
    store = openSqliteStore(join(dir, 'hub.db'))
    clock = new ManualClock(TEST_NOW)
    rows = new RowLog()
    ended.length = 0
    denials = await Denials.open({ store: store.denials, clock, identity: () => hub })
    open(DEFAULT_POLICY)
  })
  afterEach(async () => {
    await store.close()
    rmSync(dir, { recursive: true })
  })
  const by = (caller: VerifiedSvid): { caller: VerifiedSvid; request: object } => ({ caller, request: {} })

  it('makes the unspent join tokens of an operator void who is revoked', async () => {
    await registry.joinToken({ node: NODE }, by(bob))
    await registry.joinToken({ node: parseNodeName('n2') }, by(alice))
    await registry.revoke({ id: bob.id, reason: 'left' }, by(alice))
    assert.deepEqual(await store.joinTokens.outstanding(TEST_NOW), ['n2'])
  })

  const joinOne = async (): Promise<void> => {
    const { token } = await issueJoinToken(store, {
      node: NODE,
      replace: false,
      createdBy: alice.id,
      now: TEST_NOW,
    })
    const hash = sha256(decodeBase64url(token, 'token'))
    const log = { origin: 'o', vkey: 'v' }
    await store.joinTokens.redeem({ hash, node: NODE, device: Buffer.alloc(91), log, now: TEST_NOW })
    await store.nodes.attest({ name: NODE, lvl: 2, boot: 'b', log, now: TEST_NOW })
  }

  it('lists no assurance for a name whose machine is forgotten', async () => {
    const listed = async (): Promise<unknown> => {
      const [node] = (await registry.list(by(alice))).result.nodes
      return [node?.state, node?.lvl]
    }
    await joinOne()
    assert.deepEqual(await listed(), ['joined', 2])
    await store.nodes.allow(NODE)
    assert.equal((await store.nodes.find(NODE))?.lvl, 2)
    assert.deepEqual(await listed(), ['invited', 0])
  })

  it('says how a name is taken over, to who asks for a token for one that is taken', async () => {
    await joinOne()
    await assert.rejects(registry.joinToken({ node: NODE }, by(alice)), {
      code: 'ZT-403-JOIN',
      details: { hint: 'for a machine that is to take it over: ztctl node join-token n1 --replace' },
    })
    await registry.joinToken({ node: NODE, replace: true }, by(alice))
  })

  it('makes no join token for who is revoked while its row is being written', async () => {
    rows.during = async () =>
      void (await denials.deny({ kind: 'id', value: alice.id, reason: 'left' }, noRow))
    await assert.rejects(registry.joinToken({ node: NODE }, by(alice)), { code: 'ZT-403-REVOKED' })
    assert.deepEqual(await store.joinTokens.outstanding(TEST_NOW), [])
  })

  it('leaves no join token when its maker is revoked at the same time', async () => {
    await Promise.allSettled([
      registry.joinToken({ node: NODE }, by(bob)),
      registry.revoke({ id: bob.id, reason: 'left' }, by(alice)),
      registry.joinToken({ node: NODE }, by(bob)),
    ])
    assert.deepEqual(await store.joinTokens.outstanding(TEST_NOW), [])
  })

  it('lifts no revocation for who is being revoked, and writes no row that says so', async () => {
    await denials.deny({ kind: 'id', value: EVE, reason: 'lost' }, noRow)
    clock.advance(2000)
    const revoking = registry.revoke({ id: bob.id, reason: 'left' }, by(alice))
    await assert.rejects(registry.allow({ id: EVE }, by(bob)), { code: 'ZT-403-REVOKED' })
    await revoking
    assert.deepEqual(rows.types, ['identity.revoked'])
    assert.notEqual(denials.since(EVE), undefined)
  })

  const permit = (action: string): string =>
    `@id("only") permit(principal, action == Action::"${action}", resource);`

  it('lets nobody lift a revocation who may only revoke', async () => {
    await denials.deny({ kind: 'id', value: EVE, reason: 'lost' }, noRow)
    clock.advance(2000)
    open(permit('revoke'))
    await assert.rejects(registry.allow({ id: EVE }, by(alice)), { code: 'ZT-403-POLICY' })
    open(permit('allow'))
    await registry.allow({ id: EVE }, by(alice))
    await assert.rejects(registry.revoke({ id: EVE, reason: 'x' }, by(alice)), { code: 'ZT-403-POLICY' })
  })

  it('asks for node.revoke when a node is revoked by its ID', async () => {
    const id = parseSpiffeId('spiffe://mesh.example/node/n1')
    open(permit('revoke'))
    await assert.rejects(registry.revoke({ id, reason: 'x' }, by(alice)), { code: 'ZT-403-POLICY' })
    open(permit('node.revoke'))
    await assert.rejects(registry.revoke({ id, reason: 'x' }, by(alice)), { code: 'ZT-404-NODE' })
    await assert.rejects(registry.revoke({ id: EVE, reason: 'x' }, by(alice)), { code: 'ZT-403-POLICY' })
  })

  it('says how many certificates a revoked identity has: of a name that is mistyped, none', async () => {
    const record = { issuer: 'rung-1', root: 'a'.repeat(64) }
    for (const [thumbprint, expires] of [
      ['a', TEST_NOW + 1],
      ['b', TEST_NOW],
    ] as const)
      await store.svids.record({ ...record, id: EVE, thumbprint, expires })
    const lives = async (id: typeof EVE): Promise<number | undefined> =>
      (await registry.revoke({ id, reason: 'x' }, by(alice))).result.live
    assert.equal(await lives(EVE), 1)
    assert.equal(await lives(parseSpiffeId('spiffe://mesh.example/operator/eev')), 0)
  })

  for (const [path, message] of Object.entries({
    'spiffe://other.example/node/n1': /not of this trust domain, which is mesh\.example/,
    'spiffe://other.example/hub/h1': /not of this trust domain/,
    'spiffe://mesh.example/nats/h1': /in a ceremony/,
  }))
    it(`says why it cuts off nothing, and lets nothing in, of ${path}`, async () => {
      const id = parseSpiffeId(path)
      const refusal = { code: 'ZT-422-SPIFFE-ID', message }
      await assert.rejects(registry.revoke({ id, reason: 'x' }, by(alice)), refusal)
      await assert.rejects(registry.allow({ id }, by(alice)), refusal)
    })

  describe('a certificate that is revoked by its fingerprint', () => {
    const credential = (change: object): Parameters<HubStore['credentials']['add']>[0] => ({
      id: bob.id,
      natsKey: 'UA',
      thumbprint: bob.thumbprint,
      expires: TEST_NOW + 300_000,
      ...change,
    })
    const later = { natsKey: 'UB', thumbprint: 'I'.repeat(43) }
    /** As an SVID is issued: into both. */
    const issue = async (change: object): Promise<void> => {
      const issued = credential(change)
      const { id, thumbprint, expires } = issued
      await store.credentials.add(issued)
      await store.svids.record({ id, thumbprint, expires, issuer: 'rung-1', root: 'a'.repeat(64) })
    }
    const wish = (): { thumbprint: string; reason: string } => ({
      thumbprint: bob.thumbprint,
      reason: 'copied',
    })
    beforeEach(async () => {
      await issue({})
      await issue(later)
    })

    it('is denied, its connection ended, and its identity goes on', async () => {
      const { result } = await registry.revoke(wish(), by(alice))
      assert.deepEqual(result, { ver: TEST_NOW / 1000, id: bob.id, live: 1 })
      assert.throws(() => denials.list.check(bob), { code: 'ZT-403-REVOKED' })
      denials.list.check({ id: bob.id, thumbprint: later.thumbprint })
      assert.deepEqual(ended, ['UA'])
      assert.deepEqual(rows.rows[0]?.obj, {
        id: bob.id,
        x5t: bob.thumbprint,
        not_after: TEST_NOW + 300_000,
        reason: 'copied',
        since: TEST_NOW,
      })
    })

    it('takes the join tokens with it that it may have been used for', async () => {
      await registry.joinToken({ node: NODE }, by(bob))
      await registry.joinToken({ node: parseNodeName('n2') }, by(alice))
      await registry.revoke(wish(), by(alice))
      assert.deepEqual(await store.joinTokens.outstanding(TEST_NOW), ['n2'])
    })

    it('is found though its identity has kept its NATS key for the next one', async () => {
      await issue({ thumbprint: 'N'.repeat(43) })
      await registry.revoke(wish(), by(alice))
      assert.throws(() => denials.list.check(bob), { code: 'ZT-403-REVOKED' })
      denials.list.check({ id: bob.id, thumbprint: 'N'.repeat(43) })
    })

    it('may be of a task, which has no connection', async () => {
      const id = parseSpiffeId('spiffe://mesh.example/agent/coder/task/p-abc')
      const svid = { id, thumbprint: 'Q'.repeat(43), expires: TEST_NOW + 300_000 }
      await store.svids.record({ ...svid, issuer: 'rung-1', root: 'a'.repeat(64) })
      await registry.revoke({ thumbprint: svid.thumbprint, reason: 'copied' }, by(alice))
      assert.throws(() => denials.list.check(svid), { code: 'ZT-403-REVOKED' })
    })

    for (const path of ['hub/h1', 'nats/h1'])
      it(`is not of ${path}: that is cut off with its intermediate`, async () => {
        const id = parseSpiffeId(`spiffe://mesh.example/${path}`)
        const svid = { id, thumbprint: 'H'.repeat(43), expires: TEST_NOW + 300_000 }
        await store.svids.record({ ...svid, issuer: 'rung-1', root: 'a'.repeat(64) })
        await assert.rejects(registry.revoke({ thumbprint: svid.thumbprint, reason: 'x' }, by(alice)), {
          code: 'ZT-422-SPIFFE-ID',
        })
        assert.deepEqual(rows.rows, [])
      })

    it('has its connection ended again by the next start of the hub', async () => {
      await registry.revoke(wish(), by(alice))
      ended.length = 0
      await revocation.resume()
      assert.deepEqual(ended, ['UA'])
    })

    it('asks policy for what its identity asks for', async () => {
      const node = { id: 'spiffe://mesh.example/node/n1', natsKey: 'UC', thumbprint: 'M'.repeat(43) }
      await issue(node)
      open(permit('revoke'))
      await assert.rejects(registry.revoke({ thumbprint: node.thumbprint, reason: 'x' }, by(alice)), {
        code: 'ZT-403-POLICY',
      })
      open(permit('node.revoke'))
      await assert.rejects(registry.revoke(wish(), by(alice)), { code: 'ZT-403-POLICY' })
      await registry.revoke({ thumbprint: node.thumbprint, reason: 'x' }, by(alice))
    })

    it('is refused when nobody alive has it, before any row', async () => {
      const thumbprint = 'w'.repeat(43)
      await assert.rejects(registry.revoke({ thumbprint, reason: 'x' }, by(alice)), { code: 'ZT-404-CERT' })
      clock.advance(300_000)
      await assert.rejects(registry.revoke(wish(), by(alice)), { code: 'ZT-404-CERT' })
      await assert.rejects(registry.allow({ thumbprint }, by(alice)), { code: 'ZT-404-CERT' })
      assert.deepEqual(rows.rows, [])
    })

    it('is not allowed again when it was never revoked', async () => {
      const { thumbprint } = bob
      await assert.rejects(registry.allow({ thumbprint }, by(alice)), { code: 'ZT-409-NOT-REVOKED' })
      assert.deepEqual(rows.rows, [])
    })

    it('leaves the whole second suspect in which it is allowed: what was done in it may be from before', async () => {
      clock.advance(200)
      await registry.revoke(wish(), by(alice))
      clock.advance(500)
      await registry.allow({ thumbprint: bob.thumbprint }, by(alice))
      const suspect = new Quarantine(denials.entries)
      assert.ok(suspect.of({ id: bob.id, thumbprint: bob.thumbprint, began: TEST_NOW + 100 }))
      assert.equal(suspect.of({ id: bob.id, began: TEST_NOW + 1000 }), undefined)
    })

    it('is taken again at once when it is allowed, and its time stays suspect', async () => {
      await registry.revoke(wish(), by(alice))
      clock.advance(2000)
      await registry.allow({ thumbprint: bob.thumbprint }, by(alice))
      denials.list.check(bob)
      const suspect = new Quarantine(denials.entries)
      assert.ok(suspect.of({ id: bob.id, thumbprint: bob.thumbprint, began: TEST_NOW + 1000 }))
      assert.equal(suspect.of({ id: bob.id, began: TEST_NOW + 2000 }), undefined)
      assert.deepEqual(rows.types, ['identity.revoked', 'identity.restored'])
    })
  })

  describe('data that is suspect from before the revocation', () => {
    const since = TEST_NOW / 1000 - 3600

    it('is so from the moment that was named, in the list and in the row', async () => {
      await registry.revoke({ id: EVE, reason: 'x', since }, by(alice))
      assert.equal(denials.find({ kind: 'id', value: EVE })?.since, since)
      assert.equal(rows.rows[0]?.obj?.['since'], since * 1000)
    })

    it('can become more by revoking again, and never less', async () => {
      const sinceOf = async (at?: number): Promise<number | undefined> => {
        await registry.revoke({ id: EVE, reason: 'x', ...(at !== undefined && { since: at }) }, by(alice))
        return denials.find({ kind: 'id', value: EVE })?.since
      }
      assert.equal(await sinceOf(), undefined)
      assert.equal(await sinceOf(since), since)
      assert.equal(await sinceOf(since + 1), since)
      assert.equal(await sinceOf(), since)
      assert.equal(await sinceOf(since - 1), since - 1)
    })

    it('is not of a time to come', async () => {
      const ahead = TEST_NOW / 1000 + 31
      await assert.rejects(registry.revoke({ id: EVE, reason: 'x', since: ahead }, by(alice)), {
        code: 'ZT-422-SCHEMA',
      })
      assert.deepEqual(rows.rows, [])
    })
  })
})
