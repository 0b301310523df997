// A whole mesh of one test file's own: real programs, on their own ports, in folders of their own, from the sources or
// from the bundles. Ended by end(), which fails if it leaves a process behind.
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { Mesh } from '#ops/demo/mesh.ts'
import { ROOT, type Build, type Finished, type RunOptions } from '#ops/demo/programs.ts'
import { requireDist } from './dist.ts'
import { eventually } from './eventually.ts'
import { familyOf, isAlive } from './process-table.ts'
import { SOFTHSM_MODULE } from './softhsm.ts'
import { Typed } from './typed.ts'

export interface TestMeshOptions {
  /** the bundles, unless given: they start three times as fast */
  readonly build?: Build
  /** one node, n1, unless given */
  readonly nodes?: readonly string[]
  /** those of them that have a TPM, in software; none unless given */
  readonly tpms?: readonly string[]
  /** text of a Cedar policy file; the default policy unless given */
  readonly policy?: string
  /** fields of the hub's configuration that differ from the default */
  readonly hub?: Readonly<Record<string, unknown>>
  /** fields of every node's configuration that differ from the default */
  readonly node?: Readonly<Record<string, unknown>>
}

export interface Refusal {
  readonly exit: number
  /** one of our codes, which standard error must name */
  readonly code: string
}

const onPath = (program: string): boolean =>
  (process.env['PATH'] ?? '').split(delimiter).some((folder) => existsSync(join(folder, program)))

function missingPart(): string | false {
  if (!existsSync(join(ROOT, '.tools', 'bin', 'nats-server'))) return 'needs nats-server: run make tools'
  if (SOFTHSM_MODULE === undefined) return 'needs softhsm2: run make setup'
  return onPath('bwrap') ? false : 'needs bubblewrap: run make setup'
}

/** The reason to skip, if a part of a mesh is not installed; CI fails on skipped tests. */
export const needsMesh: string | false = missingPart()

// A program that is asked to end has this long before it is killed: see endProcessesOf().
const ENDS_WITHIN_MS = 14_000
/** Of the log of each program, where a failure is told. */
const LOG_CHARS = 1_500

/** Starts hub, broker and nodes, with the operator logged in; leaves nothing behind if that fails. */
export async function startTestMesh(options: TestMeshOptions = {}): Promise<TestMesh> {
  const { build = 'dist', nodes = ['n1'], tpms = [], policy, node } = options
  if (build === 'dist') await requireDist()
  const dir = mkdtempSync(join(tmpdir(), 'ztmesh-e2e-'))
  const hub = { ...options.hub, ...(policy !== undefined && { policyFile: join(dir, 'policy.cedar') }) }
  if (policy !== undefined) writeFileSync(join(dir, 'policy.cedar'), policy)
  let started: TestMesh | undefined
  try {
    const mesh = await Mesh.lay({ dir, build, hub, tpms, ...(node !== undefined && { node }) })
    started = new TestMesh(mesh)
    await mesh.startHub()
    await Promise.all(nodes.map((name) => mesh.addNode(name)))
    return started
  } catch (error) {
    const said = endOfLogs(dir)
    await started?.end()
    await rm(dir, { recursive: true, force: true })
    throw new Error(`the mesh did not start:\n${String(error)}\n${said}`, { cause: error })
  }
}

/** What the programs of a mesh said last: the folder is gone when somebody asks why a test failed. */
function endOfLogs(dir: string): string {
  const logs = join(dir, 'logs')
  const names = existsSync(logs) ? readdirSync(logs) : []
  return names
    .map((name) => `${name}:\n${readFileSync(join(logs, name), 'utf8').slice(-LOG_CHARS)}`)
    .join('\n')
}

export class TestMesh {
  /** starts, kills and restarts the programs */
  readonly programs: Mesh
  readonly dir: string
  readonly #typed: Typed[] = []

  constructor(programs: Mesh) {
    this.programs = programs
    this.dir = programs.dir
  }

  /** Runs ztctl to its end, whatever that is. */
  ztctl(args: readonly string[], options: RunOptions = {}): Promise<Finished> {
    return this.programs.ztctl(args, options)
  }

  /** What a ztctl prints that succeeds. */
  async out(args: readonly string[], options: RunOptions = {}): Promise<string> {
    const finished = await this.ztctl(args, options)
    const { code, stdout, stderr } = finished
    const said = code === 0 ? '' : endOfLogs(this.dir)
    assert.equal(code, 0, `ztctl ${args.join(' ')}:\n${stderr}${stdout}${said}`)
    return stdout
  }

  /** The same, of `-o json`. */
  async json<T>(args: readonly string[]): Promise<T> {
    const dashes = args.indexOf('--')
    const at = dashes < 0 ? args.length : dashes
    return JSON.parse(await this.out([...args.slice(0, at), '-o', 'json', ...args.slice(at)])) as T
  }

  /** Runs a ztctl that must fail in exactly this way; answers what it said. */
  async refused(args: readonly string[], { exit, code }: Refusal): Promise<string> {
    const { code: status, stdout, stderr } = await this.ztctl(args)
    const said = `ztctl ${args.join(' ')}:\n${stdout}${stderr}`
    assert.equal(status, exit, said)
    assert.ok(stderr.includes(`(${code})`), said)
    return stderr
  }

  /** Starts a process and answers its id. */
  async spawn(node: string, command: readonly string[]): Promise<string> {
    return (await this.out(['spawn', '-q', '-n', node, '--', ...command])).trim()
  }

  /** Starts a ztctl that runs while the test goes on. */
  type(args: readonly string[], env: NodeJS.ProcessEnv = {}): Typed {
    const typed = new Typed(this.programs.ztctlArgv(args), { ...this.programs.ztctlEnv(), ...env })
    this.#typed.push(typed)
    return typed
  }

  /** The audit database of a node. */
  auditFile(node: string): string {
    return join(this.programs.nodeDir(node), 'state', 'audit.db')
  }

  /** The audit database of the hub. */
  get hubLog(): string {
    return join(this.dir, 'hub', 'log.db')
  }

  /** Ends everything. Fails if a program does not end when it is asked to, or a process of any kind is left. */
  async end(): Promise<void> {
    for (const typed of this.#typed) if (typed.running) typed.signal('SIGKILL')
    const family = familyOf(this.dir)
    const from = performance.now()
    await this.programs.stop()
    const tookMs = performance.now() - from
    try {
      await eventually(
        'every process of the mesh to end',
        () => (family.some(isAlive) ? undefined : true),
        2_000,
      ).catch((cause: unknown) => {
        const left = family.filter(isAlive)
        for (const { pid } of left) process.kill(pid, 'SIGKILL')
        throw new Error(`left running: ${left.map((one) => one.commandLine).join('\n')}`, { cause })
      })
      assert.ok(tookMs < ENDS_WITHIN_MS, `a program had to be killed: ending took ${tookMs} ms`)
    } finally {
      await rm(this.dir, { recursive: true, force: true })
    }
  }
}
