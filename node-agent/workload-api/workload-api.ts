// The sockets of all tasks with an identity on this node: one from before each process starts until it is gone. A task
// goes on under the keeper while no agent runs; the next agent listens at the same place, and fetches new SVIDs. The
// folder of a task stays until the hub has heard that the task has ended.
import { ZtError, isZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { Logger } from '#shared/host/logger.ts'
import type { ProcId } from '#shared/identity/names.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import type { HubOp, HubParams, HubResults } from '#shared/protocol/hub-ops.ts'
import type { SvidValidator } from '#shared/x509/svid.ts'
import type { ProcessRecord } from '../audit/process-table.ts'
import { RateBucket } from '../rate.ts'
import type { RunAs } from '../sandbox/sandbox.ts'
import { BundleWatch } from './bundles.ts'
import { makePlace, placedTasks, removePlace, socketOf } from './place.ts'
import { workloadDefinition, WorkloadService } from './service.ts'
import { TaskIdentity, type Deniable, type NewTask, type TaskHub } from './task.ts'
import { TaskSocket } from './task-socket.ts'

/** What a node asks its hub for its tasks. */
export type TaskOp = Extract<HubOp, 'bundles' | 'task.svid' | 'task.jwt' | 'task.ended'>

export interface WorkloadApiParts {
  /** of the node itself */
  readonly node: SpiffeId
  readonly workspaceRoot: string
  readonly runAs: RunAs
  readonly trust: SvidValidator
  readonly clock: Clock
  readonly logger: Logger
  /** Rejects with ZT-503-NATS while the node is not connected. */
  readonly ask: <Op extends TaskOp>(op: Op, params: HubParams[Op]) => Promise<HubResults[Op]>
  readonly find: (proc: ProcId) => Pick<ProcessRecord, 'owner' | 'ownerX5t' | 'agent' | 'state'> | undefined
  /** whether the deny list of this moment names it */
  readonly isDenied: (who: Deniable) => boolean
}

/** How long a task that has ended may take to read that it has. */
const FAREWELL_MS = 1000
// Of all tasks together, far below what the hub takes from a node: anchors and the deny list go the same way.
const NODE_RATE = { burst: 250, perSecond: 10 }

interface Served {
  readonly task: TaskIdentity
  readonly socket: TaskSocket
}

export class WorkloadApi {
  readonly #parts: WorkloadApiParts
  readonly #bundles: BundleWatch
  readonly #rate: RateBucket
  readonly #served = new Map<ProcId, Served>()
  readonly #opening = new Set<ProcId>()
  readonly #ending = new Set<ProcId>()

  constructor(parts: WorkloadApiParts) {
    this.#parts = parts
    const { trust, clock, logger, ask } = parts
    this.#rate = new RateBucket(clock, NODE_RATE)
    this.#bundles = new BundleWatch({ trust, clock, logger, ask: (request) => ask('bundles', request) })
  }

  /** Makes the socket of a task that is about to start. ZT-412-FACT; ZT-500-SPAWN for what the system refuses. */
  async begin(task: NewTask): Promise<void> {
    const { workspaceRoot } = this.#parts
    const { proc } = task
    this.#opening.add(proc)
    try {
      makePlace(workspaceRoot, proc)
      await this.#serve(task)
    } catch (cause) {
      removePlace(workspaceRoot, proc)
      if (isZtError(cause)) throw cause
      throw new ZtError('ZT-500-SPAWN', 'the socket of the task could not be made', { cause })
    } finally {
      this.#opening.delete(proc)
    }
  }

  /** The process is gone, or was never started: its socket, if it has one, ends at once, and the hub is told. */
  async ended(proc: ProcId): Promise<void> {
    const served = this.#served.get(proc)
    if (served === undefined) return
    this.#served.delete(proc)
    served.task.end()
    await served.socket.close(FAREWELL_MS)
    await this.#tellEnd(proc)
  }

  /** Serves again what an agent before this one served, and tells of what has ended since. Also now and then. */
  async resume(): Promise<void> {
    const { workspaceRoot, find, logger } = this.#parts
    for (const proc of placedTasks(workspaceRoot)) {
      if (this.#opening.has(proc)) continue
      const record = find(proc)
      const lives = record?.state === 'accepted' || record?.state === 'running'
      try {
        if (this.#served.has(proc)) await (lives ? undefined : this.ended(proc))
        else if (lives) await this.#serve(taskOf(proc, record))
        else await this.#tellEnd(proc)
      } catch (error) {
        logger.error('the socket of a task could not be made again', { proc, error })
      }
    }
  }

  /** A newer deny list is in force: whoever is on it is served nothing from now on. */
  denialsChanged(): void {
    for (const { task } of this.#served.values()) task.denialsChanged()
  }

  /** The node trusts other roots than before. */
  bundleChanged(): void {
    this.#bundles.lookSoon()
    for (const { task } of this.#served.values()) task.bundleChanged()
  }

  /** Ends every connection; tasks go on, and their sockets are made again by the next agent. */
  async close(): Promise<void> {
    await Promise.all([...this.#served.values()].map(({ socket }) => socket.close(0)))
    this.#served.clear()
  }

  async #serve(begun: NewTask): Promise<void> {
    const { workspaceRoot, runAs, trust, clock, logger, node, isDenied } = this.#parts
    const { proc } = begun
    const hub: TaskHub = {
      svid: (params) => this.#ask('task.svid', params),
      jwt: (params) => this.#ask('task.jwt', params),
    }
    const task = new TaskIdentity({ ...begun, node, trust, clock, logger, hub, isDenied })
    const path = socketOf(workspaceRoot, proc)
    const bundles = this.#bundles
    const socket = await TaskSocket.listen({
      path,
      runAs,
      logger,
      clock,
      serve: (grpc, server, flooded) => {
        const service = new WorkloadService({ grpc, task, bundles, clock, logger, flooded })
        server.addService(workloadDefinition(), service.handlers())
      },
    })
    this.#served.set(proc, { task, socket })
  }

  async #ask<Op extends 'task.svid' | 'task.jwt'>(op: Op, params: HubParams[Op]): Promise<HubResults[Op]> {
    if (!this.#rate.take()) throw new ZtError('ZT-429-RATE', 'the tasks of the node ask for too much')
    return this.#parts.ask(op, params)
  }

  async #tellEnd(proc: ProcId): Promise<void> {
    const { ask, logger, workspaceRoot } = this.#parts
    if (this.#ending.has(proc)) return
    this.#ending.add(proc)
    try {
      await ask('task.ended', { proc })
      removePlace(workspaceRoot, proc)
    } catch (error) {
      // The hub knows no such task: there is nothing to end there.
      if (isZtError(error, 'ZT-403-TASK')) removePlace(workspaceRoot, proc)
      else logger.warn('the hub could not be told that a task has ended', { proc, error })
    } finally {
      this.#ending.delete(proc)
    }
  }
}

function taskOf(proc: ProcId, record: Pick<ProcessRecord, 'owner' | 'ownerX5t' | 'agent'>): NewTask {
  const { owner: id, ownerX5t, agent } = record
  return {
    proc,
    agent: agent ?? undefined,
    owner: { id, ...(ownerX5t !== null && { thumbprint: ownerX5t }) },
  }
}
