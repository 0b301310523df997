// One process tree, from bubblewrap's start to the confirmed end of everything in it, with its output and its record.
// Order: record "starting" is on disk, then bubblewrap is started; record "running" is on disk, then the program is.
import { once } from 'node:events'
import { closeSync, readFileSync, writeSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import type { ChildProcess } from 'node:child_process'
import type { Socket } from 'node:net'
import { ZtError } from '#shared/errors/error.ts'
import { sleep, type Clock } from '#shared/host/clock.ts'
import type { KillSignal } from '#shared/protocol/command.ts'
import { launchPlan, type LaunchedPlan } from '../sandbox/launch.ts'
import type { SandboxPlan } from '../sandbox/sandbox.ts'
import { Binding } from './binding.ts'
import { startDrain, type Drain } from './drain.ts'
import type { OpenExecutable } from './exe.ts'
import type { PipeEnds } from './fifo.ts'
import { OutputWriter, type OutputLimits } from './output-log.ts'
import { readStat } from './process-tree.ts'
import type { Started, Stream, TreeMember } from './protocol.ts'
import { procDir, writeRecord, type KeptExit, type ProcRecord } from './record.ts'
import { readStatus, type FirstProcess } from './status-channel.ts'
import { afterLong, standStill } from './timing.ts'
import { Tree } from './tree.ts'

/** Closed by the supervision. */
export interface ProcessPipes {
  readonly stdout: PipeEnds
  readonly stderr: PipeEnds
  readonly gate: number
}

export interface SupervisedOptions {
  readonly stateDir: string
  /** as it is on disk already, in state "starting" */
  readonly record: ProcRecord
  readonly plan: SandboxPlan
  /** closed when it is needed no longer */
  readonly exe: OpenExecutable
  readonly pipes: ProcessPipes
  readonly limits: OutputLimits
  readonly wallMs: number | undefined
  readonly clock: Clock
  /** told before any output, and before the end */
  readonly onStarted: (started: Started) => void
  readonly onOutput: (stream: Stream, size: number) => void
  /** something that does not stop the process, and that an operator should know */
  readonly onFault: (what: string, cause: unknown) => void
}

interface ProgramEnd {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

const WALL_GRACE_MS = 5000
const WALL_TIME = 'wall time limit'
const EXEC_POLL_MS = 1
const QUICK_TRIES = 5
const QUICK_WAIT_MS = 0.05
const SCRIPT_OPEN_MS = 1000
const LAST_OUTPUT_MS = 2000
const REASON_CHARACTERS = 400

export class Supervised {
  /** rejects if the program never ran: ZT-500-SPAWN, ZT-403-EXE, ZT-412-FACT */
  readonly started: Promise<Started>
  /** never rejects; the record as it stays */
  readonly ended: Promise<ProcRecord>
  readonly #options: SupervisedOptions
  readonly #startedNow = Promise.withResolvers<Started>()
  readonly #drains: Readonly<Record<Stream, { readonly writer: OutputWriter; readonly drain: Drain }>>
  /** never rejects */
  readonly #drained: Promise<unknown>
  readonly #sent = new Set<KillSignal>()
  #record: ProcRecord
  #child: ChildProcess | undefined
  #tree: Tree | undefined
  #exitCode: number | undefined
  #ready = false
  #binding: Binding | undefined
  /** looked at for the last time */
  #verified = false
  #replaced = false
  #executed = false
  #told = false
  #reason: string | undefined

  constructor(options: SupervisedOptions) {
    this.#options = options
    this.#record = options.record
    this.#drains = { stdout: this.#drain('stdout'), stderr: this.#drain('stderr') }
    this.#drained = this.#drainBoth()
    this.started = this.#startedNow.promise
    // Whoever started it may be gone; the record says the same.
    this.started.catch(() => undefined)
    this.ended = this.#run()
  }

  get record(): ProcRecord {
    const { stdout, stderr } = this.#drains
    const output = { ...this.#record.output, stdout: stdout.writer.size, stderr: stderr.writer.size }
    return { ...this.#record, output }
  }

  members(): TreeMember[] {
    return (this.#tree?.members() ?? []).map(({ pid, ppid, started, comm }) => ({ pid, ppid, started, comm }))
  }

  /** Signals the whole tree, and kills it after `graceMs`; resolves when all of it is gone. */
  kill(signal: KillSignal, graceMs: number): Promise<ProcRecord> {
    this.#reason ??= 'killed'
    if (signal === 'KILL' || this.#tree === undefined) this.#killNow()
    else {
      this.#sent.add(signal)
      this.#tree.signal(signal)
      const timer = this.#options.clock.after(graceMs, () => this.#killNow())
      void this.ended.then(() => timer.cancel())
    }
    return this.ended
  }

  /** Signals the whole tree, whatever it makes of that; nothing is sent before there is a tree. */
  signal(signal: KillSignal): void {
    if (this.#tree === undefined) return
    this.#sent.add(signal)
    this.#tree.signal(signal)
  }

  #killNow(): void {
    this.#sent.add('KILL')
    // Before it has a tree there is only bubblewrap, which is our own child.
    if (this.#tree === undefined) this.#child?.kill('SIGKILL')
    else this.#tree.kill()
  }

  #drain(stream: Stream): { writer: OutputWriter; drain: Drain } {
    const { stateDir, record, limits, clock, pipes } = this.#options
    const writer = new OutputWriter(procDir(stateDir, record.proc), stream, limits)
    const onSize = (size: number): void => {
      if (this.#told) this.#options.onOutput(stream, size)
    }
    return { writer, drain: startDrain({ readFd: pipes[stream].readFd, writer, clock, onSize }) }
  }

  #drainBoth(): Promise<unknown> {
    const both = Object.values(this.#drains).map(({ drain }) => drain.done)
    return Promise.all(both).catch((cause: unknown) =>
      this.#options.onFault('output could not be read', cause),
    )
  }

  async #run(): Promise<ProcRecord> {
    let end: ProgramEnd | undefined
    try {
      end = await this.#supervise()
    } catch (cause) {
      this.#reason ??= describe(cause)
      this.#options.onFault('a process could not be supervised', cause)
      this.#killNow()
    }
    await this.#gone()
    await this.#lastOutput()
    this.#verifyLast()
    this.#binding?.release()
    this.#options.exe.close()
    return this.#finish(end)
  }

  async #supervise(): Promise<ProgramEnd> {
    const { gate } = this.#options.pipes
    try {
      const { child, status, ready } = this.#launch()
      this.#child = child
      const exit = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>
      const [[code, signal]] = await Promise.all([exit, this.#follow(status), this.#onReady(ready)])
      return { code, signal }
    } finally {
      closeSync(gate)
    }
  }

  async #onReady(ready: Promise<void>): Promise<void> {
    await ready
    this.#ready = true
    await this.#openGate()
  }

  #launch(): LaunchedPlan {
    const { plan, pipes } = this.#options
    try {
      return launchPlan(plan, {
        stdout: pipes.stdout.writeFd,
        stderr: pipes.stderr.writeFd,
        gate: pipes.gate,
      })
    } finally {
      // The program has its own now, or never will: a pipe ends when nobody can write to it any more.
      for (const { writeFd } of [pipes.stdout, pipes.stderr]) closeSync(writeFd)
    }
  }

  async #follow(status: Socket): Promise<void> {
    await readStatus(status, {
      onFirstProcess: (first) => this.#onFirstProcess(first),
      onExitCode: (code) => {
        this.#exitCode = code
      },
    })
  }

  async #onFirstProcess(first: FirstProcess): Promise<void> {
    const { stateDir } = this.#options
    const started = readStat(first.pid)?.started
    if (started === undefined) throw new ZtError('ZT-500-SPAWN', 'the sandbox ended before it began')
    this.#tree = new Tree(first, started)
    this.#record = { ...this.#record, state: 'running', pid: first.pid, started }
    writeRecord(stateDir, this.#record)
    // If we crash here, nothing is executed: the gate stays shut, and the next keeper ends what waits there.
    await this.#openGate()
  }

  /** Once the sandbox is complete and its first process is on record, which we may learn in any order. */
  async #openGate(): Promise<void> {
    const { clock, pipes, wallMs } = this.#options
    const tree = this.#tree
    if (tree === undefined || !this.#ready) return
    this.#binding = await this.#pin(tree)
    if (this.#binding === undefined || !this.#verify()) return
    writeSync(pipes.gate, '1')
    if (wallMs !== undefined) {
      const timer = afterLong(clock, wallMs, () => this.#onWallTime())
      void this.ended.then(() => timer.cancel())
    }
    void this.#watchExecution(tree, this.#binding)
  }

  /** bubblewrap says that it is ready some microseconds before it changes its root; undefined if it ended instead. */
  async #pin(tree: Tree): Promise<Binding | undefined> {
    const { exe, clock } = this.#options
    const files = exe.interpreter === undefined ? [exe.file] : [exe.file, exe.interpreter]
    for (let tries = 0; !tree.ended; tries += 1) {
      const binding = Binding.pin(tree.pid, files)
      if (binding !== undefined) return binding
      if (tries < QUICK_TRIES) standStill(QUICK_WAIT_MS)
      else await sleep(clock, EXEC_POLL_MS)
    }
    return undefined
  }

  /** False, and the end of everything in it, if the sandbox shows another file than the one that was hashed. */
  #verify(): boolean {
    if (this.#binding?.holds !== false) return true
    this.#replaced = true
    this.#reason = 'the program was replaced while it started'
    this.#startedNow.reject(new ZtError('ZT-412-FACT', this.#reason, { details: { fact: 'exe' } }))
    this.#killNow()
    return false
  }

  #onWallTime(): void {
    this.#reason ??= WALL_TIME
    void this.kill('TERM', WALL_GRACE_MS)
  }

  /** Tells when the program itself runs. A program that ends sooner is told by bubblewrap's exit code. */
  async #watchExecution(tree: Tree, binding: Binding): Promise<void> {
    while (!tree.ended) {
      if (binding.hasExecuted) {
        this.#onExecuted(tree)
        return
      }
      await sleep(this.#options.clock, EXEC_POLL_MS)
    }
  }

  #onExecuted(tree: Tree): void {
    this.#executed = true
    if (!this.#verify()) return
    // The kernel has opened a program by now. A script is opened once more, by its interpreter, a little later.
    if (this.#options.exe.interpreter === undefined) this.#verified = true
    else {
      const timer = this.#options.clock.after(SCRIPT_OPEN_MS, () => this.#verifyLast())
      void this.ended.then(() => timer.cancel())
    }
    this.#tellStarted({ pid: tree.pid, started: tree.started })
  }

  /** Later than that, a name that changes hands says nothing about what runs already. */
  #verifyLast(): void {
    if (this.#verified) return
    this.#verified = true
    this.#verify()
  }

  /** The pipes end just before the tree does, and say so: asking the kernel again and again is for when they do not. */
  async #gone(): Promise<void> {
    const gone = this.#tree?.gone(this.#options.clock)
    await Promise.race([gone, this.#drained])
    if (this.#tree?.ended === false) await gone
  }

  /** A program can write before anybody has seen it run, so what it wrote until now is told with it. */
  #tellStarted(started: Started): void {
    this.#startedNow.resolve(started)
    if (this.#told) return
    this.#told = true
    const { onStarted, onOutput } = this.#options
    onStarted(started)
    for (const stream of ['stdout', 'stderr'] as const) {
      const { size } = this.#drains[stream].writer
      if (size > 0) onOutput(stream, size)
    }
  }

  /** What was written before the end is in the pipes still; a descriptor that was passed out of the tree is not waited for. */
  async #lastOutput(): Promise<void> {
    const stopping = new AbortController()
    await Promise.race([this.#drained, sleep(this.#options.clock, LAST_OUTPUT_MS, stopping.signal)])
    stopping.abort()
    for (const { drain } of Object.values(this.#drains)) drain.stop()
    await this.#drained
  }

  #finish(end: ProgramEnd | undefined): ProcRecord {
    const { clock, stateDir, onFault } = this.#options
    const executed = this.#executed || this.#exitCode !== undefined
    const why = executed ? this.#reason : (this.#reason ?? this.#setupMessage())
    this.#record = {
      ...this.record,
      state: executed ? 'exited' : 'failed',
      ended: clock.now(),
      ...(executed ? { exit: this.#exit(end) } : {}),
      ...(why === undefined ? {} : { reason: why }),
      ...(this.#replaced ? { replaced: true } : {}),
    }
    try {
      writeRecord(stateDir, this.#record)
    } catch (cause) {
      // On disk it stays "running", which the next keeper takes for "lost": less than is known, never more.
      onFault('the end of a process could not be recorded', cause)
    }
    this.#settleStart(executed)
    return this.#record
  }

  #settleStart(executed: boolean): void {
    const { pid, started, reason = 'the sandbox could not be set up' } = this.#record
    const ran = executed && !this.#replaced
    if (ran && pid !== undefined && started !== undefined) this.#tellStarted({ pid, started })
    // bwrap(1): "execvp" is its last step; until then the program itself is not to blame.
    const code = reason.startsWith('bwrap: execvp') ? 'ZT-403-EXE' : 'ZT-500-SPAWN'
    this.#startedNow.reject(new ZtError(code, 'the program did not start', { details: { reason } }))
  }

  #exit(end: ProgramEnd | undefined): KeptExit {
    // Without its word, bubblewrap itself was ended, and the tree with it.
    const code = this.#exitCode ?? end?.code ?? 128 + constants.signals[end?.signal ?? 'SIGKILL']
    const signal = [...this.#sent].find((name) => code === 128 + constants.signals[`SIG${name}`])
    return {
      code,
      ...(signal === undefined ? {} : { signal }),
      ...(this.#reason === WALL_TIME ? { limit: 'wall_s' } : {}),
    }
  }

  /** As long as the program has not run, only bubblewrap has written to stderr. */
  #setupMessage(): string {
    try {
      const text = readFileSync(join(procDir(this.#options.stateDir, this.#record.proc), 'stderr.0'), 'utf8')
      return text.trim().slice(0, REASON_CHARACTERS)
    } catch (cause) {
      return describe(cause)
    }
  }
}

function describe(cause: unknown): string {
  return (cause instanceof Error ? cause.message : 'unknown').slice(0, REASON_CHARACTERS)
}
