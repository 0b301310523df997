// A mesh whose root can be rotated: a real hub on a ceremony table of its own, node agents and ztctl in processes of their
// own. From source, or from the bundles where ZT_TEST_FROM says so.
import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { removeOutside, sessionFolder, workspaceFolder } from '#ops/demo/outside.ts'
import { endProcessesOf, mustRun, programArgv, run, start, type Finished } from '#ops/demo/programs.ts'
import { eventually } from './eventually.ts'
import { startTestHub, type TestHub, type TestHubOptions } from './hub.ts'

const BUILD = process.env['ZT_TEST_FROM'] === 'dist' ? 'dist' : 'source'
const DEADLINE_MS = 60_000

export class RotatingMesh {
  readonly dir: string
  readonly hub: TestHub
  readonly #agents = new Map<string, ChildProcess>()

  private constructor(dir: string, hub: TestHub) {
    this.dir = dir
    this.hub = hub
  }

  /** A hub that runs, and the operator logged in. */
  static async start(options: TestHubOptions): Promise<RotatingMesh> {
    const dir = mkdtempSync(join(tmpdir(), 'ztmesh-rotation-'))
    const hub = await startTestHub({ ...options, dir })
    const mesh = new RotatingMesh(dir, hub)
    await mesh.login('alice')
    return mesh
  }

  /** Pins the root that the ceremony began with, in a configuration of that name. */
  login(place: string, root: string = this.hub.root): Promise<string> {
    const pin = ['--hub', this.hub.url, '--hub-id', this.hub.id, '--root-fingerprint', root]
    return this.out(['login', ...pin], place)
  }

  /** Runs ztctl with the contexts and the session of `place`. */
  ztctl(args: readonly string[], place: string = 'alice'): Promise<Finished> {
    const runtime = join(sessionFolder(this.dir), place)
    mkdirSync(runtime, { recursive: true, mode: 0o700 })
    const config = join(this.dir, 'ztctl', place)
    const env = { ...process.env, NO_COLOR: '1', ZTMESH_CONFIG_DIR: config, ZTMESH_RUNTIME_DIR: runtime }
    return run([...programArgv(BUILD, 'ztctl'), ...args], { env, timeoutMs: 300_000 })
  }

  async out(args: readonly string[], place?: string): Promise<string> {
    const finished = await this.ztctl(args, place)
    assert.equal(finished.code, 0, `ztctl ${args.join(' ')}:\n${finished.stdout}${finished.stderr}`)
    return finished.stdout
  }

  async json<T>(args: readonly string[]): Promise<T> {
    return JSON.parse(await this.out([...args, '-o', 'json'])) as T
  }

  async refused(args: readonly string[], code: string): Promise<string> {
    const { code: status, stdout, stderr } = await this.ztctl(args)
    assert.notEqual(status, 0, stdout)
    assert.ok(stderr.includes(`(${code})`), `ztctl ${args.join(' ')}:\n${stderr}`)
    return stderr
  }

  /** Joins a new node and waits until it runs commands. */
  async addNode(name: string): Promise<void> {
    const dir = join(this.dir, 'nodes', name)
    mkdirSync(dir, { recursive: true })
    const workspaceRoot = join(workspaceFolder(this.dir), name)
    const config = { name, stateDir: join(dir, 'state'), workspaceRoot, hide: [this.dir] }
    writeFileSync(join(dir, 'node.json'), JSON.stringify(config))
    const input = await this.out(['node', 'join-token', name])
    await mustRun(this.#agentArgv(name, ['join', '--join-file', '-']), { input })
    await this.startNode(name)
  }

  /** Starts the agent of a node that has joined, and waits until it runs commands. */
  async startNode(name: string): Promise<void> {
    this.#agents.set(name, start(this.#agentArgv(name), join(this.dir, `${name}.log`)))
    await eventually(
      `node ${name}`,
      async () => ((await this.ztctl(['ps', '-n', name])).code === 0 ? true : undefined),
      DEADLINE_MS,
    )
  }

  async stopNode(name: string): Promise<void> {
    const agent = this.#agents.get(name)
    if (agent === undefined) throw new Error(`${name} does not run`)
    this.#agents.delete(name)
    const ended = once(agent, 'exit')
    agent.kill('SIGTERM')
    await ended
  }

  #agentArgv(name: string, verb: readonly string[] = []): string[] {
    const config = join(this.dir, 'nodes', name, 'node.json')
    return [...programArgv(BUILD, 'node-agent'), ...verb, '--config', config]
  }

  async end(): Promise<void> {
    for (const name of this.#agents.keys()) await this.stopNode(name)
    await this.hub.stop()
    // Keepers outlive their agents, by design; with the mesh they end.
    await endProcessesOf(this.dir)
    removeOutside(this.dir)
    await rm(this.dir, { recursive: true, force: true })
  }
}

export interface Failure {
  readonly at: number
  readonly what: string
}

/** Runs short commands one after the other, and keeps what did not come back as it must. */
export class Load {
  readonly failures: Failure[] = []
  sent = 0
  readonly #mesh: RotatingMesh
  readonly #ending = new AbortController()
  readonly #loops: Promise<void>[] = []

  constructor(mesh: RotatingMesh) {
    this.#mesh = mesh
  }

  /** One more loop of commands on that node. */
  on(node: string): void {
    this.#loops.push(this.#loop(node))
  }

  async end(): Promise<void> {
    this.#ending.abort()
    await Promise.all(this.#loops)
  }

  async #loop(node: string): Promise<void> {
    while (!this.#ending.signal.aborted) {
      this.sent += 1
      const word = `command-${this.sent}`
      // A machine that is busy with other things makes an answer late; only one that is lost counts.
      const run = ['run', '--request-timeout', '60s', '-n', node, '--', 'echo', word]
      const { code, stdout, stderr } = await this.#mesh.ztctl(run)
      if (code === 0 && stdout === `${word}\n`) continue
      this.failures.push({ at: Date.now(), what: `${node}: exit ${code}: ${stdout}${stderr}` })
    }
  }
}
