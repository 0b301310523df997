// The parent of every sandboxed process of one node. It knows programs, trees and files, no keys and no network: what
// may run was decided before it is asked. It refuses to run one process id twice, for as long as it remembers.
import { closeSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { ProcId } from '#shared/identity/names.ts'
import { identityAgent } from '#shared/protocol/sandbox-capability.ts'
import type { Sandbox, SandboxPlan } from '../sandbox/sandbox.ts'
import { openWorkspace, workingDirectory } from '../sandbox/workspace.ts'
import { openPlace } from '../workload-api/place.ts'
import { ProgramCopies } from './copies.ts'
import { ExecutableStore, requireUnchanged, type HeldFile } from './exe.ts'
import { FifoPool, type PipeEnds } from './fifo.ts'
import { Handles, type PreparedExecutable } from './handles.ts'
import { requireWanted } from './hashing.ts'
import type { OutputLimits } from './output-log.ts'
import { bootId } from './process-tree.ts'
import type {
  HashedFile,
  Inspection,
  KeeperEvent,
  KillRequest,
  Prepared,
  PrepareRequest,
  Started,
  StartRequest,
  StartSpec,
} from './protocol.ts'
import { claimProc, keeperDir, writeRecord, type ProcRecord } from './record.ts'
import { recoverRecords } from './recovery.ts'
import { Retention, type RetentionLimits } from './retention.ts'
import { Supervised, type ProcessPipes, type SupervisedOptions } from './supervised.ts'
import { Turns } from './turns.ts'

export interface KeeperOptions {
  readonly stateDir: string
  readonly sandbox: Sandbox
  readonly clock: Clock
  readonly maxProcesses: number
  readonly output: OutputLimits
  readonly retention: RetentionLimits
  readonly onEvent: (event: KeeperEvent) => void
  readonly onFault: (what: string, cause: unknown) => void
}

const LABEL_PREFIX = 'ztmesh:'
// How long after the last signal a tree may take to be confirmed gone: a process can be stuck in a dead disk.
const CONFIRM_MS = 30_000
const MAX_LISTED = 1000

export class Keeper {
  readonly #options: KeeperOptions
  readonly #executables: ExecutableStore
  readonly #turns = new Turns()
  readonly #handles: Handles
  readonly #fifos: FifoPool
  readonly #boot: string = bootId()
  readonly #running = new Map<ProcId, Supervised>()
  readonly #finished: Map<ProcId, ProcRecord>
  readonly #taken: Set<ProcId>
  readonly #retention: Retention

  private constructor(
    options: KeeperOptions,
    known: { taken: Set<ProcId>; finished: Map<ProcId, ProcRecord> },
  ) {
    this.#options = options
    this.#executables = new ExecutableStore(() => options.clock.now(), new ProgramCopies(options.stateDir))
    this.#handles = new Handles(options.clock)
    this.#fifos = new FifoPool(join(keeperDir(options.stateDir), 'fifo'))
    this.#taken = known.taken
    this.#finished = known.finished
    this.#retention = new Retention({
      ...options,
      limits: options.retention,
      onGone: (proc) => this.#forget(proc),
    })
    const ends = [...known.finished.values()].map(endOf)
    for (const end of ends.toSorted((a, b) => a.ended - b.ended)) this.#retention.add(end)
  }

  /** Takes over the folder of a keeper that is gone: whatever that left running is ended and recorded as lost. */
  static async open(options: KeeperOptions): Promise<Keeper> {
    mkdirSync(join(keeperDir(options.stateDir), 'procs'), { recursive: true, mode: 0o700 })
    const keeper = new Keeper(options, await recoverRecords(options.stateDir, options.clock, labelOf))
    await keeper.#fifos.refill()
    return keeper
  }

  get busy(): boolean {
    return this.#running.size > 0
  }

  /**
   * Opens and hashes a program and holds it for `owner`, one at a time for each workspace; given up when `signal` says
   * that the owner is gone. Errors: ZT-404-EXE, ZT-403-EXE, ZT-412-FACT (details.fact "exe-size"), ZT-429-RATE.
   */
  async prepare(owner: object, request: PrepareRequest, signal: AbortSignal): Promise<Prepared> {
    const terms = { hidden: this.#hidden(request), signal }
    const exe = await this.#turns.take(request.workspace.name, () => this.#executables.open(request, terms))
    if (signal.aborted) exe.close()
    requireWanted(signal)
    const handle = this.#handles.add(owner, { exe, request })
    const { interpreter } = exe
    const file = hashedFile(exe.file)
    return interpreter === undefined
      ? { handle, ...file }
      : { handle, ...file, interpreter: hashedFile(interpreter) }
  }

  release(owner: object, handle: string): void {
    this.#handles.release(owner, handle)
  }

  releaseAll(owner: object): void {
    this.#handles.releaseAll(owner)
  }

  /**
   * Runs a prepared program; resolves when it was executed.
   * Errors: ZT-409-IDENTIFIER for a process id that was used before; ZT-412-FACT for what this node cannot give;
   * ZT-503-SANDBOX; ZT-500-SPAWN and ZT-403-EXE if it never ran. After any other than the first, nothing has run.
   */
  async start(owner: object, { handle, proc, spec }: StartRequest): Promise<Started> {
    if (this.#taken.has(proc))
      throw new ZtError('ZT-409-IDENTIFIER', 'a process with this id was started before')
    const prepared = this.#handles.take(owner, handle)
    let supervised: Supervised
    try {
      supervised = await this.#supervise(proc, prepared, spec)
    } catch (cause) {
      prepared.exe.close()
      throw cause
    }
    return supervised.started
  }

  list(all: boolean): readonly ProcRecord[] {
    const running = [...this.#running.values()].map(({ record }) => record)
    if (!all) return running
    const finished = [...this.#finished.values()].toSorted((a, b) => b.began - a.began)
    return [...running, ...finished].slice(0, Math.max(MAX_LISTED, running.length))
  }

  /** Errors: ZT-404-PROC if nothing is known of that id, and so nothing of it ever ran within the retention. */
  inspect(proc: ProcId): Inspection {
    const running = this.#running.get(proc)
    const record = running?.record ?? this.#finished.get(proc)
    if (record === undefined) throw unknownProcess()
    return { record, members: running?.members() ?? [] }
  }

  /**
   * Resolves when every process of the tree is gone; at once if it ended before, and if no grace time is given: then
   * the signal is all that is sent, KILL excepted.
   * Errors: ZT-404-PROC unless that process has that start time; ZT-504-TIMEOUT if the kernel cannot end it.
   */
  async kill({ proc, started, signal, graceMs }: KillRequest): Promise<ProcRecord> {
    const running = this.#running.get(proc)
    const record = running?.record ?? this.#finished.get(proc)
    if (record === undefined || record.started !== started) throw unknownProcess()
    if (running === undefined) return record
    if (graceMs === undefined && signal !== 'KILL') {
      running.signal(signal)
      return running.record
    }
    return await this.#end(running, signal, graceMs ?? 0)
  }

  async #end(running: Supervised, signal: KillRequest['signal'], graceMs: number): Promise<ProcRecord> {
    const late = Promise.withResolvers<never>()
    const timer = this.#options.clock.after(graceMs + CONFIRM_MS, () => {
      late.reject(new ZtError('ZT-504-TIMEOUT', 'the process does not end although it was killed'))
    })
    try {
      return await Promise.race([running.kill(signal, graceMs), late.promise])
    } finally {
      timer.cancel()
    }
  }

  /** Ends every tree, and waits for that. */
  async close(): Promise<void> {
    await Promise.all([...this.#running.values()].map((running) => running.kill('KILL', 0)))
    this.#retention.close()
  }

  #hidden({ workspace }: PrepareRequest): string[] {
    return [this.#options.stateDir, workspace.root]
  }

  async #supervise(proc: ProcId, prepared: PreparedExecutable, spec: StartSpec): Promise<Supervised> {
    const plan = this.#plan(proc, prepared, spec)
    const pipes = await this.#pipes(plan).catch((cause: unknown) => {
      plan.release()
      throw cause
    })
    try {
      // Nothing is waited for from here to bubblewrap's start.
      if (this.#running.size >= this.#options.maxProcesses)
        refuse('processes', 'the node runs as many as it may')
      requireUnchanged(prepared.exe.file)
      if (prepared.exe.interpreter !== undefined) requireUnchanged(prepared.exe.interpreter)
      const record = this.#claim(proc, prepared, plan)
      // If we crash here, nothing has run; the record says "starting", and the next keeper makes "lost" of it.
      return this.#launch({ record, plan, exe: prepared.exe, pipes, wallMs: spec.wallMs })
    } catch (cause) {
      plan.release()
      closePipes(pipes)
      throw cause
    }
  }

  #plan(proc: ProcId, { exe, request }: PreparedExecutable, spec: StartSpec): SandboxPlan {
    const workspace = openWorkspace(request.workspace, request.runAs)
    const fds = [workspace.fd]
    try {
      const hasIdentity = identityAgent(spec.caps) !== undefined
      if (hasIdentity) fds.push(openPlace(request.workspace.root, proc))
      const plan = this.#options.sandbox.plan({
        label: labelOf(proc),
        caps: spec.caps,
        runAs: request.runAs,
        argv: spec.argv,
        exe: exe.file,
        interpreter: exe.interpreter,
        workspaceFd: workspace.fd,
        ...(fds[1] !== undefined && { workloadFd: fds[1] }),
        cwd: workingDirectory(spec.cwd, workspace),
        env: spec.env,
        searchPath: request.searchPath,
        masks: [...this.#hidden(request), ...spec.masks],
      })
      const release = (): void => {
        plan.release()
        fds.forEach((fd) => closeSync(fd))
      }
      return { ...plan, release }
    } catch (cause) {
      fds.forEach((fd) => closeSync(fd))
      throw cause
    }
  }

  async #pipes({ user }: SandboxPlan): Promise<ProcessPipes> {
    const opened: PipeEnds[] = []
    try {
      const stdout = await this.#fifos.pipe(user)
      opened.push(stdout)
      const stderr = await this.#fifos.pipe(user)
      opened.push(stderr)
      return { stdout, stderr, gate: await this.#fifos.gate() }
    } catch (cause) {
      for (const { readFd, writeFd } of opened) [readFd, writeFd].forEach((fd) => closeSync(fd))
      throw cause
    }
  }

  #claim(proc: ProcId, { exe }: PreparedExecutable, { profile }: SandboxPlan): ProcRecord {
    const { stateDir, clock, output } = this.#options
    const record: ProcRecord = {
      v: 1,
      proc,
      state: 'starting',
      boot: this.#boot,
      began: clock.now(),
      exe: hashedFile(exe.file),
      ...(exe.interpreter === undefined ? {} : { interpreter: hashedFile(exe.interpreter) }),
      profile: { name: profile.name, sha256: profile.sha256 },
      output: { segmentBytes: output.segmentBytes, stdout: 0, stderr: 0 },
    }
    claimProc(stateDir, proc)
    this.#taken.add(proc)
    try {
      writeRecord(stateDir, record)
    } catch (cause) {
      throw new ZtError('ZT-500-SPAWN', 'the process could not be recorded, so it was not started', { cause })
    }
    return record
  }

  #launch(launch: Pick<SupervisedOptions, 'record' | 'plan' | 'exe' | 'pipes' | 'wallMs'>): Supervised {
    const { stateDir, clock, output, onEvent, onFault } = this.#options
    const { proc } = launch.record
    const supervised = new Supervised({
      ...launch,
      stateDir,
      limits: output,
      clock,
      onStarted: (started) => onEvent({ event: 'started', proc, ...started }),
      onOutput: (stream, size) => onEvent({ event: 'output', proc, stream, size }),
      onFault,
    })
    this.#running.set(proc, supervised)
    void supervised.ended.then((ended) => this.#onEnded(ended))
    return supervised
  }

  #forget(proc: ProcId): void {
    this.#finished.delete(proc)
    this.#taken.delete(proc)
  }

  #onEnded(record: ProcRecord): void {
    this.#running.delete(record.proc)
    this.#finished.set(record.proc, record)
    this.#options.onEvent({ event: 'exited', record })
    this.#retention.add(endOf(record))
  }
}

function closePipes({ stdout, stderr, gate }: ProcessPipes): void {
  for (const fd of [stdout.readFd, stdout.writeFd, stderr.readFd, stderr.writeFd, gate]) closeSync(fd)
}

function endOf({ proc, began, ended = began }: ProcRecord): { proc: ProcId; ended: number } {
  return { proc, ended }
}

function labelOf(proc: ProcId): string {
  return `${LABEL_PREFIX}${proc}`
}

function hashedFile({ realpath, sha256 }: HeldFile): HashedFile {
  return { realpath, sha256 }
}

function unknownProcess(): ZtError {
  return new ZtError('ZT-404-PROC', 'there is no process of that id and start time')
}

function refuse(fact: string, message: string): never {
  throw new ZtError('ZT-412-FACT', message, { details: { fact } })
}
