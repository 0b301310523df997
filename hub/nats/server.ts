// Runs one nats-server for as long as the hub wants it: writes its configuration, starts it, starts it again when it
// dies, and ends it. Trusts the operating system for its child's exit, and the authority for what the accounts are.
import { spawn, type ChildProcess } from 'node:child_process'
import { access, chmod, mkdir, readdir, rm } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { ZtError } from '#shared/errors/error.ts'
import { sleep, type Clock, type Timer } from '#shared/host/clock.ts'
import type { Logger } from '#shared/host/logger.ts'
import { certificatesToPem } from '#shared/x509/pem.ts'
import type { ServerAccounts } from './authority.ts'
import { replacePrivateFile } from './files.ts'
import { endOrphan } from './orphan.ts'
import { serves, type ServerCertificate } from './probe.ts'
import { renderServerConfig, type ServerFiles } from './server-config.ts'

export interface NatsServerOptions {
  /** path of the program */
  readonly binary: string
  /** run directory, made with mode 0700: holds a private key, so it belongs on a tmpfs */
  readonly dir: string
  readonly host: string
  readonly port: number
  readonly name: string
  readonly certificate: ServerCertificate
  /** DER; client certificates must end at one of these */
  readonly roots: () => readonly Uint8Array[]
  /** asked before every start */
  readonly accounts: () => ServerAccounts
  readonly clock: Clock
  readonly log: Logger
}

const START_TIMEOUT_MS = 15_000
const START_FAILURES = 3
const RELOAD_TIMEOUT_MS = 5_000
const POLL_MS = 20
const STOP_TIMEOUT_MS = 3_000
const FIRST_RESTART_MS = 50
const LONGEST_RESTART_MS = 5_000
/** A server that lived this long did not die of its configuration. */
const STEADY_MS = 10_000
const STDERR_CHARS = 2_000

/**
 * Starts a server and resolves when it listens with its certificate. One that an earlier hub left behind in `dir` is
 * ended first, so that the port is free; two hubs must never share a `dir`.
 * ZT-503-NATS if it ends three times or does not come up in 15 s; details.said is what it said, details.log where.
 */
export async function startNatsServer(options: NatsServerOptions): Promise<NatsServer> {
  const server = new NatsServer(options)
  try {
    await server.start()
    return server
  } catch (error) {
    await server.close()
    throw error
  }
}

export class NatsServer {
  readonly #options: NatsServerOptions
  readonly #files: ServerFiles
  #certificate: ServerCertificate
  #child: ChildProcess | undefined
  #restart: Timer | undefined
  #written: Promise<unknown> = Promise.resolve()
  #failures = 0
  /** the end of what the last server wrote to stderr: it logs to a file, but not before it has read where */
  #said = ''
  #closing = false

  constructor(options: NatsServerOptions) {
    const dir = resolve(options.dir)
    this.#options = options
    this.#certificate = options.certificate
    this.#files = {
      identity: `${dir}/identity.pem`,
      roots: `${dir}/roots.pem`,
      config: `${dir}/nats-server.json`,
      pid: `${dir}/nats-server.pid`,
      portsDir: `${dir}/ports`,
      log: `${dir}/nats-server.log`,
    }
  }

  /** Process id of the running server; undefined between two of them. */
  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** Called once, by startNatsServer(). */
  async start(): Promise<void> {
    const { dir, clock, log } = this.#options
    await mkdir(dir, { recursive: true, mode: 0o700 })
    // It may have been there before, open to others.
    await chmod(dir, 0o700)
    await endOrphan({ pidFile: this.#files.pid, configFile: this.#files.config, clock, log })
    await rm(this.#files.pid, { force: true })
    await this.#removeKeys()
    await this.#launch()
    // A port that is not free yet is worth a second look; a configuration that it refuses is not.
    if (!(await this.#listening(START_TIMEOUT_MS, () => this.#failures >= START_FAILURES))) {
      const details = { said: this.#said.trim().slice(-200), log: this.#files.log }
      throw new ZtError('ZT-503-NATS', 'nats-server did not start', { details })
    }
  }

  /**
   * Serves `certificate` to whoever connects from now on; connections that exist go on.
   * ZT-503-NATS if the server does not take it within 5 s; it is used at the next start in any case.
   */
  async setCertificate(certificate: ServerCertificate): Promise<void> {
    this.#certificate = certificate
    await this.reload()
    if (!(await this.#listening(RELOAD_TIMEOUT_MS))) {
      throw new ZtError('ZT-503-NATS', 'nats-server does not serve its new certificate')
    }
  }

  /** Makes the running server read its files again: certificate, roots, accounts. Does not wait until it has. */
  async reload(): Promise<void> {
    await this.writeFiles()
    // Between two servers there is nobody to tell: the next one reads the files when it starts.
    this.#child?.kill('SIGHUP')
  }

  /** Ends the server, waits for its end and removes its private key. */
  async close(): Promise<void> {
    this.#closing = true
    this.#restart?.cancel()
    await this.#end()
    // What is being written now is written before it is removed; from here on nothing is.
    await this.#written
    await this.#removeKeys()
  }

  async #end(): Promise<void> {
    const child = this.#child
    if (child === undefined) return
    const ended = new Promise<void>((done) => {
      child.once('close', () => done())
    })
    child.kill('SIGTERM')
    const force = this.#options.clock.after(STOP_TIMEOUT_MS, () => child.kill('SIGKILL'))
    await ended
    force.cancel()
  }

  /** Writes what a server that starts or reloads from now on reads: certificate, roots, accounts. */
  writeFiles(): Promise<void> {
    // One after the other, each with what is true when it begins: the last one written is the newest.
    const done = this.#written.then(() => this.#writeFiles())
    this.#written = done.catch(() => undefined)
    return done
  }

  /** The private key, and what a hub that was killed had half written of one. */
  async #removeKeys(): Promise<void> {
    const { dir } = this.#options
    const names = await readdir(dir).catch((): string[] => [])
    const held = names.filter((name) => name.startsWith(basename(this.#files.identity)))
    for (const name of held) await rm(join(dir, name), { force: true })
  }

  async #writeFiles(): Promise<void> {
    if (this.#closing) return
    const { name, host, port, roots, accounts } = this.#options
    const { chain, key } = this.#certificate
    const pem = certificatesToPem(chain) + key.export({ format: 'pem', type: 'pkcs8' }).toString()
    const config = renderServerConfig({ name, host, port, files: this.#files, accounts: accounts() })
    await replacePrivateFile(this.#files.identity, pem)
    await replacePrivateFile(this.#files.roots, certificatesToPem(roots()))
    await replacePrivateFile(this.#files.config, config)
  }

  async #launch(): Promise<void> {
    await this.writeFiles()
    await rm(this.#files.portsDir, { recursive: true, force: true })
    await mkdir(this.#files.portsDir, { mode: 0o700 })
    if (this.#closing) return
    const { binary, clock, log } = this.#options
    // Its own session: a Ctrl-C at the hub's terminal must not end the server before the hub is done with it.
    const child = spawn(binary, ['-c', this.#files.config], {
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
      env: {},
    })
    this.#child = child
    const startedNs = clock.monotonicNs()
    this.#said = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#said = (this.#said + text).slice(-STDERR_CHARS)
    })
    child.once('error', (error) => log.error('nats-server cannot be run', { binary, error }))
    child.once('close', (code, signal) => {
      const steady = clock.monotonicNs() - startedNs > BigInt(STEADY_MS) * 1_000_000n
      this.#ended({ code, signal, steady })
    })
  }

  #ended(end: { code: number | null; signal: string | null; steady: boolean }): void {
    this.#child = undefined
    if (this.#closing) return
    const { code, signal, steady } = end
    this.#failures = steady ? 0 : this.#failures + 1
    const delayMs = Math.min(LONGEST_RESTART_MS, FIRST_RESTART_MS * 2 ** Math.min(this.#failures, 10))
    this.#options.log.error('nats-server ended; it is started again', {
      code,
      signal,
      said: this.#said,
      delayMs,
    })
    this.#restart = this.#options.clock.after(delayMs, () => void this.#relaunch())
  }

  async #relaunch(): Promise<void> {
    try {
      await this.#launch()
    } catch (error) {
      // The files could not be written: tried again like a server that ends at once.
      this.#options.log.error('nats-server cannot be configured', { error })
      this.#ended({ code: null, signal: null, steady: false })
    }
  }

  /** True if this child, and not another server on the port, says that it listens. */
  async #announced(): Promise<boolean> {
    const pid = this.#child?.pid
    if (pid === undefined) return false
    const file = `${this.#files.portsDir}/${basename(this.#options.binary)}_${pid}.ports`
    return access(file).then(
      () => true,
      () => false,
    )
  }

  async #listening(timeoutMs: number, hopeless: () => boolean = () => false): Promise<boolean> {
    const { clock, host, port } = this.#options
    const deadline = clock.monotonicNs() + BigInt(timeoutMs) * 1_000_000n
    while (clock.monotonicNs() < deadline && !this.#closing && !hopeless()) {
      if ((await this.#announced()) && (await serves({ host: reachable(host), port }, this.#certificate)))
        return true
      await sleep(clock, POLL_MS)
    }
    return false
  }
}

/** Where the hub itself reaches a server that listens on `host`. */
export function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  return host === '::' ? '::1' : host
}
