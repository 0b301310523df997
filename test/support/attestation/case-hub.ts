// The hub of a case: its own admission, on a store of its own in SQLite, that knows what the file says it knows. Rows stay in
// memory and there is no broker: what is decided is not theirs to decide.
import { createHash, generateKeyPairSync } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Admission, type AdmissionParts } from '#hub/admission/admission.ts'
import type { AdmissionChallenge } from '#hub/admission/attestor.ts'
import { Challenges } from '#hub/admission/challenges.ts'
import { CredentialIssuer } from '#hub/admission/credentials.ts'
import { DeviceKeyAttestor } from '#hub/admission/device-key.ts'
import { JOIN_TOKEN_LIFE_MS, JoinTokenAttestor } from '#hub/admission/join-token.ts'
import { PcrPolicies } from '#hub/admission/pcr-policies.ts'
import { TpmAttestor } from '#hub/admission/tpm.ts'
import { readConfiguredAuthority } from '#hub/attestation/ek-certificate.ts'
import type { EndorsementTrust } from '#hub/attestation/endorsement.ts'
import { Refusals } from '#hub/audit/refusals.ts'
import { openNatsAuthority } from '#hub/nats/authority.ts'
import { Denials } from '#hub/revocation/denials.ts'
import { createSqliteStore, openSqliteStore } from '#hub/store/sqlite.ts'
import type { HubStore } from '#hub/store/store.ts'
import { sha256 } from '#shared/encoding/digest.ts'
import { silentLogger } from '#shared/host/logger.ts'
import type { Identity } from '#shared/identity/identity.ts'
import { parseSpiffeId, trustDomainOf } from '#shared/identity/spiffe-id.ts'
import { createNoteSigner } from '#shared/log/note.ts'
import type {
  AttestRequest,
  AttestResponse,
  Challenge,
  ChallengeRequest,
} from '#shared/protocol/admission.ts'
import { signPcrPolicy } from '#shared/protocol/pcr-policy.ts'
import { parsePublic2b } from '#shared/tpm/public.ts'
import { spkiOfPublic } from '#shared/tpm/spki.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { RowLog } from '#test/fakes/row-log.ts'
import { MemoryStore } from '../nats.ts'
import type { TestPki } from '../test-pki.ts'
import type { AttackCase, CaseKnowledge, RegisteredMachine } from './case.ts'

/** What the hubs of many cases have in common. */
export interface CaseGround {
  /** where they keep their stores */
  readonly dir: string
  readonly pki: TestPki
}

interface Disk {
  readonly dir: string
  readonly store: HubStore
}

interface Place {
  readonly ground: CaseGround
  readonly clock: ManualClock
  readonly store: HubStore
  readonly rows: RowLog
}

const OPERATOR = parseSpiffeId('spiffe://mesh.example/operator/ann')
/** Of the machines that joined before: any time at which no challenge of the case was given out. */
const LONG_AGO_MS = 3_600_000
const PEER = '192.0.2.1'

export class CaseHub {
  readonly #disk: Disk
  readonly #greeter: Admission
  readonly #admission: Admission
  /** that of what is asked of this hub now: the session of the file is from before */
  readonly greeted: Challenges<AdmissionChallenge>

  private constructor(disk: Disk, parts: Omit<AdmissionParts, 'challenges'>, sessionKey: Uint8Array) {
    this.#disk = disk
    // The key of the file has sealed one session, and seals no other.
    this.greeted = new Challenges(parts.clock)
    this.#greeter = new Admission({ ...parts, challenges: this.greeted })
    this.#admission = new Admission({
      ...parts,
      challenges: new Challenges(parts.clock, { key: sessionKey }),
    })
  }

  static async open(one: AttackCase, ground: CaseGround): Promise<CaseHub> {
    const dir = await mkdtemp(join(ground.dir, 'hub-'))
    const file = join(dir, 'hub.db')
    createSqliteStore(file)
    const store = openSqliteStore(file)
    const place = { ground, clock: new ManualClock(one.known.now), store, rows: new RowLog() }
    await remember(store, one)
    return new CaseHub({ dir, store }, await partsOf(one, place), one.ztmesh.sessionKey)
  }

  /** A new challenge, as for the one of the file: throws what Admission.challenge() throws. */
  challenge(request: ChallengeRequest): Promise<Challenge> {
    return this.#greeter.challenge(request, PEER)
  }

  /** The answer to the challenge of the file: throws what Admission.attest() throws. */
  attest(request: AttestRequest): Promise<AttestResponse> {
    return this.#admission.attest(request)
  }

  /** Nothing of it is left. */
  async close(): Promise<void> {
    await this.#disk.store.close()
    await rm(this.#disk.dir, { recursive: true })
  }
}

/** The machines that joined before, and the token of the one that joins now. */
async function remember(store: HubStore, { known, challenge: { node }, ztmesh }: AttackCase): Promise<void> {
  for (const machine of known.registered) await register(store, machine, known.now - LONG_AGO_MS)
  const { token } = ztmesh
  if (token === undefined) return
  const expires = known.now + JOIN_TOKEN_LIFE_MS
  const hash = sha256(token.secret)
  await store.joinTokens.add({ hash, node, replace: token.replaces, createdBy: OPERATOR, expires })
}

async function register(store: HubStore, machine: RegisteredMachine, now: number): Promise<void> {
  const { node, ek, root, ak, log, clock } = machine
  const hash = sha256(Buffer.from(`the token of ${node}`))
  const expires = now + JOIN_TOKEN_LIFE_MS
  await store.joinTokens.add({ hash, node, replace: false, createdBy: OPERATOR, expires })
  const device = spkiOfPublic(parsePublic2b(ak))
  const outcome = await store.joinTokens.redeem({
    hash,
    node,
    device,
    log,
    now,
    tpm: { ek, root, ak, maker: 'swtpm' },
  })
  if (outcome.kind !== 'joined') throw new Error(`${node} cannot be registered`)
  const { resetCount: resets = 0, restartCount: restarts = 0, ...rest } = clock ?? {}
  const said = { clock: 0, safe: true, ...rest, resets, restarts, firmware: '0'.repeat(16) }
  const quote = { quote: { at: now, bank: 'sha256', pcrs: {}, clock: said }, before: undefined } as const
  await store.nodes.attest({ name: node, lvl: 2, boot: 'b0', log, now, ...(clock && { quote }) })
}

async function partsOf(one: AttackCase, place: Place): Promise<Omit<AdmissionParts, 'challenges'>> {
  const { ground, clock, store, rows } = place
  const { hub: hubId } = one.challenge
  const refusals = new Refusals({ rows, clock, log: silentLogger })
  const identity = ground.pki.identity('/hub/h1', clock.now())
  const denials = await Denials.open({ store: store.denials, clock, identity: () => identity })
  const policies = await policiesOf(one, place)
  const tpm = new TpmAttestor({ store, trust: trustOf(one.known), policies, log: silentLogger })
  return {
    hubId,
    trustDomain: trustDomainOf(hubId),
    clock,
    rows,
    refusals,
    denials,
    tpm,
    nodes: store.nodes,
    attestors: [new JoinTokenAttestor(store), new DeviceKeyAttestor(store.nodes), tpm],
    credentials: await issuerOf(place, { denials, identity }),
    policy: () => ({ ver: 1, sha256: 'A'.repeat(43) }),
  }
}

async function policiesOf(
  { challenge, known }: AttackCase,
  { clock, store, rows }: Place,
): Promise<PcrPolicies> {
  const { hub: hubId } = challenge
  const signer = createNoteSigner('pcr.mesh.example', generateKeyPairSync('ed25519').privateKey)
  const parts = { store: store.pcrPolicies, rows, clock, log: silentLogger, td: trustDomainOf(hubId), hubId }
  const policies = await PcrPolicies.open({ ...parts, keys: [signer] }, undefined)
  if (known.pcrPolicy !== undefined)
    await policies.apply(signPcrPolicy(known.pcrPolicy, [signer]), { id: OPERATOR, actor: { sub: OPERATOR } })
  return policies
}

async function issuerOf(
  { ground: { pki }, clock, store, rows }: Place,
  { denials, identity }: { readonly denials: Denials; readonly identity: Identity },
): Promise<CredentialIssuer> {
  const nats = await openNatsAuthority({ store: new MemoryStore(), clock })
  const root = createHash('sha256').update(pki.root.certificate.der).digest('hex')
  return new CredentialIssuer({
    clock,
    rows,
    store: store.credentials,
    svids: store.svids,
    nodes: store.nodes,
    denials,
    issuer: () => ({ ...pki.workload, root }),
    svidTtlMs: 300_000,
    userJwt: (user) => nats.userJwt(user),
    revokeUsers: async (keys) => void (await nats.revoke(keys)),
    nats: { servers: ['tls://hub.mesh.example:4222'], serverId: identity.id },
    bundle: () => pki.signedBundle,
    hubKey: () => 'the key of no hub',
    hubLog: { origin: 'mesh.example/log/hub/h1/e1', vkey: '' },
  })
}

function trustOf({ roots, intermediates, deniedEks, allowedEks }: CaseKnowledge): EndorsementTrust {
  const read = (der: Uint8Array): ReturnType<typeof readConfiguredAuthority> =>
    readConfiguredAuthority(der, 'an authority of the case')
  return {
    roots: roots.map(read),
    intermediates: intermediates.map(read),
    denied: new Set(deniedEks),
    ...(allowedEks !== undefined && { allowed: new Set(allowedEks) }),
  }
}
