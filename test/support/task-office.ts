// An office that gives tasks their identities, with everything behind it: store, log, deny list, revocations, keys; one node
// that has joined, and one task on it.
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { Refusals } from '#hub/audit/refusals.ts'
import { JwtAuthority } from '#hub/jwt/jwt-authority.ts'
import { Denials } from '#hub/revocation/denials.ts'
import { Revocation } from '#hub/revocation/revocation.ts'
import { createSqliteStore, openSqliteStore } from '#hub/store/sqlite.ts'
import type { HubStore, TaskGrant } from '#hub/store/store.ts'
import { TaskIdentities } from '#hub/tasks/task-identities.ts'
import { createSealSecret, Seal } from '#pki/keystore/seal.ts'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { silentLogger } from '#shared/host/logger.ts'
import { parseProcId, type ProcId } from '#shared/identity/names.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import { generateP256 } from '#shared/jose/keys.ts'
import type { TaskJwtResult, TaskSvidResult } from '#shared/protocol/task-ops.ts'
import { createCsr } from '#shared/x509/csr.ts'
import { SvidValidator, type VerifiedSvid } from '#shared/x509/svid.ts'
import { ManualClock } from '../fakes/manual-clock.ts'
import { RowLog } from '../fakes/row-log.ts'
import { tempDir } from './temp-dir.ts'
import { makeTestPki, type TestPki } from './test-pki.ts'

const proc = parseProcId('p-aaaaaaaaaaaaaaaaaaaa')
const NO_ROW = { log: '', seq: 0, hash: '', checkpoint: '' }
const csr = (): string => encodeBase64url(createCsr(generateP256()))
/** No SVID lives longer. */
export const SVID_TTL_MS: number = 240_000

interface OfficeParts {
  readonly pki: TestPki
  readonly store: HubStore
  readonly jwt: JwtAuthority
  readonly denials: Denials
  readonly clock: ManualClock
}

export class TaskOffice {
  readonly clock: ManualClock
  readonly rows: RowLog = new RowLog()
  readonly proc: ProcId = proc
  readonly denials: Denials
  readonly revocation: Revocation
  /** who revokes */
  readonly root: VerifiedSvid
  readonly store: HubStore
  readonly pki: TestPki
  readonly node: VerifiedSvid
  readonly grant: TaskGrant
  readonly tasks: TaskIdentities

  private constructor({ pki, store, jwt, denials, clock }: OfficeParts) {
    this.denials = denials
    this.clock = clock
    this.pki = pki
    this.store = store
    this.node = this.validated('/node/n1')
    this.root = this.validated('/operator/root')
    this.grant = {
      proc,
      node: this.node.id,
      agent: 'reports',
      owner: `spiffe://${pki.trustDomain}/operator/alice`,
      ownerThumbprint: encodeBase64url(randomBytes(32)),
      boot: 'b',
      fence: 1,
      minted: clock.now(),
      until: clock.now() + 10 * 86_400_000,
    }
    const { rows } = this
    this.tasks = new TaskIdentities({
      trustDomain: pki.trustDomain,
      clock,
      rows,
      refusals: new Refusals({ rows, clock, log: silentLogger }),
      denials,
      tasks: store.tasks,
      nodes: store.nodes,
      svids: store.svids,
      issuer: () => ({ ...pki.workload, root: 'r' }),
      jwt,
      svidTtlMs: SVID_TTL_MS,
    })
    this.revocation = new Revocation({
      hubId: pki.identity('/hub/h1').id,
      clock,
      log: silentLogger,
      rows,
      denials,
      store,
      svidTtlMs: SVID_TTL_MS,
      push: () => undefined,
      revokeUsers: async () => undefined,
    })
  }

  /** With one node that has joined, and a task on it. */
  static async open(t: TestContext): Promise<TaskOffice> {
    const dir = await tempDir(t)
    createSqliteStore(join(dir, 'hub.db'))
    const store = openSqliteStore(join(dir, 'hub.db'))
    t.after(() => store.close())
    await createSealSecret(join(dir, 'secret'))
    const { seal } = await Seal.create(join(dir, 'secret'))
    const clock = new ManualClock()
    const pki = await makeTestPki({ now: clock.now() })
    const jwt = await JwtAuthority.open({ store: store.jwtKeys, seal, clock, rows: new RowLog() })
    const hub = pki.identity('/hub/h1')
    const denials = await Denials.open({ store: store.denials, clock, identity: () => hub })
    const office = new TaskOffice({ pki, store, jwt, denials, clock })
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

  /** A new SVID of that name, which no credential of the hub is for. */
  validated(path: string): VerifiedSvid {
    const { pki, clock } = this
    return new SvidValidator(pki.bundle).validate(pki.identity(path).chain, clock.now())
  }

  async svid(): Promise<TaskSvidResult> {
    return (await this.tasks.svid({ proc, csr: csr() }, { caller: this.node, request: {} })).result
  }

  async jwt(audience: readonly string[] = ['db']): Promise<TaskJwtResult> {
    return (await this.tasks.jwt({ proc, audience }, { caller: this.node, request: {} })).result
  }

  /** From now on that value is denied: in the list alone, as if nothing else of a revocation had been done yet. */
  async deny(kind: 'id' | 'thumbprint', value: string): Promise<void> {
    const certificate = { id: this.grant.owner as SpiffeId, exp: Math.ceil(this.clock.now() / 1000) + 240 }
    const denied = { kind, value, reason: 'test', ...(kind === 'thumbprint' && certificate) }
    await this.denials.deny(denied, async () => NO_ROW)
  }

  readonly decided = (): Parameters<Revocation['revoke']>[2] => ({
    by: this.root,
    request: {},
    policy: { ver: 1 },
  })
}
