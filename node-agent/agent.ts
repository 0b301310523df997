// The node agent put together. Order matters: first what was left open is settled with the keeper, then the node is
// admitted, the deny list is fetched and the log is anchored, and only then is a command taken. It is long because it is
// one diagram of what is wired to what; nothing is decided here.
import { geteuid, getegid } from 'node:process'

import { ZtError } from '#shared/errors/error.ts'
import { sleep, type Clock, type Timer } from '#shared/host/clock.ts'
import { withCatchUp } from '#shared/host/catch-up.ts'
import { HubHttps } from '#shared/host/hub-https.ts'
import type { Logger } from '#shared/host/logger.ts'
import type { HeldIdentity, Identity } from '#shared/identity/identity.ts'
import { parseVkey } from '#shared/log/note.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { Anchorer } from './anchor/anchorer.ts'
import { admit, type Admission } from './attest/admission.ts'
import type { Attestor } from './attest/attestor.ts'
import type { SigningState } from './attest/tpm-svid-key.ts'
import { registeredAttestor } from './attest/registered.ts'
import { openNodeLog, type NodeLog } from './audit/node-log.ts'
import { Rejections } from './audit/rejections.ts'
import { createPreparer } from './commands/prepare.ts'
import { Receiver } from './commands/receive.ts'
import type { NodeConfig } from './config.ts'
import type { KeeperEvent } from './keeper/protocol.ts'
import { KeyRing } from './identity/key-ring.ts'
import { Renewals } from './identity/renewals.ts'
import { bootId } from '#shared/host/boot-id.ts'
import { Bus } from './link/bus.ts'
import { Generation } from './link/generation.ts'
import { processSource } from './output/process-source.ts'
import { OutputSessions } from './output/sessions.ts'
import { KeeperLink } from './processes/keeper-link.ts'
import { Processes } from './processes/processes.ts'
import { RateBucket, SenderRates } from './rate.ts'
import { recover } from './recover.ts'
import { Denials, isDenied } from './revocation/denials.ts'
import type { RunAs } from './sandbox/sandbox.ts'
import { readBundleFile, writeBundleFile } from './state/bundle-file.ts'
import { acquireInstanceLock, type InstanceLock } from './state/instance-lock.ts'
import { loadLogKey } from './state/log-key.ts'
import { loadMembership, type Membership } from './state/membership.ts'
import { requireStateDir, type StatePaths } from './state/state-dir.ts'
import { WorkloadApi } from './workload-api/workload-api.ts'

export interface AgentOptions {
  readonly config: NodeConfig
  readonly clock: Clock
  readonly logger: Logger
  /** program and first arguments that start a keeper */
  readonly keeperCommand: readonly [string, ...string[]]
}

/** Commands under way at once. */
const MAX_UNDERWAY = 1024
const HOUSEKEEPING_MS = 30_000
const CLOSE_MS = 15_000
const COMMANDS_MS = 10_000
/** A key in memory signs at once. */
const IN_MEMORY: SigningState = { isLost: false, waiting: 0 }
/** What processes run as where the agent is root and its configuration says nothing else: nobody. */
const NOBODY: RunAs = { uid: 65_534, gid: 65_534 }

interface Held {
  readonly paths: StatePaths
  readonly membership: Membership
  readonly attestor: Attestor
  readonly trust: SvidValidator
  readonly log: NodeLog
}

export class NodeAgent {
  readonly #options: AgentOptions
  readonly #held: Held
  readonly #lock: InstanceLock
  readonly #bus = new Bus()
  readonly #keys: KeyRing
  readonly #denials: Denials
  readonly #anchorer: Anchorer
  readonly #rejections: Rejections
  readonly #sessions: OutputSessions
  readonly #renewals: Renewals
  readonly #workloads: WorkloadApi
  #keeper: KeeperLink | undefined
  #processes: Processes | undefined
  #receiver: Receiver | undefined
  #admission: Admission | undefined
  #generation: Generation | undefined
  #running: Promise<void> = Promise.resolve()
  #housekeeping: Timer | undefined
  #closing: Promise<void> | undefined

  private constructor(options: AgentOptions, held: Held, lock: InstanceLock) {
    this.#options = options
    this.#held = held
    this.#lock = lock
    const { config, clock, logger } = options
    const { log, trust, membership } = held
    this.#keys = new KeyRing(clock)
    this.#denials = new Denials({
      log,
      trust,
      clock,
      logger,
      changed: (list) => {
        this.#sessions.stopDenied((caller) => isDenied(list, caller))
        this.#workloads.denialsChanged()
      },
    })
    this.#rejections = new Rejections({
      clock,
      append: (draft) => log.append(draft),
      failed: (error) => logger.error('a refusal could not be written', { error }),
    })
    const { node, id: me } = membership
    this.#sessions = new OutputSessions({
      node,
      me,
      bus: this.#bus,
      clock,
      logger,
      maxSessions: config.output.maxSessions,
    })
    this.#anchorer = new Anchorer({
      log,
      clock,
      logger,
      ...config.anchor,
      hub: { origin: membership.hubLog.origin, verifier: parseVkey(membership.hubLog.vkey) },
      ask: (request) => this.#linked().anchor(request),
    })
    this.#workloads = new WorkloadApi({
      workspaceRoot: config.workspaceRoot,
      runAs: runAs(config),
      trust,
      clock,
      logger,
      ask: (op, params) => this.#linked().ask(op, params),
      find: (proc) => log.processes.find(proc),
      node: me,
      isDenied: ({ id, thumbprint = '' }) => isDenied(this.#denials.list, { id, thumbprint }),
    })
    this.#renewals = new Renewals({
      clock,
      logger,
      admit: () => this.#admit(),
      open: (admission) => this.#open(admission),
      adopt: (next) => this.#adopt(next),
    })
  }

  /**
   * Starts the agent; resolves when it runs, whether or not its hub can be reached yet. Errors: ZT-400-CONFIG if it has
   * not joined; ZT-409-EXISTS if it runs already; ZT-490-* and ZT-503-AUDIT for its log; ZT-503-SANDBOX for its keeper.
   */
  static async start(options: AgentOptions): Promise<NodeAgent> {
    const paths = requireStateDir(options.config.stateDir)
    const lock = acquireInstanceLock(paths.lock)
    let agent: NodeAgent | undefined
    try {
      agent = new NodeAgent(options, hold(options, paths), lock)
      await agent.#begin()
      return agent
    } catch (error) {
      await agent?.close()
      lock.release()
      throw error
    }
  }

  get membership(): Membership {
    return this.#held.membership
  }

  /** Takes nothing more, lets what is under way finish, and ends; processes go on under the keeper. */
  close(): Promise<void> {
    this.#closing ??= this.#end()
    return this.#closing
  }

  async #end(): Promise<void> {
    this.#housekeeping?.cancel()
    this.#anchorer.stop()
    await this.#renewals.close(CLOSE_MS)
    // A renewal that waits for a TPM or a hub that hangs is left behind; it finds the renewals closed.
    const settled = new AbortController()
    await Promise.race([this.#running, sleep(this.#options.clock, CLOSE_MS, settled.signal)])
    settled.abort()
    await this.#settleCommands()
    await this.#sessions.close()
    await this.#workloads.close()
    await this.#rejections.flush()
    this.#keeper?.close()
    await this.#held.log.close()
    this.#lock.release()
  }

  /** One that takes too long loses the keeper, which gives up what it hashes; what it had accepted is settled at the next start. */
  async #settleCommands(): Promise<void> {
    if ((await this.#receiver?.idle(COMMANDS_MS)) !== false) return
    this.#keeper?.close()
    await this.#receiver?.idle(COMMANDS_MS)
  }

  async #begin(): Promise<void> {
    const { config, clock, logger, keeperCommand } = this.#options
    const { log } = this.#held
    this.#keeper = await KeeperLink.connect({
      stateDir: config.stateDir,
      command: keeperCommand,
      clock,
      logger,
      onEvent: (event) => this.#handle(event),
      onReconnected: () => this.#settle(),
    })
    const news = (proc?: Parameters<OutputSessions['wake']>[0]): void => this.#sessions.wake(proc)
    this.#processes = new Processes({ log, keeper: this.#keeper, clock, logger, news })
    await recover(log, this.#processes)
    await this.#workloads.resume()
    this.#receiver = this.#createReceiver(this.#keeper, this.#processes)
    this.#running = this.#renewals.run()
    this.#keepHouse()
  }

  #createReceiver(keeper: KeeperLink, processes: Processes): Receiver {
    const { config, clock, logger } = this.#options
    const { log, trust, membership } = this.#held
    const spawn = {
      log,
      keeper,
      processes,
      sessions: this.#sessions,
      clock,
      workspaceRoot: config.workspaceRoot,
      searchPath: config.searchPath,
      runAs: runAs(config),
      masks: config.hide,
      sockets: this.#workloads,
      outputOf: (proc: Parameters<typeof processSource>[1]) =>
        processSource(config.stateDir, proc, processes),
      observe: (ns: bigint) => logger.debug('a process was asked for', { zero_trust_us: Number(ns / 1000n) }),
    }
    const perSender = config.rate.commandsPerSecondPerCaller
    return new Receiver({
      me: membership.id,
      clock,
      trust,
      deny: this.#denials.list,
      consumed: log.consumed,
      marks: log.marks,
      rates: new SenderRates(clock, { burst: 2 * perSender, perSecond: perSender }),
      key: (kid) => this.#keys.find(kid),
      policy: config.allow,
      boot: bootId(),
      fence: () => this.#admission?.fence ?? -1,
      log,
      rejections: this.#rejections,
      logger,
      load: new RateBucket(clock, {
        burst: 2 * config.rate.messagesPerSecond,
        perSecond: config.rate.messagesPerSecond,
      }),
      maxUnderway: MAX_UNDERWAY,
      anchor: {
        requiredFor: config.anchor.requiredFor,
        maxAgeMs: config.anchor.maxAgeMs,
        ageMs: () => this.#anchorer.ageMs,
        anchorSoon: () => this.#anchorer.anchorSoon(),
      },
      ready: async () => {
        this.#anchorer.requireTrust()
        // What cannot be answered is not done.
        if (this.#signing().isLost) throw new ZtError('ZT-503-TPM', 'the key of the svid signs no more')
        await this.#denials.current()
      },
      identity: () => this.#identity(),
      signing: () => this.#signing(),
      prepare: createPreparer(spawn),
    })
  }

  async #admit(): Promise<Admission> {
    const { clock } = this.#options
    const { paths, membership, attestor, trust, log } = this.#held
    const { hub: url, hubId, node, id: nodeId } = membership
    const keepBundle = (text: string): void => writeBundleFile(paths.bundle, text)
    const parts = {
      https: new HubHttps({ url, hubId, trust, clock }),
      attestor,
      trust,
      clock,
      hubId,
      node,
      nodeId,
      log: { origin: log.durable.origin, vkey: log.vkey },
      boot: bootId(),
      keepBundle,
    }
    const way = { url, clock, trust, keep: ({ text }: { readonly text: string }) => keepBundle(text) }
    const admission = await withCatchUp(way, () => admit(parts))
    const { origin, vkey } = admission.hubLog
    if (origin !== membership.hubLog.origin || vkey !== membership.hubLog.vkey) {
      throw new ZtError('ZT-490-SIGNATURE', 'the hub names another log than the one that was joined')
    }
    return admission
  }

  /** From here on messages may be sealed to the new key, over whichever connection they come. */
  async #open(admission: Admission): Promise<Generation> {
    const { clock, logger } = this.#options
    const { log, trust, membership } = this.#held
    this.#keys.add(admission.encKey, admission.identity.notAfter)
    log.marks.raise('policy', admission.policyVersion)
    await this.#denials.offer(admission.deny)
    this.#admission = admission
    const parts = {
      node: membership.node,
      trust,
      clock,
      logger,
      denials: this.#denials,
      onCommand: async (message: Parameters<Receiver['receive']>[0]) => this.#receiver?.receive(message),
      onAck: (subject: string, data: Uint8Array) => this.#sessions.acknowledge(subject, data),
    }
    return Generation.open(parts, admission)
  }

  async #adopt(next: Generation): Promise<void> {
    const before = this.#generation
    this.#generation = next
    try {
      // A node whose history the hub does not accept takes no commands; that is found out before the first one.
      if (before === undefined) await this.#anchorer.anchor()
      await next.serve()
    } catch (error) {
      this.#generation = before
      await next.channel.close()
      throw error
    }
    await this.#bus.use(next.channel)
    this.#anchorer.start()
    this.#workloads.bundleChanged()
  }

  #linked(): Generation {
    if (this.#generation !== undefined) return this.#generation
    throw new ZtError('ZT-503-NATS', 'the node is not connected')
  }

  #identity(): Identity | HeldIdentity {
    if (this.#admission !== undefined) return this.#admission.identity
    throw new ZtError('ZT-401-SESSION', 'the node is not admitted')
  }

  #signing(): SigningState {
    return this.#admission?.signing ?? IN_MEMORY
  }

  #handle(event: KeeperEvent): void {
    this.#processes?.handle(event)
    if (event.event === 'exited') void this.#workloads.ended(event.record.proc)
  }

  #settle(): void {
    this.#processes
      ?.settleAll()
      .then(() => this.#workloads.resume())
      .catch((error: unknown) => this.#options.logger.error('processes could not be settled', { error }))
  }

  #keepHouse(): void {
    this.#housekeeping = this.#options.clock.after(HOUSEKEEPING_MS, () => {
      try {
        this.#held.log.prune()
      } catch (error) {
        this.#options.logger.error('the memory could not be pruned', { error })
      }
      // Ends that could not be written when they happened are written now.
      this.#settle()
      this.#keepHouse()
    })
  }
}

function hold({ config, clock }: AgentOptions, paths: StatePaths): Held {
  const membership = loadMembership(paths.membership)
  const key = loadLogKey(paths.logKey)
  if (membership === undefined || key === undefined) {
    throw new ZtError('ZT-400-CONFIG', `the node of ${paths.dir} has not joined: \`node-agent join\``)
  }
  if (membership.node !== config.name) {
    throw new ZtError(
      'ZT-400-CONFIG',
      `stateDir belongs to node "${membership.node}", not to "${config.name}"`,
    )
  }
  const trust = new SvidValidator(readBundleFile(paths.bundle, clock.now()))
  // A node that has joined has a log. Without it nobody could say what was consumed or done: it does not run.
  const options = { file: paths.audit, origin: membership.logOrigin, key, clock, boot: bootId() }
  const attestor = registeredAttestor(config, paths)
  return { paths, membership, attestor, trust, log: openNodeLog({ ...options, ifMissing: 'refuse' }) }
}

/** ZT-400-CONFIG if processes are to run as somebody whom only root may become. */
export function runAs(config: Pick<NodeConfig, 'runAs'>): RunAs {
  const own: RunAs = { uid: geteuid?.() ?? 0, gid: getegid?.() ?? 0 }
  if (own.uid === 0) return config.runAs ?? NOBODY
  if (config.runAs === undefined || (config.runAs.uid === own.uid && config.runAs.gid === own.gid)) return own
  throw new ZtError('ZT-400-CONFIG', 'field "runAs" names another user, and the agent is not root')
}
