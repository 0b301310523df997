// The agent's side of the keeper: connects to the one that runs, or starts one. The keeper outlives this process, so
// everything that was started is found again by `list`. Trusts the state folder, which admits this user only.
import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { createConnection, type Socket } from 'node:net'
import { join } from 'node:path'
import { ZtError, fromWireError, isZtError } from '#shared/errors/error.ts'
import { sleep, type Clock } from '#shared/host/clock.ts'
import type { ProcId } from '#shared/identity/names.ts'
import { JsonLines } from './lines.ts'
import {
  KEEPER_PROTOCOL,
  MAX_RESPONSE_BYTES,
  parseKeeperResult,
  parseMessage,
  type Inspection,
  type KeeperEvent,
  type KeeperMessage,
  type KeeperRequest,
  type KeeperResults,
  type KillRequest,
  type Prepared,
  type PrepareRequest,
  type Started,
  type StartRequest,
} from './protocol.ts'
import { keeperDir, keeperSocket, type ProcRecord } from './record.ts'

export interface ConnectOptions {
  readonly stateDir: string
  /** program and first arguments that start a keeper; `--state-dir` is added */
  readonly command: readonly [string, ...string[]]
  readonly clock: Clock
  /** milliseconds; 10,000 unless given */
  readonly timeoutMs?: number
}

/** A method rejects with the keeper's error, or ZT-503-SANDBOX when the connection is gone. */
export interface KeeperClient {
  readonly pid: number
  /** of the machine's present start, as records name it */
  readonly boot: string
  /** resolves when the connection is gone; connect again to learn what is lost */
  readonly closed: Promise<void>
  /** Opens and hashes a program and holds it. ZT-404-EXE, ZT-403-EXE. */
  prepare(request: PrepareRequest): Promise<Prepared>
  /** Resolves when the program was executed. ZT-409-IDENTIFIER, ZT-412-FACT, ZT-503-SANDBOX, ZT-500-SPAWN, ZT-403-EXE. */
  start(request: StartRequest): Promise<Started>
  release(handle: string): Promise<void>
  /** The latest 1,000 processes, or those that run. */
  list(all: boolean): Promise<readonly ProcRecord[]>
  /** ZT-404-PROC: no such process was ever started, within the retention. */
  inspect(proc: ProcId): Promise<Inspection>
  /** Resolves when the whole tree is gone. ZT-404-PROC, ZT-504-TIMEOUT. */
  kill(request: KillRequest): Promise<ProcRecord>
  /** Ends every process, and then the keeper. */
  shutdown(): Promise<void>
  /** Returns what ends it. Events come in their order: started, output, exited. */
  onEvent(listener: (event: KeeperEvent) => void): () => void
  /** Leaves the keeper and its processes running. */
  close(): void
}

const RETRY_MS = 5
const RESTART_MS = 100
const DEFAULT_TIMEOUT_MS = 10_000

/** Errors: ZT-503-SANDBOX if no keeper answers in time, or one of another version does. */
export async function connectKeeper(options: ConnectOptions): Promise<KeeperClient> {
  const { clock, timeoutMs = DEFAULT_TIMEOUT_MS } = options
  const until = clock.now() + timeoutMs
  let keeper: ChildProcess | undefined
  // The timers of a clock keep no process alive, and a keeper that fails to start leaves nothing else to wait for.
  const hold = setInterval(() => undefined, timeoutMs)
  try {
    while (clock.now() < until) {
      const client = await attempt(options)
      if (client !== undefined) return client
      // One that has ended found the lock taken, by a keeper that is about to listen or about to be gone.
      if (keeper !== undefined && hasExited(keeper)) await sleep(clock, RESTART_MS)
      if (keeper === undefined || hasExited(keeper)) keeper = startKeeper(options)
      await sleep(clock, RETRY_MS)
    }
  } finally {
    clearInterval(hold)
    keeper?.unref()
  }
  throw new ZtError('ZT-503-SANDBOX', 'the keeper does not start: see keeper/keeper.log in the state folder')
}

function hasExited(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

/** undefined: nobody is there, or he went before he said who he is. */
async function attempt(options: ConnectOptions): Promise<KeeperClient | undefined> {
  const socket = await tryConnect(keeperSocket(options.stateDir))
  return socket === undefined ? undefined : greet(socket, options)
}

/** undefined: nobody listens there. */
function tryConnect(path: string): Promise<Socket | undefined> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path)
    socket.once('connect', () => resolve(socket))
    socket.once('error', (cause: NodeJS.ErrnoException) => {
      if (cause.code === 'ENOENT' || cause.code === 'ECONNREFUSED') resolve(undefined)
      else reject(new ZtError('ZT-503-SANDBOX', 'the socket of the keeper cannot be opened', { cause }))
    })
  })
}

/** In its own session and without our descriptors, so that nothing that ends us ends it. */
function startKeeper({ stateDir, command: [program, ...args] }: ConnectOptions): ChildProcess {
  const dir = keeperDir(stateDir)
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const log = openSync(join(dir, 'keeper.log'), 'a', 0o600)
  try {
    const keeper = spawn(program, [...args, '--state-dir', stateDir], {
      cwd: '/',
      detached: true,
      env: { NODE_NO_WARNINGS: '1', PATH: '/usr/local/bin:/usr/bin:/bin' },
      stdio: ['ignore', log, log],
    })
    // One that cannot be started is one that never answers.
    keeper.on('error', () => undefined)
    return keeper
  } finally {
    closeSync(log)
  }
}

function greet(
  socket: Socket,
  { clock, timeoutMs = DEFAULT_TIMEOUT_MS }: ConnectOptions,
): Promise<KeeperClient | undefined> {
  return new Promise((resolve, reject) => {
    const refuse = (message: string): void => {
      reject(new ZtError('ZT-503-SANDBOX', message))
      socket.destroy()
    }
    const timer = clock.after(timeoutMs, () => refuse('the keeper does not answer'))
    const client: Client = new Client(socket, (hello) => {
      timer.cancel()
      if (hello === undefined) resolve(undefined)
      else if (hello.v === KEEPER_PROTOCOL) resolve(client)
      else refuse('the keeper is of another version: it goes when its processes have ended')
    })
  })
}

type Hello = Extract<KeeperMessage, { type: 'hello' }>

interface Waiting {
  readonly op: keyof KeeperResults
  readonly resolve: (value: unknown) => void
  readonly reject: (cause: ZtError) => void
}

class Client implements KeeperClient {
  readonly closed: Promise<void>
  readonly #socket: Socket
  readonly #lines = new JsonLines(MAX_RESPONSE_BYTES)
  readonly #waiting = new Map<number, Waiting>()
  readonly #listeners = new Set<(event: KeeperEvent) => void>()
  readonly #onHello: (hello: Hello | undefined) => void
  #hello: Hello | undefined
  #lastId = 0

  constructor(socket: Socket, onHello: (hello: Hello | undefined) => void) {
    this.#socket = socket
    this.#onHello = onHello
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#fail()
        resolve()
      })
    })
    socket.on('error', () => socket.destroy())
    socket.on('data', (chunk) => this.#receive(chunk))
  }

  get pid(): number {
    return this.#hello?.pid ?? 0
  }

  get boot(): string {
    return this.#hello?.boot ?? ''
  }

  prepare(request: PrepareRequest): Promise<Prepared> {
    const { path, searchPath, runAs, workspace } = request
    return this.#call({ op: 'prepare', path, searchPath, runAs, workspace })
  }

  start({ handle, proc, spec }: StartRequest): Promise<Started> {
    return this.#call({ op: 'start', handle, proc, spec })
  }

  async release(handle: string): Promise<void> {
    await this.#call({ op: 'release', handle })
  }

  list(all: boolean): Promise<readonly ProcRecord[]> {
    return this.#call({ op: 'list', all })
  }

  inspect(proc: ProcId): Promise<Inspection> {
    return this.#call({ op: 'inspect', proc })
  }

  kill({ proc, started, signal, graceMs }: KillRequest): Promise<ProcRecord> {
    return this.#call({ op: 'kill', proc, started, signal, ...(graceMs === undefined ? {} : { graceMs }) })
  }

  async shutdown(): Promise<void> {
    await this.#call({ op: 'shutdown' })
    await this.closed
  }

  onEvent(listener: (event: KeeperEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  close(): void {
    this.#socket.end()
  }

  #call<R extends KeeperRequest>(request: R): Promise<KeeperResults[R['op']]> {
    this.#lastId += 1
    const id = this.#lastId
    return new Promise((resolve, reject) => {
      if (!this.#socket.writable) {
        reject(gone())
        return
      }
      const settle = (value: unknown): void => resolve(value as KeeperResults[R['op']])
      this.#waiting.set(id, { op: request.op, resolve: settle, reject })
      this.#socket.write(`${JSON.stringify({ id, request })}\n`)
    })
  }

  #receive(chunk: Buffer): void {
    try {
      for (const value of this.#lines.push(chunk)) this.#take(parseMessage(value))
    } catch (cause) {
      // What a keeper says must be understood to the last byte, or not be relied on.
      if (!isZtError(cause)) throw cause
      this.#socket.destroy()
    }
  }

  #take(message: KeeperMessage): void {
    switch (message.type) {
      case 'hello':
        this.#hello = message
        this.#onHello(message)
        return
      case 'event':
        for (const listener of this.#listeners) listener(message.event)
        return
      case 'result': {
        const waiting = this.#waiting.get(message.id)
        if (waiting === undefined) return
        const value = parseKeeperResult(waiting.op, message.value)
        this.#waiting.delete(message.id)
        waiting.resolve(value)
        return
      }
      case 'fault':
        this.#waiting.get(message.id)?.reject(fromWireError(message.error))
        this.#waiting.delete(message.id)
    }
  }

  #fail(): void {
    if (this.#hello === undefined) this.#onHello(undefined)
    for (const { reject } of this.#waiting.values()) reject(gone())
    this.#waiting.clear()
  }
}

function gone(): ZtError {
  return new ZtError('ZT-503-SANDBOX', 'the connection to the keeper is gone')
}
