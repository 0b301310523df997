// A keeper that starts nothing: it remembers what it was asked, and fails where a test wants it to.
import { ZtError } from '#shared/errors/error.ts'
import type { ProcId } from '#shared/identity/names.ts'
import type {
  Inspection,
  KillRequest,
  Prepared,
  PrepareRequest,
  Started,
  StartRequest,
} from '#node-agent/keeper/protocol.ts'
import type { ProcRecord } from '#node-agent/keeper/record.ts'
import type { ProcessKeeper } from '#node-agent/processes/keeper-port.ts'

export const EXE_SHA256: string = 'A'.repeat(43)
export const PROFILE: ProcRecord['profile'] = { name: 'default@1', sha256: 'B'.repeat(43) }

export class FakeKeeper implements ProcessKeeper {
  readonly prepared: PrepareRequest[] = []
  readonly started: StartRequest[] = []
  readonly killed: KillRequest[] = []
  readonly released: string[] = []
  readonly records: Map<ProcId, ProcRecord> = new Map()
  /** thrown by the next call of that name, once */
  readonly failures: Map<keyof ProcessKeeper, Error> = new Map()
  /** awaited by prepare(), as a large program is hashed */
  whileHashing: () => Promise<void> = () => Promise.resolve()
  /** awaited by start(), before it starts */
  beforeStart: () => Promise<void> = () => Promise.resolve()
  #ticks = 1000

  async prepare(request: PrepareRequest): Promise<Prepared> {
    this.#fail('prepare')
    await this.whileHashing()
    this.prepared.push(request)
    return { handle: `handle-${this.prepared.length}`, realpath: request.path, sha256: EXE_SHA256 }
  }

  async start(request: StartRequest): Promise<Started> {
    await this.beforeStart()
    this.#fail('start')
    this.started.push(request)
    this.#ticks += 1
    const started = { pid: 100 + this.started.length, started: String(this.#ticks) }
    this.records.set(request.proc, procRecord(request.proc, { state: 'running', ...started }))
    return started
  }

  async release(handle: string): Promise<void> {
    this.released.push(handle)
  }

  async list(): Promise<readonly ProcRecord[]> {
    this.#fail('list')
    return [...this.records.values()]
  }

  async inspect(proc: ProcId): Promise<Inspection> {
    this.#fail('inspect')
    const record = this.records.get(proc)
    if (record === undefined) throw new ZtError('ZT-404-PROC', 'no such process')
    return { record, members: [] }
  }

  async kill(request: KillRequest): Promise<ProcRecord> {
    this.#fail('kill')
    this.killed.push(request)
    return this.end(request.proc, { code: 143, signal: 'TERM' })
  }

  /** Lets a process end, as far as this keeper's record goes. */
  end(proc: ProcId, exit: NonNullable<ProcRecord['exit']>): ProcRecord {
    const ended = { ...(this.records.get(proc) ?? procRecord(proc)), state: 'exited', exit } as const
    this.records.set(proc, ended)
    return ended
  }

  #fail(call: keyof ProcessKeeper): void {
    const failure = this.failures.get(call)
    this.failures.delete(call)
    if (failure !== undefined) throw failure
  }
}

/** What a keeper would have on record. */
export function procRecord(proc: ProcId, changes: Partial<ProcRecord> = {}): ProcRecord {
  return {
    v: 1,
    proc,
    state: 'running',
    boot: 'b0071d00-0000-4000-8000-000000000000',
    began: 0,
    exe: { realpath: '/bin/true', sha256: EXE_SHA256 },
    profile: PROFILE,
    pid: 100,
    started: '1000',
    output: { segmentBytes: 65_536, stdout: 0, stderr: 0 },
    ...changes,
  }
}
