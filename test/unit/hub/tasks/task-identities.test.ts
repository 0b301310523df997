// What keeps the identity of a task from being given: time, a full disk, a revocation in the middle. Who may ask at all is
// in test/attack.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { Refusals } from '#hub/audit/refusals.ts'
import { JwtAuthority } from '#hub/jwt/jwt-authority.ts'
import { createSqliteStore, openSqliteStore } from '#hub/store/sqlite.ts'
import type { HubStore, TaskGrant } from '#hub/store/store.ts'
import { DEFAULT_TASK_LIFE_MS, grantOf, TaskIdentities } from '#hub/tasks/task-identities.ts'
import { createSealSecret, Seal } from '#pki/keystore/seal.ts'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { silentLogger } from '#shared/host/logger.ts'
import { parseProcId } from '#shared/identity/names.ts'
import { generateP256 } from '#shared/jose/keys.ts'
import type { SpawnCommand } from '#shared/protocol/command.ts'
import { DenyList } from '#shared/protocol/deny-list.ts'
import { createCsr } from '#shared/x509/csr.ts'
import { SvidValidator, type VerifiedSvid } from '#shared/x509/svid.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { RowLog } from '#test/fakes/row-log.ts'
import { spawnCommand } from '#test/support/hub-node.ts'
import { tempDir } from '#test/support/temp-dir.ts'
import { makeTestPki, type TestPki } from '#test/support/test-pki.ts'

const proc = parseProcId('p-aaaaaaaaaaaaaaaaaaaa')
const csr = (): string => encodeBase64url(createCsr(generateP256()))

interface OfficeParts {
  readonly pki: TestPki
  readonly store: HubStore
  readonly jwt: JwtAuthority
  readonly clock: ManualClock
}

class Office {
  readonly clock: ManualClock
  readonly rows = new RowLog()
  readonly list = new DenyList()
  readonly store: HubStore
  readonly pki: TestPki
  readonly node: VerifiedSvid
  readonly grant: TaskGrant
  readonly tasks: TaskIdentities

  private constructor({ pki, store, jwt, clock }: OfficeParts) {
    this.clock = clock
    this.pki = pki
    this.store = store
    const { chain } = pki.identity('/node/n1')
    this.node = new SvidValidator(pki.bundle).validate(chain, clock.now())
    this.grant = {
      proc,
      node: this.node.id,
      agent: 'reports',
      owner: `spiffe://${pki.trustDomain}/operator/alice`,
      ownerThumbprint: encodeBase64url(randomBytes(32)),
      boot: 'b',
      fence: 1,
      minted: clock.now(),
      until: clock.now() + 1000,
    }
    const { rows, list } = this
    this.tasks = new TaskIdentities({
      trustDomain: pki.trustDomain,
      clock,
      rows,
      refusals: new Refusals({ rows, clock, log: silentLogger }),
      denials: { list },
      tasks: store.tasks,
      nodes: store.nodes,
      svids: store.svids,
      issuer: () => ({ ...pki.workload, root: 'r' }),
      jwt,
      svidTtlMs: 240_000,
    })
  }

  /** With one node that has joined, and a task on it. */
  static async open(t: TestContext): Promise<Office> {
    const dir = await tempDir(t)
    createSqliteStore(join(dir, 'hub.db'))
    const store = openSqliteStore(join(dir, 'hub.db'))
    t.after(() => store.close())
    await createSealSecret(join(dir, 'secret'))
    const { seal } = await Seal.create(join(dir, 'secret'))
    const clock = new ManualClock()
    const pki = await makeTestPki({ now: clock.now() })
    const jwt = await JwtAuthority.open({ store: store.jwtKeys, seal, clock, rows: new RowLog() })
    const office = new Office({ pki, store, jwt, clock })
    await office.#join()
    await store.tasks.add(office.grant)
    return office
  }

  async #join(): Promise<void> {
    const { store, clock, node } = this
    const [hash, device] = [new Uint8Array(32), new Uint8Array(91)]
    const now = clock.now()
    const log = { origin: 'mesh.example/log/node/n1/e1', vkey: 'v' }
    const token = { hash, node: 'n1', replace: false, createdBy: this.grant.owner, expires: now + 1 }
    await store.joinTokens.add(token)
    await store.joinTokens.redeem({ hash, node: 'n1', device, log, now })
    await store.nodes.attest({ name: 'n1', lvl: 1, boot: 'b', log, now })
    const { id, thumbprint } = node
    await store.credentials.add({ id, natsKey: 'UA', thumbprint, expires: now + 300_000, device })
  }

  svid(): Promise<unknown> {
    return this.tasks.svid({ proc, csr: csr() }, { caller: this.node, request: {} })
  }

  jwt(): Promise<unknown> {
    return this.tasks.jwt({ proc, audience: ['db'] }, { caller: this.node, request: {} })
  }

  /** From now on that value is denied. */
  deny(kind: 'id' | 'thumbprint', value: string): void {
    const { list, pki } = this
    const entry = { kind, value, from: 1, reason: 'test' } as const
    const iss = pki.identity('/hub/h1').id
    list.replace({ v: 1, iss, ver: list.version + 1, iat: 1, entries: [entry] })
  }
}

const kinds = ['svid', 'jwt'] as const

describe('the identity of a task', () => {
  for (const kind of kinds) {
    it(`is given after its row, which names task, node and owner (${kind})`, async (t) => {
      const office = await Office.open(t)
      await office[kind]()
      const [row] = office.rows.rows
      assert.equal(row?.type, `${kind}.issued`)
      assert.equal(row.actor?.sub, `spiffe://mesh.example/agent/reports/task/${proc}`)
      assert.equal(row.actor?.caller, office.node.id)
      assert.deepEqual([row.obj?.['proc'], row.obj?.['owner']], [proc, office.grant.owner])
    })

    it(`is not given without its row (${kind})`, async (t) => {
      const office = await Office.open(t)
      office.rows.full = true
      await assert.rejects(office[kind](), { code: 'ZT-503-AUDIT' })
    })

    it(`is not given when its time is over (${kind})`, async (t) => {
      const office = await Office.open(t)
      office.clock.advance(1000)
      await assert.rejects(office[kind](), { code: 'ZT-403-TASK' })
      assert.deepEqual(office.rows.types, ['svid.denied'])
    })

    const ends: Record<string, (office: Office) => void | Promise<unknown>> = {
      'ZT-403-REVOKED': (office) => office.deny('id', office.grant.owner),
      'ZT-403-TASK': (office) => office.store.tasks.end(proc, office.clock.now()),
      'ZT-490-FORK': ({ store, clock }) =>
        store.nodes.recordEquivocation({ node: 'n1', held: 'a', received: 'b', now: clock.now() }),
    }
    for (const [code, end] of Object.entries(ends))
      it(`is not given if while its row is written it becomes ${code} (${kind})`, async (t) => {
        const office = await Office.open(t)
        office.rows.during = async () => {
          office.rows.during = undefined
          await end(office)
        }
        await assert.rejects(office[kind](), { code })
        assert.deepEqual(office.rows.types, [`${kind}.issued`, 'svid.denied'])
      })

    it(`is not given where the certificate with which its owner asked is revoked (${kind})`, async (t) => {
      const office = await Office.open(t)
      office.deny('thumbprint', office.grant.ownerThumbprint)
      await assert.rejects(office[kind](), { code: 'ZT-403-REVOKED' })
    })
  }

  it('is counted below its root', async (t) => {
    const office = await Office.open(t)
    await office.svid()
    assert.deepEqual(await office.store.svids.count(office.clock.now()), [{ root: 'r', live: 1 }])
  })

  it('ends with its row, or not at all', async (t) => {
    const office = await Office.open(t)
    const asking = { caller: office.node, request: {} }
    office.rows.full = true
    await assert.rejects(office.tasks.ended(proc, asking), { code: 'ZT-503-AUDIT' })
    office.rows.full = false
    await office.svid()
    await office.tasks.ended(proc, asking)
    assert.equal(office.rows.types.at(-1), 'task.ended')
    await assert.rejects(office.svid(), { code: 'ZT-403-TASK' })
  })
})

describe('what is granted with a token', () => {
  const order = (change: Partial<SpawnCommand>): TaskGrant | undefined => {
    const cmd = spawnCommand('spiffe://td/node/n1' as SpawnCommand['node'], change) as SpawnCommand
    const owner = { id: 'spiffe://td/operator/alice' as SpawnCommand['node'], thumbprint: 'x' }
    return grantOf({ cmd, owner, node: { boot: 'b', fence: 1 }, minted: 1000 })
  }
  const sandbox = { profile: 'default@1', caps: ['identity:reports'] } as const

  it('is nothing for a process without an identity', () => {
    assert.equal(order({}), undefined)
  })

  it('ends with the limit of the process, and after thirty days without one', () => {
    assert.equal(order({ sandbox, limits: { wall_s: 10 } })?.until, 1000 + 10_000 + 60_000)
    assert.equal(order({ sandbox })?.until, 1000 + DEFAULT_TASK_LIFE_MS)
  })
})
