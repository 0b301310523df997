// Starts one process. The program is opened and hashed by the keeper before the command is accepted, and it is that open
// file that runs; the row that allows it is on disk before anything is started, the one that says it started after.
import { posix } from 'node:path'

import type { JsonObject } from '#shared/encoding/json-value.ts'
import { ZtError, isZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { RowReceipt } from '#shared/host/durable-log.ts'
import { principalTag } from '#shared/identity/principal-tag.ts'
import { principalOf, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import type { SpawnCommand } from '#shared/protocol/command.ts'
import type { SpawnResult } from '#shared/protocol/results.ts'
import { identityAgent } from '#shared/protocol/sandbox-capability.ts'
import type { NodeLog } from '../audit/node-log.ts'
import { commitTo, type PrivatePayload } from '../audit/private-payload.ts'
import type { Prepared, Started } from '../keeper/protocol.ts'
import type { OpenedStream, OutputSessions } from '../output/sessions.ts'
import type { OutputSource } from '../output/source.ts'
import type { ProcessKeeper } from '../processes/keeper-port.ts'
import type { Processes } from '../processes/processes.ts'
import { parseCapabilities } from '../sandbox/capabilities.ts'
import { renderProfile, WORKSPACE, type Profile } from '../sandbox/profile.ts'
import type { RunAs } from '../sandbox/sandbox.ts'
import type { NewTask } from '../workload-api/task.ts'
import type { Completion, GrantedCommand, PreparedCommand } from './handler.ts'

/** Where a process that has an identity gets it. */
export interface TaskSockets {
  begin(task: NewTask): Promise<void>
  /** Nothing is served any more. */
  ended(proc: SpawnCommand['proc']): Promise<void>
}

export interface SpawnParts {
  readonly log: NodeLog
  readonly keeper: ProcessKeeper
  readonly processes: Processes
  readonly sessions: OutputSessions
  readonly clock: Clock
  readonly workspaceRoot: string
  readonly searchPath: readonly string[]
  readonly runAs: RunAs
  /** host folders that no process may see */
  readonly masks: readonly string[]
  readonly sockets: TaskSockets
  readonly outputOf: (proc: SpawnCommand['proc']) => OutputSource
  /** nanoseconds from the arrival of a message until its process was asked for: the cost of trusting nobody */
  readonly observe: (zeroTrustNs: bigint) => void
}

type Spawn = GrantedCommand<SpawnCommand>

/** Check 15 for a spawn. Errors: ZT-404-EXE, ZT-403-EXE, ZT-412-FACT (details.fact), ZT-429-RATE. */
export async function prepareSpawn(parts: SpawnParts, granted: Spawn): Promise<PreparedCommand> {
  const { cmd, sender } = granted
  const profile = renderProfile(parseCapabilities(cmd.sandbox.caps))
  requireInside(cmd.cwd)
  if (cmd.out !== undefined) parts.sessions.requireRoom()
  const exe = await parts.keeper.prepare({
    path: cmd.exe.path,
    searchPath: parts.searchPath,
    runAs: parts.runAs,
    workspace: { root: parts.workspaceRoot, name: workspaceName(sender.id) },
  })
  const spawn = new PreparedSpawn(parts, granted, { exe, profile })
  if (cmd.exe.sha256 !== undefined && cmd.exe.sha256 !== exe.sha256) {
    spawn.release()
    throw new ZtError('ZT-412-FACT', 'the program is not the one with the digest that was asked for', {
      details: { fact: 'exe', sha256: exe.sha256 },
    })
  }
  return spawn
}

interface Program {
  readonly exe: Prepared
  /** what the sandbox will enforce */
  readonly profile: Profile
}

class PreparedSpawn implements PreparedCommand {
  readonly obj: JsonObject
  readonly payload: PrivatePayload
  readonly #parts: SpawnParts
  readonly #granted: Spawn
  readonly #exe: Prepared
  readonly #profile: Profile
  #mayRun = false
  #stream: OpenedStream | undefined

  constructor(parts: SpawnParts, granted: Spawn, { exe, profile }: Program) {
    this.#parts = parts
    this.#granted = granted
    this.#exe = exe
    this.#profile = profile
    const { argv, env, cwd } = granted.cmd
    this.obj = describe(granted.cmd, exe, profile.sha256)
    this.payload = commitTo({ argv, env, ...(cwd !== undefined && { cwd }) })
  }

  readonly record = (): void => {
    const { log, processes } = this.#parts
    const { cmd, envelope, claims, sender } = this.#granted
    const { realpath: exe, sha256: exeSha256 } = this.#exe
    log.processes.add({
      proc: cmd.proc,
      jti: envelope.jti,
      txn: claims.txn,
      owner: sender.id,
      ownerX5t: sender.thumbprint,
      agent: identityAgent(cmd.sandbox.caps) ?? null,
      exe,
      exeSha256,
    })
    processes.claim(cmd.proc)
  }

  release(): void {
    // The keeper lets go of it by itself after a minute: this only spares it the open file.
    this.#parts.keeper.release(this.#exe.handle).catch(() => undefined)
    this.#parts.processes.unclaim(this.#granted.cmd.proc)
  }

  async run(accepted: RowReceipt): Promise<Completion> {
    const { proc } = this.#granted.cmd
    const { processes } = this.#parts
    try {
      return await processes.serially(proc, () => this.#run(accepted))
    } catch (error) {
      await this.#stream?.abandon()
      // Runs or ran, and the log does not say so yet.
      if (this.#mayRun) processes.settleSoon(proc)
      throw error
    } finally {
      processes.unclaim(proc)
    }
  }

  cameToNothing(): boolean {
    return !this.#mayRun
  }

  readonly recordNothing = (): void => {
    const { log, clock } = this.#parts
    log.processes.ended(this.#granted.cmd.proc, { state: 'failed', atMs: clock.now() })
  }

  async #run(accepted: RowReceipt): Promise<Completion> {
    const { cmd } = this.#granted
    const { clock, observe } = this.#parts
    this.#stream = this.#openStream()
    observe(clock.monotonicNs() - this.#granted.arrivedNs)
    const started = await this.#start()
    const row = await this.#recordStart(started, accepted)
    const { realpath: path, sha256 } = this.#exe
    const result: SpawnResult = {
      proc: cmd.proc,
      started: Number(started.started),
      exe: { path, sha256 },
      ...(this.#stream !== undefined && { out: this.#stream.grant }),
    }
    const stream = this.#stream
    return stream === undefined ? { result, row } : { result, row, afterwards: () => stream.start() }
  }

  async #start(): Promise<Started> {
    const { cmd } = this.#granted
    const { argv, env, cwd, limits } = cmd
    const spec = {
      argv,
      env,
      caps: cmd.sandbox.caps,
      masks: this.#parts.masks,
      ...(cwd !== undefined && { cwd }),
      ...(limits.wall_s !== undefined && { wallMs: limits.wall_s * 1000 }),
    }
    const agent = identityAgent(cmd.sandbox.caps)
    if (agent !== undefined)
      await this.#parts.sockets.begin({ proc: cmd.proc, agent, owner: this.#granted.sender })
    // If we crash from here on, the keeper knows whether it runs, and recover.ts asks.
    this.#mayRun = true
    try {
      return await this.#parts.keeper.start({ handle: this.#exe.handle, proc: cmd.proc, spec })
    } catch (error) {
      if (isZtError(error, 'ZT-504-OUTCOME-UNKNOWN')) throw error
      this.#mayRun = false
      await this.#parts.sockets.ended(cmd.proc)
      throw error
    }
  }

  /** A process whose start cannot be written down does not stay. */
  async #recordStart(started: Started, accepted: RowReceipt): Promise<RowReceipt> {
    const { log, processes, keeper } = this.#parts
    const { cmd } = this.#granted
    const record = log.processes.find(cmd.proc)
    if (record === undefined) throw new ZtError('ZT-500-INTERNAL', 'an accepted process is not on record')
    const parent = `${accepted.log}#${accepted.seq}`
    try {
      return await processes.recordStart(record, { ...started, profile: this.#profile, parent })
    } catch (error) {
      await keeper.kill({ proc: cmd.proc, started: started.started, signal: 'KILL', graceMs: 0 })
      throw error
    }
  }

  #openStream(): OpenedStream | undefined {
    const { cmd, sender, envelope } = this.#granted
    if (cmd.out === undefined) return undefined
    return this.#parts.sessions.open({
      source: this.#parts.outputOf(cmd.proc),
      proc: cmd.proc,
      out: cmd.out,
      caller: sender,
      jti: envelope.jti,
      from: { stdout: 0, stderr: 0 },
      follow: true,
    })
  }
}

/** What the row says; argv, environment and folder are only committed to. */
function describe(cmd: SpawnCommand, exe: Prepared, profileSha256: string): JsonObject {
  return {
    op: cmd.op,
    proc: cmd.proc,
    exe: exe.realpath,
    exe_sha256: exe.sha256,
    ...(exe.interpreter !== undefined && { interpreter: { ...exe.interpreter } }),
    sandbox: { profile: cmd.sandbox.profile, sha256: profileSha256 },
    caps: cmd.sandbox.caps,
    limits: { ...cmd.limits },
  }
}

/** The folder of one principal on this node: what it writes there it finds again at its next spawn, and nobody else does. */
export function workspaceName(owner: SpiffeId): string {
  const principal = principalOf(owner)
  const parts = principal.kind === 'agent' ? [principal.name, principal.task] : [principal.name]
  // Names have no dots, so different principals never share a folder.
  const name = [principal.kind, ...parts].join('.')
  return name.length <= 63 ? name : `${principal.kind}.${principalTag(owner)}`
}

function requireInside(cwd: string | undefined): void {
  if (cwd === undefined) return
  const inside = cwd === WORKSPACE || cwd.startsWith(`${WORKSPACE}/`)
  if (inside && posix.normalize(cwd) === cwd) return
  throw new ZtError('ZT-412-FACT', `the folder must be a plain path inside ${WORKSPACE}`, {
    details: { fact: 'cwd' },
  })
}
