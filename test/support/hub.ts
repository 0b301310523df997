// A whole hub for tests: a ceremony makes its root, ladder and bundle, and the real program runs in a child process with
// a real nats-server, on ports and in a folder of its own. From source, or from `dist` where ZT_TEST_FROM says so.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { openSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { systemClock, type Clock } from '#shared/host/clock.ts'
import type { TrustBundle } from '#shared/x509/bundle.ts'
import { rootFingerprint } from '#shared/x509/bundle.ts'
import { freePort } from '#ops/demo/free-port.ts'
import { CeremonyTable, TRUST_DOMAIN } from './ceremony.ts'
import { NATS_BINARY } from './nats.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const START_TIMEOUT_MS = 60_000

export interface TestHubOptions {
  /** made, and removed by stop(), unless given */
  readonly dir?: string
  /** this account as "alice" with the role operator, unless given */
  readonly operators?: readonly {
    readonly name: string
    readonly uid: number
    readonly roles: readonly string[]
  }[]
  /** text of a Cedar policy file; the default policy unless given */
  readonly policy?: string
  /** further fields of the configuration, such as svidTtlS */
  readonly config?: Readonly<Record<string, unknown>>
  /** that part of the ceremony's local file: a PKCS#11 token; a sealed file unless given */
  readonly keystore?: object
  /** rungs of the ladder, 7 unless given */
  readonly rungs?: number
  /** refresh hint of the first bundle, seconds; 300 unless given */
  readonly refreshHint?: number
  /** of the ceremonies' machine; the system's unless given */
  readonly ceremonyClock?: Clock
  /** further ceremonies, between that of the root and that of the ladder */
  readonly beforeLadder?: (table: CeremonyTable) => Promise<void>
  readonly from?: 'source' | 'dist'
  /** mesh.example unless given */
  readonly trustDomain?: string
}

export interface TestHub {
  readonly dir: string
  readonly configFile: string
  readonly bundleFile: string
  /** hex fingerprint of the root */
  readonly root: string
  readonly bundle: TrustBundle
  readonly trustDomain: string
  /** SPIFFE ID */
  readonly id: string
  readonly url: string
  readonly natsUrl: string
  /** SPIFFE ID of the nats-server */
  readonly natsId: string
  readonly stateDir: string
  /** stderr of every run of the hub */
  readonly logFile: string
  /** where other ceremonies of this root can run */
  readonly table: CeremonyTable
  /** of the running hub */
  readonly pid: number
  /** Ends the hub (SIGTERM) and removes `dir` if it was made here. */
  stop(): Promise<void>
  /** Ends the hub with `signal` (SIGKILL unless given) and starts it again on the same state and ports. */
  restart(signal?: NodeJS.Signals): Promise<void>
  /** Ends the hub with `signal` and leaves it down. */
  kill(signal?: NodeJS.Signals): Promise<void>
  /** Starts a hub that was killed. */
  start(): Promise<void>
}

/** What starts a program of ours: its file in the source tree, or its bundle. */
export function programArgs(name: 'hub' | 'node-agent' | 'ztctl', from: 'source' | 'dist'): string[] {
  const sources = { hub: 'hub/main.ts', 'node-agent': 'node-agent/main.ts', ztctl: 'ops/ztctl/main.ts' }
  return [join(ROOT, from === 'dist' ? `dist/${name}.js` : sources[name])]
}

function testedFrom(): 'source' | 'dist' {
  return process.env['ZT_TEST_FROM'] === 'dist' ? 'dist' : 'source'
}

class HubProcess {
  readonly #args: readonly string[]
  readonly #logFile: string
  #child: ChildProcess | undefined

  constructor(args: readonly string[], logFile: string) {
    this.#args = args
    this.#logFile = logFile
  }

  get pid(): number {
    return this.#child?.pid ?? -1
  }

  async start(): Promise<void> {
    const child = spawn(process.execPath, [...this.#args], {
      stdio: ['ignore', 'pipe', openSync(this.#logFile, 'a')],
    })
    this.#child = child
    await ready(child, this.#logFile)
  }

  async kill(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill(signal)
    await ended
  }
}

async function ready(child: ChildProcess, logFile: string): Promise<void> {
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })
  const line = await Promise.race([
    once(lines, 'line').then(([text]) => String(text)),
    once(child, 'exit').then(() => undefined),
    delay(START_TIMEOUT_MS, undefined, { ref: false }),
  ])
  if (line !== undefined && line.includes('"ready":true')) return
  child.kill('SIGKILL')
  throw new Error(`the hub did not start:\n${(await readFile(logFile, 'utf8')).slice(-4000)}`)
}

/** Runs one verb of the hub's program to its end; rejects with what it said if it failed. */
export async function runHub(
  args: readonly string[],
  from: 'source' | 'dist' = testedFrom(),
): Promise<string> {
  const child = spawn(process.execPath, [...programArgs('hub', from), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const said: Record<'stdout' | 'stderr', string> = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr'] as const)
    child[stream].on('data', (chunk: Buffer) => {
      said[stream] += chunk.toString()
    })
  const [code] = (await once(child, 'close')) as [number]
  if (code !== 0) throw new Error(`hub ${args[0] ?? ''} ended with ${code}: ${said.stderr}`)
  return said.stdout
}

interface Laid {
  readonly table: CeremonyTable
  readonly configFile: string
  readonly root: string
  readonly bundle: TrustBundle
  readonly url: string
  readonly natsUrl: string
}

async function lay(dir: string, options: TestHubOptions): Promise<Laid> {
  const ceremonyDir = join(dir, 'ceremony')
  await mkdir(ceremonyDir, { mode: 0o700 })
  const { keystore, trustDomain = TRUST_DOMAIN } = options
  const table = await CeremonyTable.lay(ceremonyDir, {
    ...(keystore !== undefined && { keystore }),
    clock: options.ceremonyClock ?? systemClock,
    trustDomain,
  })
  await table.run(table.rootFile({ bundle: { sequence: 1, refreshHint: options.refreshHint ?? 300 } }))
  const bundle = await table.bundle()
  await options.beforeLadder?.(table)
  const [first] = bundle.roots
  if (first === undefined) throw new Error('the ceremony made no root')
  const root = rootFingerprint(first)
  const [port, natsPort] = [await freePort(), await freePort()]
  const config = {
    trustDomain,
    hub: 'h1',
    listen: { host: '127.0.0.1', port },
    dnsNames: ['localhost'],
    stateDir: 'hub',
    sealKeyFile: 'seal.key',
    bundleFile: 'ceremony/bundle.jws',
    root,
    nats: { host: '127.0.0.1', port: natsPort, binary: NATS_BINARY },
    loginDir: 'login',
    operators: options.operators ?? [{ name: 'alice', uid: process.getuid?.() ?? 0, roles: ['operator'] }],
    ...(options.policy !== undefined && { policyFile: 'policy.cedar' }),
    ...options.config,
  }
  if (options.policy !== undefined) await writeFile(join(dir, 'policy.cedar'), options.policy)
  const configFile = join(dir, 'hub.json')
  await writeFile(configFile, JSON.stringify(config, null, 2))
  return {
    table,
    configFile,
    root,
    bundle,
    url: `https://127.0.0.1:${port}`,
    natsUrl: `tls://127.0.0.1:${natsPort}`,
  }
}

async function climb(dir: string, laid: Laid, options: TestHubOptions): Promise<void> {
  const { table, configFile } = laid
  const from = options.from ?? testedFrom()
  const config = ['--config', configFile]
  await runHub(['init', ...config], from)
  const file = join(dir, 'ladder-request.json')
  const answer = await runHub(
    ['ladder-request', file, ...config, '--rungs', String(options.rungs ?? 7)],
    from,
  )
  const { sha256 } = JSON.parse(answer) as { sha256: string }
  await table.run(await table.ladderFile({ file, sha256 }))
  await runHub(['ladder-import', join(table.dir, 'ladder.json'), ...config], from)
}

/** A running hub of its own. The caller stops it. */
export async function startTestHub(options: TestHubOptions = {}): Promise<TestHub> {
  const dir = options.dir ?? (await mkdtemp(join(tmpdir(), 'zt-hub-')))
  try {
    return await startIn(dir, options)
  } catch (error) {
    if (options.dir === undefined) await rm(dir, { recursive: true, force: true })
    throw error
  }
}

async function startIn(dir: string, options: TestHubOptions): Promise<TestHub> {
  const laid = await lay(dir, options)
  await climb(dir, laid, options)
  const logFile = join(dir, 'hub.log')
  const program = programArgs('hub', options.from ?? testedFrom())
  const hub = new HubProcess([...program, '--config', laid.configFile], logFile)
  await hub.start()
  return {
    ...laid,
    dir,
    logFile,
    stateDir: join(dir, 'hub'),
    bundleFile: join(laid.table.dir, 'bundle.jws'),
    trustDomain: laid.table.trustDomain,
    id: `spiffe://${laid.table.trustDomain}/hub/h1`,
    natsId: `spiffe://${laid.table.trustDomain}/nats/h1`,
    get pid() {
      return hub.pid
    },
    kill: (signal = 'SIGKILL') => hub.kill(signal),
    start: () => hub.start(),
    restart: async (signal = 'SIGKILL') => {
      await hub.kill(signal)
      await hub.start()
    },
    stop: async () => {
      await hub.kill('SIGTERM')
      if (options.dir === undefined) await rm(dir, { recursive: true, force: true })
    },
  }
}
