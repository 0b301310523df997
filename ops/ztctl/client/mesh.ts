// The mesh as one principal sees it: requests to the hub and commands to nodes over one NATS channel. The channel and
// the broker behind it are trusted with nothing: every answer is sealed to a key made for that one question, signed by
// whom it must come from, and names the question.
import { fromWireError, isZtError, ZtError } from '#shared/errors/error.ts'
import type { Channel } from '#shared/host/channel.ts'
import { sleep, type Clock } from '#shared/host/clock.ts'
import { quietLogger } from './quiet-logger.ts'
import { connectNats } from '#shared/host/nats-channel.ts'
import { parseNodeName, parseTrustDomain, type NodeName } from '#shared/identity/names.ts'
import { nodeId, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import { generateX25519 } from '#shared/jose/keys.ts'
import type { Command } from '#shared/protocol/command.ts'
import { openDenyList, type DenyDocument } from '#shared/protocol/deny-list.ts'
import { openEncKey, type EncKey } from '#shared/protocol/enc-key.ts'
import {
  sealCommand,
  sealHubRequest,
  type EnvelopeRoute,
  type SealedEnvelope,
} from '#shared/protocol/envelope.ts'
import { exchangeRequest, signIdToken } from '#shared/protocol/exchange.ts'
import { parseHubResult, type HubOp, type HubParams, type HubResults } from '#shared/protocol/hub-ops.ts'
import { openReceipt, type ReceiptOk, type RowReference } from '#shared/protocol/receipt.ts'
import { parseResult, type CommandResults } from '#shared/protocol/results.ts'
import { commandSubject, hubSubject } from '#shared/protocol/subjects.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { renewSession, type OpenOptions } from './open-session.ts'
import { sessionBundle, type Session } from './session.ts'

export interface MeshOptions extends OpenOptions {
  /** for each answer */
  readonly timeoutMs: number
}

/** What a node answered, with the audit row that it named: evidence that the caller now holds. */
export interface CommandReceipt<Op extends Command['op']> {
  readonly result: CommandResults[Op]
  /** `jti` of the command */
  readonly jti: string
  readonly row: RowReference
  readonly checkpoint: string
}

interface Question {
  readonly subject: string
  readonly to: EncKey
  readonly timeoutMs: number
  readonly unreachable: 'ZT-503-NODE' | 'ZT-503-HUB'
  readonly seal: (route: EnvelopeRoute) => Promise<SealedEnvelope>
}

// A hub that does not answer within this time may have started again with another key, under which nothing that was
// sealed to the old one opens.
const SUSPICION_MS = 2_000
// A kill answers when its grace time is over.
const MARGIN_MS = 5_000

/** A connected mesh. Errors: ZT-401-CERT, ZT-401-SESSION, ZT-503-NATS, and those of renewSession(). */
export async function connectMesh(session: Session, options: MeshOptions): Promise<Mesh> {
  try {
    return await connect(session, options)
  } catch (error) {
    // The broker was set up anew and knows these credentials no longer: a new session has new ones.
    if (!isZtError(error, 'ZT-401-SESSION')) throw error
    return connect(await renewSession(session, options), options)
  }
}

async function connect(session: Session, options: MeshOptions): Promise<Mesh> {
  const { identity, nats, credentials } = session
  const { clock, timeoutMs } = options
  const trust = new SvidValidator(sessionBundle(session, clock.now()))
  const channel = await connectNats({
    servers: credentials.nats.servers.map((server) => server.replace(/^tls:\/\//, '')),
    identity,
    trust,
    expectServer: credentials.nats.serverId,
    credentials: { jwt: credentials.nats_jwt, key: nats },
    clock,
    log: quietLogger,
    connectTimeoutMs: timeoutMs,
  })
  return new Mesh({ channel, session, trust }, options)
}

interface Link {
  readonly channel: Channel
  readonly session: Session
  readonly trust: SvidValidator
}

export class Mesh {
  readonly channel: Channel
  readonly session: Session
  readonly #options: MeshOptions
  readonly #trust: SvidValidator
  #hubKey: EncKey

  constructor({ channel, session, trust }: Link, options: MeshOptions) {
    this.channel = channel
    this.session = session
    this.#options = options
    this.#trust = trust
    this.#hubKey = this.#openKey(session.credentials.hub_key, options.context.hubId)
  }

  get id(): SpiffeId {
    return this.session.identity.id
  }

  get clock(): Clock {
    return this.#options.clock
  }

  /** The SPIFFE ID of a node by its name. Errors: ZT-422-NAME. */
  nodeId(name: string): SpiffeId {
    return nodeId(parseTrustDomain(this.#options.context.td), parseNodeName(name))
  }

  /** Asks the hub. Errors: ZT-503-HUB, ZT-504-TIMEOUT, what the hub answers, and those of openReceipt(). */
  async hub<Op extends Exclude<HubOp, 'anchor'>>(op: Op, params: HubParams[Op]): Promise<HubResults[Op]> {
    const question = {
      subject: hubSubject(op, this.id),
      timeoutMs: this.#options.timeoutMs,
      unreachable: 'ZT-503-HUB',
      seal: (route: EnvelopeRoute) => sealHubRequest(route, { op, params }),
    } as const
    const { receipt } = await this.#askHub(question)
    if (receipt.op !== op) throw misdirected('op')
    return parseHubResult(op, receipt.result)
  }

  /** The deny list of this moment, with its signed text. Errors: those of hub() and openDenyList(). */
  async denyList(): Promise<DenyDocument & { readonly text: string }> {
    const { deny: text } = await this.hub('deny', {})
    return { ...openDenyList(text, { trust: this.#trust, now: this.clock.now() }), text }
  }

  /**
   * Has a node do one command: one capability from the hub, then the command, sealed to the node alone.
   * Errors: those of hub(); ZT-503-NODE (nothing was sent); ZT-504-OUTCOME-UNKNOWN (sent and not answered, for a
   * command that changes something), ZT-504-TIMEOUT (for one that does not); what the node answers.
   */
  async command<Op extends Command['op']>(cmd: Command & { readonly op: Op }): Promise<CommandReceipt<Op>> {
    const node = this.nodeId(cmd.node.slice(cmd.node.lastIndexOf('/') + 1))
    const subjectToken = signIdToken(this.session.identity, {
      hub: this.#options.context.hubId,
      now: this.clock.now(),
    })
    const granted = await this.hub('token', exchangeRequest(cmd, subjectToken))
    const { receipt, jti } = await this.#askNode(cmd, {
      subject: commandSubject(nodeName(node)),
      // Sealed to that node and no other: its own SVID says so, whatever the hub and the broker say.
      to: this.#openKey(granted.zt.node_key, node),
      timeoutMs: this.#options.timeoutMs + waitOf(cmd),
      unreachable: 'ZT-503-NODE',
      seal: (route) => sealCommand(route, { cmd, tok: granted.access_token }),
    })
    if (receipt.op !== cmd.op) throw misdirected('op')
    const { row, checkpoint } = receipt
    // openReceipt() demands both of a node that did something; this only tells the compiler.
    if (row === undefined || checkpoint === undefined) throw misdirected('row')
    return { result: parseResult(cmd.op, receipt.result), jti, row, checkpoint }
  }

  /** Ends the channel at once; what a node does goes on. */
  async close(): Promise<void> {
    await this.channel.close()
  }

  async #askHub(question: Omit<Question, 'to'>): Promise<Answered> {
    const done = new AbortController()
    const answered = this.#ask({ ...question, to: this.#hubKey })
    try {
      const first = await Promise.race([answered, this.#newerHubKey(done.signal)])
      if (first === undefined) return await answered
      if ('receipt' in first) return first
      answered.catch(() => undefined)
      this.#hubKey = first
      return await this.#ask({ ...question, to: first })
    } finally {
      done.abort()
    }
  }

  // Asking twice is safe only if the first question cannot have been read: that is, if the hub's key is another one.
  async #newerHubKey(done: AbortSignal): Promise<EncKey | undefined> {
    await sleep(this.clock, SUSPICION_MS, done)
    if (done.aborted) return undefined
    try {
      const { credentials } = await renewSession(this.session, this.#options)
      const current = this.#openKey(credentials.hub_key, this.#options.context.hubId)
      return current.kid === this.#hubKey.kid ? undefined : current
    } catch (error) {
      // The hub cannot be reached in this way either: the question's own time limit decides.
      if (isZtError(error)) return undefined
      throw error
    }
  }

  async #askNode(cmd: Command, question: Question): Promise<Answered> {
    try {
      return await this.#ask(question)
    } catch (error) {
      const unsure = isZtError(error, 'ZT-504-TIMEOUT') || isZtError(error, 'ZT-503-NATS')
      if (!unsure || (cmd.op !== 'process.spawn' && cmd.op !== 'process.kill')) throw error
      throw outcomeUnknown(cmd, error)
    }
  }

  async #ask(question: Question): Promise<Answered> {
    const replyKeys = generateX25519()
    const sealed = await question.seal({
      identity: this.session.identity,
      to: question.to,
      subject: question.subject,
      reply: this.channel.newInbox(),
      replyKey: replyKeys.publicKey,
      now: this.clock.now(),
    })
    const { timeoutMs, unreachable } = question
    const answer = await this.channel.request(question.subject, Buffer.from(sealed.text, 'latin1'), {
      timeoutMs,
      unreachable,
    })
    const receipt = openReceipt(Buffer.from(answer.data).toString('latin1'), {
      trust: this.#trust,
      now: this.clock.now(),
      from: question.to.owner,
      to: this.id,
      re: sealed.jti,
      key: replyKeys.privateKey,
    })
    if (!receipt.ok) throw fromWireError(receipt.error)
    return { receipt, jti: sealed.jti }
  }

  #openKey(statement: string, owner: SpiffeId): EncKey {
    return openEncKey(statement, { trust: this.#trust, now: this.clock.now(), owner })
  }
}

interface Answered {
  readonly receipt: ReceiptOk
  readonly jti: string
}

/** The node's name in its SPIFFE ID. */
export function nodeName(id: SpiffeId): NodeName {
  return parseNodeName(id.slice(id.lastIndexOf('/') + 1))
}

function outcomeUnknown(
  cmd: Command & { readonly op: 'process.spawn' | 'process.kill' },
  cause: ZtError,
): ZtError {
  const node = nodeName(cmd.node)
  const what = cmd.op === 'process.spawn' ? 'start' : 'signal'
  return new ZtError(
    'ZT-504-OUTCOME-UNKNOWN',
    `node ${node} did not answer after the command to ${what} ${node}/${cmd.proc} was sent`,
    { cause, details: { proc: cmd.proc, hint: `see what became of it: ztctl logs -f ${node}/${cmd.proc}` } },
  )
}

function waitOf(cmd: Command): number {
  return cmd.op === 'process.kill' ? (cmd.grace_ms ?? 0) + MARGIN_MS : 0
}

function misdirected(field: string): ZtError {
  return new ZtError('ZT-421-MISDIRECTED', `field "${field}" of the receipt does not belong here`, {
    details: { field },
  })
}
