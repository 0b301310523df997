// The Workload API of one node with a hub that does as a test tells it: real sockets, real gRPC, SVIDs and tokens that
// verify, and a clock that a test moves.
import { randomUUID } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { geteuid, getegid } from 'node:process'
import type { TestContext } from 'node:test'
import { socketOf } from '#node-agent/workload-api/place.ts'
import type { NewTask } from '#node-agent/workload-api/task.ts'
import { WorkloadApi, type TaskOp } from '#node-agent/workload-api/workload-api.ts'
import { issueSvid } from '#pki/issuance/issue.ts'
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import type { ZtError } from '#shared/errors/error.ts'
import { silentLogger } from '#shared/host/logger.ts'
import type { ProcId } from '#shared/identity/names.ts'
import { parseSpiffeId, taskId, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import { generateP256 } from '#shared/jose/keys.ts'
import type { NamedBundle } from '#shared/protocol/federation.ts'
import type { HubParams, HubResults } from '#shared/protocol/hub-ops.ts'
import { buildBundleDocument } from '#shared/spiffe/bundle-document.ts'
import { ecJwkOf, jwkThumbprint } from '#shared/spiffe/jwt-keys.ts'
import { signJwtSvid } from '#shared/spiffe/jwt-svid.ts'
import { verifyCsr } from '#shared/x509/csr.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { ManualClock } from '../fakes/manual-clock.ts'
import { randomProc } from './keeper.ts'
import { tempDir } from './temp-dir.ts'
import { makeTestPki, type TestPki } from './test-pki.ts'
import { WorkloadClient } from './workload-client.ts'

type State = 'accepted' | 'running' | 'exited'
const TTL_MS = 240_000

/** Stands in for the hub: answers for every task until it is told otherwise. */
export class FakeTaskHub {
  readonly #pki: TestPki
  readonly #clock: ManualClock
  readonly #jwt = generateP256()
  readonly asked: { readonly op: TaskOp; readonly params: unknown }[] = []
  readonly foreign: NamedBundle[] = []
  /** what every question is answered with, if it is set */
  failure: ZtError | undefined
  /** the same for one kind of question */
  readonly failures: Map<TaskOp, ZtError> = new Map()
  /** the name that it gives, whoever asks */
  agent = 'reports'
  task: string | undefined
  sequence = 1

  constructor(pki: TestPki, clock: ManualClock) {
    this.#pki = pki
    this.#clock = clock
  }

  count(op: TaskOp): number {
    return this.asked.filter((one) => one.op === op).length
  }

  async ask<Op extends TaskOp>(op: Op, params: HubParams[Op]): Promise<HubResults[Op]> {
    this.asked.push({ op, params })
    const failure = this.failure ?? this.failures.get(op)
    if (failure !== undefined) throw failure
    const answers: { readonly [K in TaskOp]: (params: HubParams[K]) => HubResults[K] } = {
      bundles: () => ({ bundles: [this.#own(), ...this.foreign], more: false }),
      'task.svid': (asked) => this.#svid(asked),
      'task.jwt': (asked) => this.#token(asked),
      'task.ended': () => ({}),
    }
    return answers[op](params)
  }

  #id(proc: string): SpiffeId {
    return taskId(this.#pki.trustDomain, { agent: this.agent, task: this.task ?? proc })
  }

  #svid({ proc, csr }: HubParams['task.svid']): HubResults['task.svid'] {
    const { chain } = issueSvid({
      issuer: this.#pki.workload,
      csr: verifyCsr(decodeBase64url(csr, 'csr')),
      id: this.#id(proc),
      ttlMs: TTL_MS,
      now: this.#clock.now(),
    })
    return { svid: chain.map(encodeBase64url) }
  }

  #token({ proc, audience }: HubParams['task.jwt']): HubResults['task.jwt'] {
    const iat = Math.floor(this.#clock.now() / 1000)
    const key = { kid: this.#kid(), privateKey: this.#jwt.privateKey }
    const claims = { sub: this.#id(proc), aud: audience, iat, exp: iat + 60, jti: randomUUID() }
    return { token: signJwtSvid(key, claims), expires: (iat + 60) * 1000 }
  }

  #kid(): string {
    return jwkThumbprint(ecJwkOf(this.#jwt.publicKey))
  }

  #own(): NamedBundle {
    const { trustDomain, bundle } = this.#pki
    const jwt = [{ kid: this.#kid(), jwk: ecJwkOf(this.#jwt.publicKey) }]
    const document = { trustDomain, roots: bundle.roots, jwt, sequence: this.sequence, refreshHint: 300 }
    return { td: trustDomain, document: buildBundleDocument(document) }
  }
}

export class WorkloadFixture {
  readonly clock: ManualClock
  readonly pki: TestPki
  readonly hub: FakeTaskHub
  readonly workspaceRoot: string
  readonly owner: SpiffeId
  /** of the certificate with which the owner asked for the tasks */
  readonly ownerX5t: string = 'B'.repeat(43)
  readonly node: SpiffeId
  readonly trust: SvidValidator
  readonly states: Map<ProcId, State> = new Map()
  readonly denied: Set<string> = new Set()
  #api: WorkloadApi

  private constructor(dir: string, clock: ManualClock, pki: TestPki) {
    this.clock = clock
    this.pki = pki
    this.hub = new FakeTaskHub(pki, clock)
    this.trust = new SvidValidator(pki.bundle)
    this.workspaceRoot = join(dir, 'w')
    this.owner = parseSpiffeId(`spiffe://${pki.trustDomain}/operator/alice`)
    this.node = parseSpiffeId(`spiffe://${pki.trustDomain}/node/n1`)
    mkdirSync(this.workspaceRoot, { mode: 0o711 })
    this.#api = this.#agent()
  }

  static async create(t: TestContext): Promise<WorkloadFixture> {
    const clock = new ManualClock()
    const pki = await makeTestPki({ now: clock.now() })
    const fixture = new WorkloadFixture(await tempDir(t), clock, pki)
    t.after(() => fixture.#api.close())
    return fixture
  }

  get api(): WorkloadApi {
    return this.#api
  }

  /** As an agent that is gone, and another one that comes. */
  async restart(): Promise<void> {
    await this.#api.close()
    this.#api = this.#agent()
    await this.#api.resume()
  }

  /** A task that runs, and a client of its socket. */
  async begin(t: TestContext): Promise<{ readonly proc: ProcId; readonly client: WorkloadClient }> {
    const proc = randomProc()
    this.states.set(proc, 'running')
    await this.#api.begin(this.taskOf(proc))
    return { proc, client: this.connect(t, proc) }
  }

  taskOf(proc: ProcId): NewTask {
    return { proc, agent: 'reports', owner: { id: this.owner, thumbprint: this.ownerX5t } }
  }

  connect(t: TestContext, proc: ProcId): WorkloadClient {
    const client = new WorkloadClient(socketOf(this.workspaceRoot, proc))
    t.after(() => client.close())
    return client
  }

  #agent(): WorkloadApi {
    return new WorkloadApi({
      workspaceRoot: this.workspaceRoot,
      runAs: { uid: geteuid?.() ?? 0, gid: getegid?.() ?? 0 },
      trust: this.trust,
      clock: this.clock,
      logger: silentLogger,
      ask: (op, params) => this.hub.ask(op, params),
      find: (proc) => {
        const state = this.states.get(proc)
        return state === undefined
          ? undefined
          : { owner: this.owner, ownerX5t: this.ownerX5t, agent: 'reports', state }
      },
      node: this.node,
      isDenied: ({ id, thumbprint = '' }) => this.denied.has(id) || this.denied.has(thumbprint),
    })
  }
}
