// Puts the hub together in the order in which its parts need each other, and takes it apart in the opposite one.
import type { Identity } from '#shared/identity/identity.ts'
import type { VerifiedSvid } from '#shared/x509/svid.ts'
import { openBundleEndpoint, openFederation, tlsMaterial, type ServedBundle } from './assembly/federation.ts'
import { openGround, type Ground, type HubOptions } from './assembly/ground.ts'
import { openOffices, type Offices } from './assembly/offices.ts'
import { Undo } from './assembly/undo.ts'
import { actorOf } from './audit/rows.ts'
import { SelfCheck } from './audit/self-check.ts'
import type { HubBus } from './bus/bus.ts'
import { BusLink } from './bus/link.ts'
import { hubRoutes } from './http/routes.ts'
import { startHttpServer, type HttpServer, type HttpServerOptions } from './http/server.ts'
import { TrustUpkeep } from './identity/upkeep.ts'
import { Maintenance } from './maintenance.ts'
import { startBroker, type Broker } from './nats/broker.ts'
import type { Revocation } from './revocation/revocation.ts'

export type { HubOptions } from './assembly/ground.ts'

export interface Hub {
  readonly port: number
  /** Looks at the bundle, the ladder and the files of the bundle endpoint again, as it does by itself every half minute. */
  refresh(): Promise<void>
  close(): Promise<void>
}

const EVERY = {
  push: 10_000,
  keys: 30_000,
  'jwt-keys': 60_000,
  refresh: 30_000,
  prune: 60_000,
  tidy: 60_000,
  heartbeat: 1000,
  verify: 3_600_000,
} as const
/** How long after its start a hub begins to verify its log, milliseconds: first it answers. */
const FIRST_VERIFY_MS = 5000

async function openBroker(ground: Ground, undo: Undo): Promise<Broker> {
  const { options, trust, identity, natsIdentity, nats } = ground
  const { config, clock, log } = options
  const broker = await startBroker({
    binary: config.nats.binary,
    dir: config.nats.dir,
    host: config.nats.host,
    port: config.nats.port,
    serverId: config.natsId,
    certificate: natsIdentity.current(),
    trust: trust.validator,
    identity: identity.current(),
    store: nats,
    clock,
    log: log.child({ part: 'nats' }),
  })
  undo.push(() => broker.close())
  return broker
}

function openHttp(ground: Ground, offices: Offices): Promise<HttpServer> {
  const { options, trust, identity, denials, refusals } = ground
  const { clock, log, config } = options
  const refused: HttpServerOptions['refused'] = ({ requestId, path, caller }, error) => {
    const actor = caller === undefined ? {} : { actor: actorOf(caller) }
    return refusals.record({ type: 'cmd.rejected', ...actor, req: { jti: requestId }, obj: { path } }, error)
  }
  const authenticate = (chain: readonly Uint8Array[]): VerifiedSvid => {
    const svid = trust.validator.validate(chain, clock.now())
    denials.list.check(svid)
    return svid
  }
  const routes = hubRoutes({
    bundle: () => trust.text,
    bundles: (sequence) => trust.after(sequence),
    admission: offices.admission,
    login: offices.login,
    exchange: offices.exchange,
    log: offices.reader,
    ready: () => offices.bus.connected,
  })
  const tls = tlsMaterial(identity.current())
  return startHttpServer({ listen: config.listen, tls, routes, clock, log, authenticate, refused })
}

interface Running {
  readonly ground: Ground
  readonly broker: Broker
  readonly bus: HubBus
  readonly revocation: Revocation
  readonly http: HttpServer
  readonly served: ServedBundle | undefined
  readonly upkeep: TrustUpkeep
}

// What cannot be read of one must not keep the other from being looked at.
async function refresh({ upkeep, served }: Running): Promise<void> {
  const outcomes = await Promise.allSettled([upkeep.refresh(), served?.refresh()])
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
}

async function heartbeat({ options, log }: Ground): Promise<void> {
  const { clock, config } = options
  if (clock.now() - log.head().ts < config.periods.heartbeatS * 1000) return
  await log.append({ type: 'heartbeat', out: 'info' })
}

function verify({ log, logKey, options }: Ground): Promise<void> {
  return new SelfCheck({ log, vkeys: [logKey.vkey] }).runOrEnd(options.onFatal)
}

function keepUp(running: Running): Maintenance {
  const { ground, bus, revocation } = running
  const { clock, log } = ground.options
  const maintenance = new Maintenance({ clock, log })
  const tasks = [
    { name: 'push', run: () => bus.pushDenyList() },
    { name: 'keys', run: () => ground.encKeys.rotate() },
    { name: 'jwt-keys', run: () => ground.jwtAuthority.rotate() },
    { name: 'refresh', run: () => refresh(running) },
    { name: 'prune', run: () => ground.store.prune(clock.now()) },
    { name: 'tidy', run: () => revocation.tidy() },
    { name: 'heartbeat', run: () => heartbeat(ground) },
    { name: 'verify', run: () => verify(ground), firstMs: FIRST_VERIFY_MS },
  ] as const
  for (const task of tasks) maintenance.add({ ...task, everyMs: EVERY[task.name] })
  return maintenance
}

async function startUpkeep(ground: Ground, broker: Broker): Promise<TrustUpkeep> {
  const { options, trust, rungs, identity, natsIdentity, store, log: rows } = ground
  const { clock, log } = options
  const revokeUsers = (keys: readonly string[]): Promise<void> => broker.revoke(keys)
  const { svids } = store
  // The broker signs nothing: a certificate that it does not show any more is used by nobody.
  const shown = ({ id, thumbprint }: Identity): Promise<void> => svids.endOthers(id, thumbprint)
  await shown(natsIdentity.current())
  natsIdentity.start(async (next) => {
    await broker.setCertificate(next)
    await shown(next)
  })
  const upkeep = new TrustUpkeep({
    trust,
    rungs,
    identity,
    natsIdentity,
    svids,
    revokeUsers,
    rows,
    clock,
    log,
  })
  // What a hub that crashed left undone is not left until somebody changes something.
  await upkeep.changed()
  return upkeep
}

async function assemble(options: HubOptions, undo: Undo): Promise<Hub> {
  const ground = await openGround(options, undo)
  const { identity } = ground
  const broker = await openBroker(ground, undo)
  const federation = await openFederation(ground)
  // Whoever imports something cannot do so before all of it is put together.
  const late: { upkeep?: TrustUpkeep } = {}
  const trustChanged = async (): Promise<void> => late.upkeep?.changed()
  const offices = await openOffices(ground, broker, { federation, trustChanged })
  const { bus, revocation } = offices
  undo.push(() => bus.close())
  const link = new BusLink({ broker, bus, clock: options.clock, log: options.log })
  await link.connect(identity.current())
  await revocation.resume()
  const http = await openHttp(ground, offices)
  undo.push(() => http.close())
  undo.push(() => link.close())
  const served = await openBundleEndpoint(ground, federation)
  undo.push(() => served?.close())
  federation.start()
  undo.push(() => federation.close())
  identity.start(async (next) => {
    http.setTls(tlsMaterial(next))
    served?.follow(next)
    // Not waited for: an absent broker must not keep the identity from being renewed in time.
    void link.follow(next)
  })
  const upkeep = await startUpkeep(ground, broker)
  late.upkeep = upkeep
  const running = { ground, broker, bus, revocation, http, served, upkeep }
  const maintenance = keepUp(running)
  undo.push(() => maintenance.close())
  return { port: http.port, refresh: () => refresh(running), close: () => undo.run() }
}

/** Starts a hub on what `hub init` and the ceremony made. Rejects with the code of the part that could not start. */
export async function startHub(options: HubOptions): Promise<Hub> {
  const undo = new Undo(options.log)
  try {
    return await assemble(options, undo)
  } catch (error) {
    await undo.run()
    throw error
  }
}
