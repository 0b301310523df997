// A real keeper around real sandboxes, in folders of its own, for tests that need both.
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, chown, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getegid, geteuid } from 'node:process'
import { connectKeeper, type KeeperClient } from '#node-agent/keeper/client.ts'
import { openOutput } from '#node-agent/keeper/output-log.ts'
import type { KeeperEvent, Started, StartSpec, Stream } from '#node-agent/keeper/protocol.ts'
import { isFinished, type ProcRecord } from '#node-agent/keeper/record.ts'
import { DEFAULT_CAPABILITIES } from '#shared/protocol/sandbox-capability.ts'
import type { RunAs } from '#node-agent/sandbox/sandbox.ts'
import { encodeBase32 } from '#shared/encoding/base32.ts'
import { systemClock } from '#shared/host/clock.ts'
import { parseProcId, type ProcId } from '#shared/identity/names.ts'
import { ROOT } from './sources.ts'

/** The reason to skip, or false. */
export const needsSandbox: string | false = existsSync('/usr/bin/bwrap') ? false : 'needs bubblewrap'

export const KEEPER_COMMAND: readonly [string, ...string[]] = [
  process.execPath,
  join(ROOT, 'node-agent/keeper/main.ts'),
]

/** Root runs workloads as nobody, and anybody else as himself. */
export const RUN_AS: RunAs =
  geteuid?.() === 0 ? { uid: 65534, gid: 65534 } : { uid: geteuid?.() ?? 0, gid: getegid?.() ?? 0 }

export interface Ran {
  readonly record: ProcRecord
  readonly code: number | undefined
  readonly stdout: string
  readonly stderr: string
}

export interface Spawned extends Started {
  readonly proc: ProcId
}

export interface RunOptions extends Partial<Omit<StartSpec, 'argv'>> {
  readonly proc?: ProcId
  readonly workspace?: string
}

export function randomProc(): ProcId {
  return parseProcId(`p-${encodeBase32(randomBytes(13)).slice(0, 20)}`)
}

/** A folder that the user of workloads may enter. */
export async function openDir(parent: string = tmpdir()): Promise<string> {
  const dir = await mkdtemp(join(parent, 'ztmesh-'))
  await chmod(dir, 0o711)
  return dir
}

/** Where a folder would show in a sandbox unless it is masked: /tmp does not. */
export const VISIBLE_PARENT: string = geteuid?.() === 0 ? '/var/lib' : ROOT

export interface FixtureOptions {
  /** the keeper's own arguments */
  readonly args?: readonly string[]
  /** where the folder is made */
  readonly parent?: string
  /** who the keeper runs as, if we are root; workloads run as the same */
  readonly as?: RunAs
}

export class KeeperFixture {
  readonly dir: string
  readonly stateDir: string
  readonly workspaceRoot: string
  readonly events: KeeperEvent[] = []
  #keeper: KeeperClient

  readonly #options: FixtureOptions

  private constructor(dir: string, keeper: KeeperClient, options: FixtureOptions) {
    this.dir = dir
    this.stateDir = join(dir, 'state')
    this.workspaceRoot = join(dir, 'workspaces')
    this.#options = options
    this.#keeper = keeper
    this.#listen()
  }

  /** To be ended by `end`. */
  static async create(options: FixtureOptions = {}): Promise<KeeperFixture> {
    const dir = await openDir(options.parent)
    for (const name of ['state', 'state/keeper', 'workspaces']) {
      await mkdir(join(dir, name), { mode: name === 'workspaces' ? 0o711 : 0o700 })
      if (options.as !== undefined) await chown(join(dir, name), options.as.uid, options.as.gid)
    }
    return new KeeperFixture(dir, await connect(join(dir, 'state'), options), options)
  }

  /** Of a keeper that was started by other means, in a folder of the same layout. */
  static async adopt(dir: string): Promise<KeeperFixture> {
    return new KeeperFixture(dir, await connect(join(dir, 'state'), {}), {})
  }

  get keeper(): KeeperClient {
    return this.#keeper
  }

  /** As an agent that was restarted does: a new connection, to the same keeper or to a new one. */
  async reconnect(): Promise<void> {
    this.#keeper.close()
    this.#keeper = await connect(this.stateDir, this.#options)
    this.#listen()
  }

  /** Prepares and starts; `argv[0]` is looked up unless `path` is given. */
  async spawn(
    argv: readonly string[],
    options: RunOptions & { readonly path?: string } = {},
  ): Promise<Spawned> {
    const { proc = randomProc(), workspace = 'w', path = argv[0] ?? '', ...rest } = options
    const { handle } = await this.#keeper.prepare({
      path,
      searchPath: ['/usr/local/bin', '/usr/bin', '/bin'],
      runAs: RUN_AS,
      workspace: { root: this.workspaceRoot, name: workspace },
    })
    const spec: StartSpec = { argv, env: {}, caps: DEFAULT_CAPABILITIES, masks: [], ...rest }
    return { proc, ...(await this.#keeper.start({ handle, proc, spec })) }
  }

  async run(argv: readonly string[], options: RunOptions & { readonly path?: string } = {}): Promise<Ran> {
    const { proc } = await this.spawn(argv, options)
    const record = await this.ended(proc)
    const [stdout, stderr] = [await this.output(proc, 'stdout'), await this.output(proc, 'stderr')]
    return { record, code: record.exit?.code, stdout, stderr }
  }

  /** Runs a shell script. */
  sh(script: string, options: RunOptions = {}): Promise<Ran> {
    return this.run(['sh', '-c', script], options)
  }

  perl(script: string, options: RunOptions = {}): Promise<Ran> {
    return this.run(['perl', '-e', script], options)
  }

  async ended(proc: ProcId): Promise<ProcRecord> {
    return waitFor(async () => {
      const { record } = await this.#keeper.inspect(proc)
      return isFinished(record) ? record : undefined
    }, `${proc} to end`)
  }

  /** All of a stream that is there now. */
  async output(proc: ProcId, stream: Stream): Promise<string> {
    const reader = openOutput(this.stateDir, proc)
    const parts: Buffer[] = []
    try {
      let offset = 0
      for (;;) {
        const chunk = await reader.read(stream, offset, 65_536)
        if (chunk.data.length === 0) return Buffer.concat(parts).toString()
        parts.push(chunk.data)
        offset = chunk.offset + chunk.data.length
      }
    } finally {
      await reader.close()
    }
  }

  /** Until a process has printed that. */
  async printed(proc: ProcId, text: string): Promise<string> {
    return waitFor(async () => {
      const output = await this.output(proc, 'stdout')
      return output.includes(text) ? output : undefined
    }, `${proc} to print ${text}`)
  }

  async end(): Promise<void> {
    const keeper = await connect(this.stateDir, this.#options)
    await keeper.shutdown()
    this.#keeper.close()
    await rm(this.dir, { recursive: true, force: true })
  }

  #listen(): void {
    this.#keeper.onEvent((event) => this.events.push(event))
  }
}

function connect(stateDir: string, { args = [], as }: FixtureOptions): Promise<KeeperClient> {
  const plain: readonly [string, ...string[]] = [...KEEPER_COMMAND, ...args]
  const command: readonly [string, ...string[]] =
    as === undefined
      ? plain
      : ['setpriv', `--reuid=${as.uid}`, `--regid=${as.gid}`, '--clear-groups', '--', ...plain]
  return connectKeeper({ stateDir, command, clock: systemClock, timeoutMs: 30_000 })
}

/** What `check` finds, once it finds something; fails after ten seconds. */
export async function waitFor<T>(
  check: () => Promise<T | undefined> | T | undefined,
  what: string,
): Promise<T> {
  const until = performance.now() + 10_000
  while (performance.now() < until) {
    const found = await check()
    if (found !== undefined) return found
    await new Promise((resolve) => {
      setTimeout(resolve, 5)
    })
  }
  throw new Error(`waited in vain for ${what}`)
}
