// A node agent in this process, joined to a real hub, with a real keeper in a process of its own; and an operator who
// sends it commands over the real broker.
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import { NodeAgent } from '#node-agent/agent.ts'
import { parseNodeConfig, type NodeConfig } from '#node-agent/config.ts'
import { join } from '#node-agent/join.ts'
import { connectKeeper } from '#node-agent/keeper/client.ts'
import { systemClock } from '#shared/host/clock.ts'
import { openLogReader } from '#shared/host/log-reader.ts'
import { silentLogger, type Logger } from '#shared/host/logger.ts'
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { parseNodeName, type ProcId } from '#shared/identity/names.ts'
import { principalTag } from '#shared/identity/principal-tag.ts'
import { generateX25519 } from '#shared/jose/keys.ts'
import { parseRow, type RowBody } from '#shared/log/row.ts'
import { parseJoinString } from '#shared/protocol/admission.ts'
import type { Command, OutputRequest } from '#shared/protocol/command.ts'
import { openEncKey } from '#shared/protocol/enc-key.ts'
import { sealCommand } from '#shared/protocol/envelope.ts'
import { openReceipt, type Receipt } from '#shared/protocol/receipt.ts'
import {
  ackFrame,
  deriveStreamKeys,
  FrameOpener,
  FrameSealer,
  type OpenedFrame,
} from '#shared/protocol/output-frame.ts'
import { commandSubject, ackSubject, outputSubject, type OutputRoute } from '#shared/protocol/subjects.ts'
import type { TestHub } from './hub.ts'
import { operator, type TestClient } from './hub-client.ts'
import { KEEPER_COMMAND } from './keeper.ts'
import { eventually } from './nats.ts'

export interface RealNodeOptions {
  readonly name: string
  /** fields of the configuration that differ from the default */
  readonly config?: Readonly<Record<string, unknown>>
}

export class RealNode {
  readonly hub: TestHub
  readonly name: string
  readonly dir: string
  readonly config: NodeConfig
  /** how often the hub has admitted it, since it was made */
  admissions = 0
  #agent: NodeAgent | undefined

  private constructor(hub: TestHub, made: { name: string; dir: string; config: NodeConfig }) {
    this.hub = hub
    this.name = made.name
    this.dir = made.dir
    this.config = made.config
  }

  /** Joins and starts a node. To be ended by end(). */
  static async create(hub: TestHub, by: TestClient, { name, config }: RealNodeOptions): Promise<RealNode> {
    const dir = await mkdtemp(joinPath(tmpdir(), 'ztmesh-node-'))
    await chmod(dir, 0o711)
    await mkdir(joinPath(dir, 'state'), { mode: 0o700 })
    const fields = {
      name,
      stateDir: joinPath(dir, 'state'),
      workspaceRoot: joinPath(dir, 'work'),
      ...config,
    }
    const parsed = parseNodeConfig(Buffer.from(JSON.stringify(fields)))
    const { join: text } = await by.call('node.join-token', { node: parseNodeName(name) })
    await join(parsed, parseJoinString(text), systemClock)
    const node = new RealNode(hub, { name, dir, config: parsed })
    await node.start()
    return node
  }

  get id(): `spiffe://${string}` {
    return `spiffe://${this.hub.trustDomain}/node/${this.name}`
  }

  /** Starts the agent, and waits until it is anchored: then commands may be granted for it. */
  async start(): Promise<void> {
    this.#agent = await NodeAgent.start({
      config: this.config,
      clock: systemClock,
      logger: this.#logger(),
      keeperCommand: KEEPER_COMMAND,
    })
    const before = this.rows().filter(({ type }) => type === 'anchor.confirmed').length
    await eventually(
      'anchored',
      () => this.rows().filter(({ type }) => type === 'anchor.confirmed').length > before,
    )
  }

  #logger(): Logger {
    const info = (message: string): void => {
      if (message === 'the node is admitted') this.admissions += 1
    }
    return { ...silentLogger, info, child: () => this.#logger() }
  }

  async stop(): Promise<void> {
    await this.#agent?.close()
    this.#agent = undefined
  }

  rows(): RowBody[] {
    const reader = openLogReader(joinPath(this.dir, 'state', 'audit.db'))
    try {
      return [...reader.rows()].map(({ body }) => parseRow(body))
    } finally {
      reader.close()
    }
  }

  async end(): Promise<void> {
    await this.stop()
    const keeper = await connectKeeper({
      stateDir: this.config.stateDir,
      command: KEEPER_COMMAND,
      clock: systemClock,
    })
    await keeper.shutdown()
    await rm(this.dir, { recursive: true, force: true })
  }
}

/** Asks the hub for the capability, and the node for the command; the node's receipt. */
export async function command(by: TestClient, cmd: Command, timeoutMs = 5000): Promise<Receipt> {
  const granted = await by.token(cmd)
  const to = openEncKey(granted.zt.node_key, { trust: by.trust, now: Date.now(), owner: cmd.node })
  const replyKey = generateX25519()
  const subject = commandSubject(parseNodeName(cmd.node.split('/').at(-1)))
  const route = {
    identity: by.identity,
    to,
    subject,
    reply: by.channel.newInbox(),
    replyKey: replyKey.publicKey,
    now: Date.now(),
  }
  const sealed = await sealCommand(route, { cmd, tok: granted.access_token })
  const answer = await by.channel.request(subject, Buffer.from(sealed.text), {
    timeoutMs,
    unreachable: 'ZT-503-NODE',
  })
  return openReceipt(Buffer.from(answer.data).toString('latin1'), {
    trust: by.trust,
    now: Date.now(),
    from: cmd.node,
    to: by.id,
    re: sealed.jti,
    key: replyKey.privateKey,
  })
}

/** The frames of one stream, opened as they come. */
export class FrameReader {
  readonly request: OutputRequest
  readonly frames: OpenedFrame[] = []
  readonly #by: TestClient
  readonly #proc: ProcId
  readonly #keys = generateX25519()
  readonly #sealed: Uint8Array[] = []
  readonly #route: OutputRoute
  #opener: FrameOpener | undefined
  #acks: FrameSealer | undefined

  /** Subscribes, so that nothing is missed; `request` goes into the command. */
  constructor(by: TestClient, node: string, proc: ProcId) {
    this.#by = by
    this.#proc = proc
    this.#route = { node: parseNodeName(node), proc, tag: principalTag(by.id), stream: 's1' }
    this.request = { stream: 's1', key: encodeBase64url(this.#keys.publicKey), window: 1024 * 1024 }
    by.channel.subscribe(outputSubject(this.#route), ({ data }) => {
      this.#sealed.push(data)
      this.#open()
    })
  }

  /** The receipt of the command says with which key to go on. */
  activate(receipt: Receipt, epk: string): void {
    const keys = deriveStreamKeys({
      privateKey: this.#keys.privateKey,
      peer: decodeBase64url(epk, 'epk'),
      jti: receipt.re,
      node: receipt.iss,
      proc: this.#proc,
      caller: this.#by.identity.thumbprint,
    })
    this.#opener = new FrameOpener({ key: keys.toCaller, subject: outputSubject(this.#route) })
    this.#acks = new FrameSealer({ key: keys.toNode, subject: ackSubject(this.#route) })
    this.#open()
  }

  text(kind: 'stdout' | 'stderr'): string {
    return Buffer.concat(
      this.frames.filter((frame) => frame.kind === kind).map(({ data }) => data),
    ).toString()
  }

  #open(): void {
    if (this.#opener === undefined) return
    for (const sealed of this.#sealed.splice(0)) {
      const frame = this.#opener.open(sealed)
      if (frame.kind === 'alive') this.#answer()
      else this.frames.push(frame)
    }
  }

  /** Says that somebody is there: the node ends a stream that nobody answers. */
  #answer(): void {
    if (this.#acks === undefined || !this.#by.channel.connected) return
    this.#by.channel.publish(ackSubject(this.#route), this.#acks.seal(ackFrame(0)))
  }
}

/** The operator with a session that is never older than `maxAgeMs`: for hubs whose certificates are short. */
export class FreshOperator {
  readonly #hub: TestHub
  readonly #maxAgeMs: number
  #made = 0
  #client: Promise<TestClient> | undefined
  readonly #old: TestClient[] = []

  constructor(hub: TestHub, maxAgeMs: number) {
    this.#hub = hub
    this.#maxAgeMs = maxAgeMs
  }

  async client(): Promise<TestClient> {
    if (this.#client === undefined || Date.now() - this.#made > this.#maxAgeMs) {
      const before = this.#client
      this.#made = Date.now()
      this.#client = operator(this.#hub)
      if (before !== undefined) this.#old.push(await before)
    }
    return this.#client
  }

  async close(): Promise<void> {
    for (const client of [...this.#old, await this.client()]) await client.close()
  }
}
