// Carries what the keeper knows about processes into the log. Whatever is written about one process is written in order
// and by one writer at a time; each row goes with the change of the node's own record, so nothing is said twice.
import type { Clock } from '#shared/host/clock.ts'
import type { RowReceipt } from '#shared/host/durable-log.ts'
import type { Logger } from '#shared/host/logger.ts'
import { isZtError } from '#shared/errors/error.ts'
import type { JsonObject } from '#shared/encoding/json-value.ts'
import type { ProcId } from '#shared/identity/names.ts'
import type { ExitStatus } from '#shared/protocol/results.ts'
import type { NodeLog } from '../audit/node-log.ts'
import { exitOf, type ProcessRecord } from '../audit/process-table.ts'
import type { KeeperEvent } from '../keeper/protocol.ts'
import type { ProcRecord } from '../keeper/record.ts'
import type { ProcessKeeper } from './keeper-port.ts'
import { reconcile } from './reconcile.ts'

export interface ProcessesParts {
  readonly log: NodeLog
  readonly keeper: ProcessKeeper
  readonly clock: Clock
  readonly logger: Logger
  /** told when there may be more output, or when the end of a process is on record; undefined: of any */
  readonly news: (proc?: ProcId) => void
}

/** How a process began, as the keeper says. */
export interface Beginning {
  readonly pid: number
  readonly started: string
  readonly profile: { readonly name: string; readonly sha256: string }
  /** the row that allowed it, `log#seq`; not known any more after a crash */
  readonly parent?: string
}

export class Processes {
  readonly #parts: ProcessesParts
  /** being started by this agent: what becomes of them is for the command to say */
  readonly #claimed = new Set<ProcId>()
  readonly #waiting = new Map<ProcId, PromiseWithResolvers<ExitStatus>>()
  /** the last thing that is being written about a process */
  readonly #tails = new Map<ProcId, Promise<void>>()

  constructor(parts: ProcessesParts) {
    this.#parts = parts
  }

  /** Runs `action` when nothing else is being written about the process, and lets nothing else until it has settled. */
  serially<T>(proc: ProcId, action: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(proc) ?? Promise.resolve()
    const run = before.then(action)
    const tail = run.then(
      () => undefined,
      () => undefined,
    )
    this.#tails.set(proc, tail)
    void tail.then(() => {
      if (this.#tails.get(proc) === tail) this.#tails.delete(proc)
    })
    return run
  }

  /** From the transaction that accepts a process until its command has been answered. */
  claim(proc: ProcId): void {
    this.#claimed.add(proc)
  }

  unclaim(proc: ProcId): void {
    this.#claimed.delete(proc)
  }

  /** Writes `proc.started`; its command is then no longer open. Call it within serially(). */
  recordStart(record: ProcessRecord, beginning: Beginning): Promise<RowReceipt> {
    const { log, clock } = this.#parts
    const { pid, started, profile, parent } = beginning
    const obj = {
      proc: record.proc,
      pid,
      started: Number(started),
      sandbox: { name: profile.name, sha256: profile.sha256 },
      ...programOf(record),
    }
    const draft = { type: 'proc.started', out: 'info', cmd: record.jti, txn: record.txn, obj } as const
    return log.append(parent === undefined ? draft : { ...draft, par: parent }, () => {
      log.processes.started(record.proc, { started: Number(started), beganMs: clock.now() })
      log.commands.close(record.jti)
    })
  }

  /** What the keeper tells by itself. */
  handle(event: KeeperEvent): void {
    if (event.event === 'output') {
      this.#parts.news(event.proc)
      return
    }
    const { proc } = event.event === 'exited' ? event.record : event
    this.#settleLater(proc, event.event === 'exited' ? event.record : undefined)
  }

  /**
   * Asks the keeper about every process whose end is not on record, and records what it knows. At start, after the
   * keeper's connection was lost, and whenever a row could not be written. Rejects if the keeper cannot be asked.
   */
  async settleAll(): Promise<void> {
    const { log, keeper, news } = this.#parts
    const open = log.processes.open().filter(({ proc }) => !this.#claimed.has(proc))
    if (open.length === 0) return
    const kept = new Map((await keeper.list(true)).map((record) => [record.proc, record]))
    const settle = async (proc: ProcId): Promise<void> =>
      // A list has its limits: that a process is not in it says nothing yet.
      this.#settle(proc, kept.get(proc) ?? (await this.#ask(proc)))
    await Promise.all(open.map(({ proc }) => this.serially(proc, () => settle(proc))))
    news()
  }

  /** Looks again at one process, some time soon. */
  settleSoon(proc: ProcId): void {
    this.#settleLater(proc, undefined)
  }

  /** Resolves when its end is on record; empty if nobody saw how it ended. */
  ended(proc: ProcId): Promise<ExitStatus> {
    const record = this.#parts.log.processes.find(proc)
    if (record === undefined) return Promise.resolve({})
    if (record.state !== 'accepted' && record.state !== 'running')
      return Promise.resolve(exitOf(record) ?? {})
    const waiting = this.#waiting.get(proc) ?? Promise.withResolvers<ExitStatus>()
    this.#waiting.set(proc, waiting)
    return waiting.promise
  }

  #settleLater(proc: ProcId, kept: ProcRecord | undefined): void {
    const { logger } = this.#parts
    const settled = this.serially(proc, async () => this.#settle(proc, kept ?? (await this.#ask(proc))))
    settled.catch((error: unknown) =>
      logger.error('what became of a process could not be recorded', { proc, error }),
    )
  }

  async #ask(proc: ProcId): Promise<ProcRecord | undefined> {
    try {
      return (await this.#parts.keeper.inspect(proc)).record
    } catch (error) {
      if (isZtError(error, 'ZT-404-PROC')) return undefined
      throw error
    }
  }

  async #settle(proc: ProcId, kept: ProcRecord | undefined): Promise<void> {
    const record = this.#parts.log.processes.find(proc)
    if (record === undefined) return
    const finding = reconcile(record, kept)
    switch (finding.kind) {
      case 'nothing':
        return
      case 'started':
        await this.#recordFoundStart(record, kept)
        return
      case 'exited':
        if (finding.started) await this.#recordFoundStart(record, kept)
        await this.#recordExit(record, kept)
        return
      case 'failed':
        await this.#recordFailure(record, kept?.reason)
        return
      case 'unknown':
        await this.#recordUnknown(record, finding.why)
    }
  }

  /** It was started before a crash, and the log learns of it only now. */
  async #recordFoundStart(record: ProcessRecord, kept: ProcRecord | undefined): Promise<void> {
    if (kept?.pid === undefined || kept.started === undefined) return
    await this.recordStart(record, { pid: kept.pid, started: kept.started, profile: kept.profile })
  }

  async #recordExit(record: ProcessRecord, kept: ProcRecord | undefined): Promise<void> {
    const exit: ExitStatus = kept?.exit ?? {}
    const obj: JsonObject = {
      proc: record.proc,
      ...exit,
      ...(kept?.started !== undefined && { started: Number(kept.started) }),
      ...(kept?.reason !== undefined && { reason: kept.reason }),
      ...(kept !== undefined && { stdout: kept.output.stdout, stderr: kept.output.stderr }),
    }
    await this.#recordEnd(record, { state: 'exited', exit }, { type: 'proc.exited', out: 'info', obj })
  }

  async #recordFailure(record: ProcessRecord, reason: string | undefined): Promise<void> {
    const obj = { op: 'process.spawn', proc: record.proc, ...(reason !== undefined && { reason }) }
    await this.#recordEnd(
      record,
      { state: 'failed' },
      { type: 'cmd.failed', out: 'error', code: 'ZT-500-SPAWN', obj },
    )
  }

  async #recordUnknown(record: ProcessRecord, why: string): Promise<void> {
    const obj = { op: 'process.spawn', proc: record.proc, why }
    // It is not started again, whatever became of it: its token stays consumed, and its id stays taken.
    await this.#recordEnd(
      record,
      { state: 'lost' },
      { type: 'cmd.outcome_unknown', out: 'error', code: 'ZT-504-OUTCOME-UNKNOWN', obj },
    )
  }

  async #recordEnd(
    record: ProcessRecord,
    end: { readonly state: 'exited' | 'failed' | 'lost'; readonly exit?: ExitStatus },
    row: Pick<Parameters<NodeLog['append']>[0], 'type' | 'out' | 'code' | 'obj'>,
  ): Promise<void> {
    const { log, clock, news } = this.#parts
    await log.append({ ...row, cmd: record.jti, txn: record.txn }, () => {
      log.processes.ended(record.proc, { ...end, atMs: clock.now() })
      log.commands.close(record.jti)
    })
    this.#waiting.get(record.proc)?.resolve(end.exit ?? {})
    this.#waiting.delete(record.proc)
    news(record.proc)
  }
}

function programOf({ exe, exeSha256 }: ProcessRecord): JsonObject {
  return { exe, exe_sha256: exeSha256 }
}
