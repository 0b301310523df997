// A whole mesh on this machine, of real programs in processes of their own: ceremony, hub (which runs its nats-server),
// node agents, and ztctl as its user would type it. The demo, `make up`, the end-to-end tests and the bench share it.
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { makeRoot, signLadder } from './ceremony.ts'
import { freePort } from './free-port.ts'
import { manufacture, softwareTpmArgv, trustInAuthority } from './software-tpm.ts'
import { removeOutside, sessionFolder, workspaceFolder } from './outside.ts'
import {
  endProcessesOf,
  mustRun,
  programArgv,
  run,
  start,
  toolPath,
  type Build,
  type Finished,
  type RunOptions,
} from './programs.ts'

export interface MeshOptions {
  /** everything of the mesh lies below it */
  readonly dir: string
  readonly build: Build
  /** fields of the hub's configuration that differ from the default */
  readonly hub?: Readonly<Record<string, unknown>>
  /** fields of every node's configuration that differ from the default */
  readonly node?: Readonly<Record<string, unknown>>
  /** the nodes that have a TPM, in software: its authority is named in the hub's configuration */
  readonly tpms?: readonly string[]
  /** true: the programs can be left running; see leave() */
  readonly detached?: boolean
  /** where ztctl keeps its contexts and session; below `dir` and in memory unless given */
  readonly ztctlEnv?: NodeJS.ProcessEnv
}

interface Started {
  readonly child: ChildProcess
  readonly ended: Promise<unknown>
}

export const TRUST_DOMAIN = 'mesh.example'
export const HUB_ID: string = `spiffe://${TRUST_DOMAIN}/hub/h1`
const DEADLINE_MS = 45_000
const LOG_TAIL = 2000

/** What is wrong, or undefined once somebody listens there. */
async function connects(port: number): Promise<string | undefined> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return undefined
  } catch (error) {
    return String(error)
  } finally {
    socket.destroy()
  }
}

/** Waits until `holds`, looking every 25 ms; throws after the deadline, with what was last said. */
export async function until(what: string, holds: () => Promise<string | undefined>): Promise<void> {
  const deadline = Date.now() + DEADLINE_MS
  for (;;) {
    const missing = await holds()
    if (missing === undefined) return
    if (Date.now() > deadline) throw new Error(`${what}: not within ${DEADLINE_MS / 1000} s: ${missing}`)
    await delay(25)
  }
}

export class Mesh {
  readonly dir: string
  readonly url: string
  readonly rootFingerprint: string
  readonly natsPort: number
  readonly #options: MeshOptions
  readonly #running = new Map<string, Started>()

  private constructor(options: MeshOptions, made: { url: string; natsPort: number; fingerprint: string }) {
    this.#options = options
    this.dir = options.dir
    this.url = made.url
    this.natsPort = made.natsPort
    this.rootFingerprint = made.fingerprint
  }

  /** Ceremonies and the hub's state; nothing runs yet. */
  static async lay(options: MeshOptions): Promise<Mesh> {
    const { dir, build, tpms = [] } = options
    mkdirSync(join(dir, 'logs'), { recursive: true, mode: 0o700 })
    const desk = { dir: join(dir, 'ceremony'), trustDomain: TRUST_DOMAIN, build }
    const { bundleFile, fingerprint } = await makeRoot(desk)
    const [port, natsPort] = [await freePort(), await freePort()]
    const config = {
      trustDomain: TRUST_DOMAIN,
      hub: 'h1',
      listen: { host: '127.0.0.1', port },
      dnsNames: ['localhost'],
      stateDir: 'hub',
      sealKeyFile: 'hub-seal.key',
      bundleFile,
      root: fingerprint,
      nats: { host: '127.0.0.1', port: natsPort, binary: toolPath('nats-server') },
      loginDir: 'login',
      operators: [{ name: 'alice', uid: userInfo().uid, roles: ['operator'] }],
      ...(tpms.length > 0 && { tpm: trustInAuthority(dir) }),
      ...options.hub,
    }
    for (const node of tpms) await manufacture(dir, node)
    writeFileSync(join(dir, 'hub.json'), JSON.stringify(config, null, 2))
    const hub = programArgv(build, 'hub')
    const configFlag = ['--config', join(dir, 'hub.json')]
    await mustRun([...hub, 'init', ...configFlag])
    await mustRun([...hub, 'ladder-request', join(desk.dir, 'ladder-request.json'), ...configFlag])
    const response = await signLadder(desk, 'ladder-request.json')
    await mustRun([...hub, 'ladder-import', response, ...configFlag])
    return new Mesh(options, { url: `https://127.0.0.1:${port}`, natsPort, fingerprint })
  }

  /** Starts the hub, which starts its nats-server, and waits until the operator can log in. */
  async startHub(): Promise<void> {
    this.launchHub()
    await this.awaitHub()
  }

  async awaitHub(): Promise<void> {
    await until('the hub', async () => {
      this.#requireRunning('hub')
      const answer = await this.ztctl(['login', ...this.#pin()])
      return answer.code === 0 ? undefined : answer.stderr
    })
  }

  /** Starts the hub and waits for nothing. */
  launchHub(): void {
    this.#start('hub', [...programArgv(this.#options.build, 'hub'), '--config', join(this.dir, 'hub.json')])
  }

  #pin(): string[] {
    return ['--hub', this.url, '--hub-id', HUB_ID, '--root-fingerprint', this.rootFingerprint]
  }

  /** Runs ztctl as the operator. */
  ztctl(args: readonly string[], options: RunOptions = {}): Promise<Finished> {
    return run(this.ztctlArgv(args), { ...options, env: { ...this.ztctlEnv(), ...options.env } })
  }

  ztctlArgv(args: readonly string[]): string[] {
    return [...programArgv(this.#options.build, 'ztctl'), ...args]
  }

  ztctlEnv(): NodeJS.ProcessEnv {
    return { ...process.env, NO_COLOR: '1', ...(this.#options.ztctlEnv ?? this.#ownEnv()) }
  }

  #ownEnv(): NodeJS.ProcessEnv {
    return { ZTMESH_CONFIG_DIR: join(this.dir, 'ztctl'), ZTMESH_RUNTIME_DIR: sessionFolder(this.dir) }
  }

  nodeDir(name: string): string {
    return join(this.dir, 'nodes', name)
  }

  /** Joins a new node, with its TPM if it has one, and starts its agent. */
  async addNode(name: string): Promise<void> {
    await this.joinNode(name)
    await this.startNode(name)
  }

  /** Joins a new node, with its TPM if it has one; its agent does not run yet. */
  async joinNode(name: string): Promise<void> {
    const tpm = await this.#equip(name)
    const dir = this.nodeDir(name)
    mkdirSync(dir, { recursive: true })
    const config = {
      name,
      stateDir: join(dir, 'state'),
      workspaceRoot: join(workspaceFolder(this.dir), name),
      // The hub's keys, the root's token and the other nodes live on this one machine too.
      hide: [this.dir],
      ...tpm,
      ...this.#options.node,
    }
    writeFileSync(join(dir, 'node.json'), JSON.stringify(config, null, 2))
    const { stdout: joinString } = await this.must([
      'node',
      'join-token',
      name,
      ...(tpm.tpm === undefined ? [] : ['--require-tpm']),
    ])
    await mustRun(this.#agentArgv(name, ['join', '--join-file', '-']), { input: joinString })
  }

  /** The node's TPM, running until the mesh ends: the part of the node's configuration that says where. */
  async #equip(name: string): Promise<{ readonly tpm?: { readonly tcp: string } }> {
    if (this.#options.tpms?.includes(name) !== true) return {}
    const port = await freePort()
    await this.startTpm(name, port)
    return { tpm: { tcp: `127.0.0.1:${port}` } }
  }

  /** Switches the node's TPM on, on a port of loopback; kill() switches `NAME-tpm` off. */
  async startTpm(name: string, port: number): Promise<void> {
    this.#start(`${name}-tpm`, softwareTpmArgv(this.dir, name, port))
    await until(`the TPM of ${name}`, () => connects(port))
  }

  #agentArgv(name: string, verb: readonly string[] = []): string[] {
    const config = join(this.nodeDir(name), 'node.json')
    return [...programArgv(this.#options.build, 'node-agent'), ...verb, '--config', config]
  }

  /** Starts the agent of a node that has joined, and waits until it answers commands. */
  async startNode(name: string): Promise<void> {
    this.launchNode(name)
    await this.awaitNode(name)
  }

  /** Starts the agent of a node that has joined and waits for nothing. */
  launchNode(name: string): void {
    this.#start(name, this.#agentArgv(name))
  }

  async awaitNode(name: string): Promise<void> {
    await until(`node ${name}`, async () => {
      this.#requireRunning(name)
      const answer = await this.ztctl(['ps', '-n', name])
      return answer.code === 0 ? undefined : answer.stderr
    })
  }

  /** Ends a program that was started here: `hub`, or a node's name. */
  async kill(name: string, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const started = this.#running.get(name)
    if (started === undefined) throw new Error(`${name} was not started here`)
    started.child.kill(signal)
    await started.ended
    this.#running.delete(name)
  }

  pid(name: string): number {
    return this.#running.get(name)?.child.pid ?? -1
  }

  /** What was started here and not ended: hub, agents, TPMs. */
  get programs(): readonly string[] {
    return [...this.#running.keys()]
  }

  /** Lets this process end without them: until then they are its own to end, also if something fails. */
  leave(): void {
    for (const { child } of this.#running.values()) child.unref()
  }

  /** Ends what runs, nodes first, and removes session and workspaces. State and logs stay. */
  async stop(): Promise<void> {
    const turn = (name: string): number => (name === 'hub' ? 2 : name.endsWith('-tpm') ? 1 : 0)
    const names = [...this.#running.keys()].toSorted((a, b) => turn(a) - turn(b))
    for (const name of names) await this.kill(name, 'SIGTERM')
    // Keepers outlive their agents, by design; with the mesh they end.
    await endProcessesOf(this.dir)
    removeOutside(this.dir)
  }

  /** The same, which throws unless it exits with 0. */
  async must(args: readonly string[]): Promise<Finished> {
    const finished = await this.ztctl(args)
    if (finished.code === 0) return finished
    throw new Error(`ztctl ${args.join(' ')} exited ${finished.code}:\n${finished.stderr}`)
  }

  #start(name: string, argv: readonly string[]): void {
    const child = start(argv, join(this.dir, 'logs', `${name}.log`), this.#options.detached)
    this.#running.set(name, { child, ended: once(child, 'exit') })
  }

  /** A program that has ended will not answer: says so at once, with the end of its log. */
  #requireRunning(name: string): void {
    const child = this.#running.get(name)?.child
    if (child === undefined || (child.exitCode === null && child.signalCode === null)) return
    const log = readFileSync(join(this.dir, 'logs', `${name}.log`), 'utf8')
    throw new Error(`${name} has ended; its log ends with:\n${log.slice(-LOG_TAIL)}`)
  }
}
