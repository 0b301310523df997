// The parts of the hub that decide, put on its ground and its broker; HTTPS and NATS reach them.
import type { Identity } from '#shared/identity/identity.ts'
import { Admission } from '../admission/admission.ts'
import { Challenges } from '../admission/challenges.ts'
import { CredentialIssuer } from '../admission/credentials.ts'
import { DeviceKeyAttestor } from '../admission/device-key.ts'
import { JoinTokenAttestor } from '../admission/join-token.ts'
import { Anchors } from '../audit/anchors.ts'
import { LogReader } from '../audit/log-reader.ts'
import { TokenExchange } from '../authority/exchange.ts'
import { hubOperations } from '../bus/answers.ts'
import { HubBus } from '../bus/bus.ts'
import { Gate } from '../bus/gate.ts'
import type { Operations } from '../bus/operations.ts'
import type { Federation } from '../federation/federation.ts'
import { TrustOffice } from '../identity/trust-office.ts'
import { OsLogin } from '../login/os.ts'
import { ProofFolder } from '../login/proof-folder.ts'
import type { Broker } from '../nats/broker.ts'
import { AttestationOffice } from '../registry/attestation-office.ts'
import { Registry } from '../registry/registry.ts'
import { Revocation } from '../revocation/revocation.ts'
import { TaskIdentities } from '../tasks/task-identities.ts'
import type { Ground } from './ground.ts'
import { openTpmOffice, type TpmOffice } from './tpm.ts'

export interface Offices {
  readonly admission: Admission
  readonly login: OsLogin
  readonly exchange: TokenExchange
  readonly reader: LogReader
  readonly revocation: Revocation
  readonly bus: HubBus
}

const current = (ground: Ground) => (): Identity => ground.identity.current()

function credentialIssuer(ground: Ground, broker: Broker): CredentialIssuer {
  const { options, log: rows, store, denials, rungs, trust, encKeys, logKey } = ground
  const { config, clock } = options
  return new CredentialIssuer({
    clock,
    rows,
    store: store.credentials,
    svids: store.svids,
    nodes: store.nodes,
    denials,
    issuer: () => rungs.workload(),
    svidTtlMs: config.periods.svidTtlS * 1000,
    userJwt: (user) => broker.userJwt(user),
    revokeUsers: (keys) => broker.revoke(keys),
    nats: { servers: [config.nats.url], serverId: config.natsId },
    bundle: () => trust.text,
    hubKey: () => encKeys.statement(),
    hubLog: { origin: logKey.name, vkey: logKey.vkey },
  })
}

function tokenExchange(ground: Ground): TokenExchange {
  const { options, log, store, denials, refusals, policy, trust } = ground
  return new TokenExchange({
    clock: options.clock,
    trust: trust.validator,
    denials,
    store,
    policy,
    rows: log,
    refusals,
    identity: current(ground),
    anchorMaxAgeMs: options.config.periods.anchorMaxAgeS * 1000,
    highWater: () => log.latest(),
  })
}

function revocationOf(ground: Ground, broker: Broker, push: () => void): Revocation {
  const { options, log: rows, store, denials } = ground
  const { config, clock, log } = options
  return new Revocation({
    hubId: config.id,
    clock,
    log,
    rows,
    denials,
    store,
    svidTtlMs: config.periods.svidTtlS * 1000,
    push,
    revokeUsers: (keys) => broker.revoke(keys),
  })
}

function operationsOf(
  ground: Ground,
  parts: {
    readonly exchange: TokenExchange
    readonly reader: LogReader
    readonly revocation: Revocation
    readonly federation: Federation
    readonly trustChanged: Offer['trustChanged']
    readonly tpm: TpmOffice | undefined
  },
): Operations {
  const { options, log: rows, store, denials, refusals, policy, trust, encKeys } = ground
  const { config, clock } = options
  const { exchange, reader, revocation, federation } = parts
  const { id: hubId, trustDomain, url } = config
  const place = { hubId, trustDomain, url, root: () => trust.signer }
  return hubOperations({
    clock,
    trust: trust.validator,
    nodes: store.nodes,
    encKeys,
    denials,
    exchange,
    anchors: new Anchors({ clock, nodes: store.nodes, log: rows, refusals }),
    attestationOffice: new AttestationOffice({
      trustDomain,
      clock,
      store,
      policy,
      pcrPolicies: parts.tpm?.policies,
    }),
    registry: new Registry({ ...place, clock, store, policy, rows, revocation, denials }),
    log: reader,
    federation,
    policy,
    tasks: taskIdentities(ground),
    trustOffice: trustOffice(ground, parts.trustChanged),
  })
}

function trustOffice(ground: Ground, changed: () => Promise<void>): TrustOffice {
  const { options, log: rows, store, policy, trust, rungs } = ground
  const { clock } = options
  const identity = current(ground)
  const { svids, ceremonies } = store
  return new TrustOffice({ trust, rungs, svids, ceremonies, policy, rows, clock, identity, changed })
}

function taskIdentities(ground: Ground): TaskIdentities {
  const { options, log: rows, store, denials, refusals, rungs, jwtAuthority } = ground
  const { config, clock } = options
  return new TaskIdentities({
    trustDomain: config.trustDomain,
    clock,
    rows,
    refusals,
    denials,
    tasks: store.tasks,
    svids: store.svids,
    nodes: store.nodes,
    issuer: () => rungs.workload(),
    jwt: jwtAuthority,
    svidTtlMs: config.periods.svidTtlS * 1000,
  })
}

function busOf(ground: Ground, operations: Operations): HubBus {
  const { options, log: rows, store, denials, refusals, trust, encKeys } = ground
  const { config, clock, log } = options
  const gate = new Gate({
    hubId: config.id,
    clock,
    trust: trust.validator,
    deny: denials.list,
    key: (kid) => encKeys.find(kid),
    messages: store.messages,
    highWater: () => rows.latest(),
  })
  const denyList = (): string => denials.signed()
  return new HubBus({ gate, operations, identity: current(ground), refusals, clock, log, denyList })
}

function admissionOf(ground: Ground, credentials: CredentialIssuer, tpm: TpmOffice | undefined): Admission {
  const { options, log: rows, store, denials, refusals, policy } = ground
  const { config, clock } = options
  return new Admission({
    hubId: config.id,
    trustDomain: config.trustDomain,
    clock,
    rows,
    refusals,
    denials,
    credentials,
    nodes: store.nodes,
    challenges: new Challenges(clock),
    attestors: [
      new JoinTokenAttestor(store),
      new DeviceKeyAttestor(store.nodes),
      ...(tpm === undefined ? [] : [tpm.attestor]),
    ],
    ...(tpm !== undefined && { tpm: tpm.attestor }),
    policy: () => ({ ver: policy.ver, sha256: policy.digest.slice('sha-256:'.length) }),
  })
}

async function loginOf(ground: Ground, credentials: CredentialIssuer): Promise<OsLogin> {
  const { options, log: rows, denials, refusals } = ground
  const { config, clock } = options
  const { id: hubId, trustDomain, operators } = config
  const folder = await ProofFolder.open(config.loginDir)
  return new OsLogin({ hubId, trustDomain, operators, folder, clock, rows, refusals, denials, credentials })
}

/** What the offices are given beside the ground and the broker. */
export interface Offer {
  readonly federation: Federation
  /** awaited after each import of a bundle or a ladder */
  readonly trustChanged: () => Promise<void>
}

/** Throws ZT-400-CONFIG for a login folder that is not safe to use. */
export async function openOffices(ground: Ground, broker: Broker, offer: Offer): Promise<Offices> {
  const { options, log, policy } = ground
  const credentials = credentialIssuer(ground, broker)
  const tpm = await openTpmOffice(ground)
  const exchange = tokenExchange(ground)
  const reader = new LogReader({ log, policy, clock: options.clock })
  const revocation = revocationOf(ground, broker, () => bus.pushDenyList())
  const bus: HubBus = busOf(ground, operationsOf(ground, { exchange, reader, revocation, tpm, ...offer }))
  const admission = admissionOf(ground, credentials, tpm)
  const login = await loginOf(ground, credentials)
  return { admission, login, exchange, reader, revocation, bus }
}
