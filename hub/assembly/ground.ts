// What the hub stands on: its trust, its rungs, its state, its own identity and the policy. All of it can be had without
// listening anywhere; from the opening of the log on, everything that happens is written down.
import { readFileSync } from 'node:fs'
import { ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { Logger } from '#shared/host/logger.ts'
import type { Identity } from '#shared/identity/identity.ts'
import { parsePolicySet } from '#shared/policy/policy-set.ts'
import { DEFAULT_POLICY, POLICY_SCHEMA } from '#shared/policy/schema.ts'
import { Refusals } from '../audit/refusals.ts'
import { Policy } from '../authority/policy.ts'
import { requireRoot, type HubConfig } from '../config.ts'
import { HubEncKeys } from '../identity/enc-keys.ts'
import { InfraIdentity } from '../identity/infra-identity.ts'
import { JwtAuthority } from '../jwt/jwt-authority.ts'
import { Rungs } from '../identity/rungs.ts'
import { Trust } from '../identity/trust.ts'
import { lookForBundle } from '../identity/upkeep.ts'
import { Denials } from '../revocation/denials.ts'
import { hubKeeper } from '../state/keeper.ts'
import { openState, type HubState } from '../state/state.ts'
import type { Undo } from './undo.ts'

export interface HubOptions {
  readonly config: HubConfig
  readonly clock: Clock
  readonly log: Logger
  /** Told when the hub's state cannot be relied on any more: the process must end. */
  readonly onFatal: (error: unknown) => void
}

/** Life of the broker's certificate, milliseconds: it is on disk while the broker runs, so it is renewed rarely. */
const NATS_TTL_MS = 12 * 60 * 60_000

export interface Ground extends HubState {
  readonly options: HubOptions
  readonly trust: Trust
  readonly rungs: Rungs
  readonly identity: InfraIdentity
  readonly natsIdentity: InfraIdentity
  readonly denials: Denials
  readonly encKeys: HubEncKeys
  readonly jwtAuthority: JwtAuthority
  readonly policy: Policy
  readonly refusals: Refusals
}

/** Opens all of it. Rejects with the code of the part that could not be opened. */
export async function openGround(options: HubOptions, undo: Undo): Promise<Ground> {
  const { config, clock, log } = options
  const { stateDir, bundleFile: file } = config
  const trust = await Trust.open({ stateDir, file, root: requireRoot(config), clock })
  if (trust.validator.bundle.trustDomain !== config.trustDomain)
    throw new ZtError('ZT-400-CONFIG', 'trustDomain is not that of the bundle')
  const place = { stateDir: config.stateDir, keeper: await hubKeeper(config), hub: config.id }
  const svidTtlMs = config.periods.svidTtlS * 1000
  const rungs = await Rungs.open({ place, trust, svidTtlMs, clock, log })
  const state = await openState(config, clock)
  undo.push(() => state.store.close())
  undo.push(() => state.log.close())
  const refusals = new Refusals({ rows: state.log, clock, log })
  undo.push(() => refusals.flush())
  // A newer bundle that was put into bundleFile while the hub was down is in force before anything is issued.
  const passedOver = (error: Error): void => log.warn('bundleFile is passed over', { error })
  if (await lookForBundle(trust, state.log, passedOver)) await rungs.refresh(true)
  await rungs.tell(state.log)
  const { svids } = state.store
  const { dnsNames } = config
  const infra = { dnsNames, issuer: () => rungs.infra(), clock, rows: state.log, svids, log }
  const identity = await InfraIdentity.open({
    ...infra,
    id: config.id,
    ttlMs: config.periods.hubSvidTtlS * 1000,
  })
  undo.push(() => identity.close())
  const natsIdentity = await InfraIdentity.open({ ...infra, id: config.natsId, ttlMs: NATS_TTL_MS })
  undo.push(() => natsIdentity.close())
  const current = (): Identity => identity.current()
  const denials = await Denials.open({ store: state.store.denials, clock, identity: current })
  const { seal, store } = state
  const encKeys = await HubEncKeys.open({ store: store.encKeys, seal, clock, identity: current })
  const jwtAuthority = await JwtAuthority.open({ store: store.jwtKeys, seal, clock, rows: state.log })
  const policy = await activatePolicy(options, state)
  return {
    ...state,
    options,
    trust,
    rungs,
    identity,
    natsIdentity,
    denials,
    encKeys,
    jwtAuthority,
    policy,
    refusals,
  }
}

async function activatePolicy({ config, clock, log }: HubOptions, state: HubState): Promise<Policy> {
  const text = config.policyFile === undefined ? DEFAULT_POLICY : readPolicy(config.policyFile)
  const set = parsePolicySet(text, POLICY_SCHEMA)
  for (const warning of set.warnings) log.warn('the policy may not mean what it says', { warning })
  const { ver, changed } = await state.store.policyVersions.activate(set.digest)
  const obj = { ver, digest: set.digest, changed, policies: [...set.policies.keys()] }
  await state.log.append({ type: 'policy.activated', out: 'info', obj })
  const roles = new Map(config.operators.map((operator) => [operator.name as string, operator.roles]))
  return new Policy({ hubId: config.id, clock, ver, set, rolesOf: (name) => roles.get(name) ?? [] })
}

function readPolicy(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new ZtError('ZT-400-CONFIG', 'policyFile cannot be read', { cause })
  }
}
