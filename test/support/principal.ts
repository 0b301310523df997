// A principal by hand: signs and seals messages as the programs do, and sends them over whatever connection it is given,
// without waiting for an answer. What became of a message is in the log of whoever got it.
import { randomUUID } from 'node:crypto'
import { newProcId } from '#ops/ztctl/client/spawn-command.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import type { Channel } from '#shared/host/channel.ts'
import type { Identity } from '#shared/identity/identity.ts'
import { parseNodeName } from '#shared/identity/names.ts'
import { nodeId, trustDomainOf, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import { generateX25519 } from '#shared/jose/keys.ts'
import { parseCommand, type Command } from '#shared/protocol/command.ts'
import { openEncKey } from '#shared/protocol/enc-key.ts'
import {
  sealCommand,
  sealHubRequest,
  type EnvelopeRoute,
  type SealedEnvelope,
} from '#shared/protocol/envelope.ts'
import { exchangeRequest, signIdToken, type ExchangeRequest } from '#shared/protocol/exchange.ts'
import type { HubOp } from '#shared/protocol/hub-ops.ts'
import { commandSubject, hubSubject, inboxPrefix } from '#shared/protocol/subjects.ts'
import type { SvidValidator } from '#shared/x509/svid.ts'

export interface PrincipalParts {
  readonly identity: Identity
  readonly trust: SvidValidator
  readonly hubId: SpiffeId
  /** zt-enckey+jws of the hub */
  readonly hubKey: string
  readonly channel: Channel
}

/** A capability, and what it was given for. */
export interface Granted {
  readonly node: string
  readonly cmd: Command
  readonly token: string
  /** zt-enckey+jws of the node */
  readonly nodeKey: string
}

export class Principal {
  readonly #parts: PrincipalParts

  constructor(parts: PrincipalParts) {
    this.#parts = parts
  }

  get id(): SpiffeId {
    return this.#parts.identity.id
  }

  /** Of a program that is looked up on the node. */
  spawnOn(node: string, argv: readonly string[]): Command {
    return parseCommand({
      v: 1,
      op: 'process.spawn',
      node: nodeId(trustDomainOf(this.id), parseNodeName(node)),
      proc: newProcId(),
      exe: { path: argv[0] },
      argv,
      env: {},
      sandbox: { profile: 'default@1', caps: ['read_anywhere', 'subprocess', 'workspace_rw'] },
      limits: {},
    })
  }

  tokenRequest(cmd: Command): ExchangeRequest {
    const { identity, hubId } = this.#parts
    return exchangeRequest(cmd, signIdToken(identity, { hub: hubId, now: Date.now() }))
  }

  /** Sends a command with its capability; answers the digest by which the node's log names the message. */
  async command({ node, cmd, token, nodeKey }: Granted): Promise<string> {
    const to = { statement: nodeKey, owner: cmd.node }
    const route = this.#route(commandSubject(parseNodeName(node)), to)
    return this.#send(route, await sealCommand(route, { cmd, tok: token }))
  }

  /** Asks the hub; answers the digest by which the hub's log names the message. */
  async ask(op: Exclude<HubOp, 'anchor'>, params: object): Promise<string> {
    const { identity, hubKey, hubId } = this.#parts
    const route = this.#route(hubSubject(op, identity.id), { statement: hubKey, owner: hubId })
    return this.#send(route, await sealHubRequest(route, { op, params }))
  }

  #route(subject: string, to: { readonly statement: string; readonly owner: SpiffeId }): EnvelopeRoute {
    const { identity, trust } = this.#parts
    const now = Date.now()
    return {
      identity,
      to: openEncKey(to.statement, { trust, now, owner: to.owner }),
      subject,
      reply: `${inboxPrefix(identity.id)}.${randomUUID()}`,
      replyKey: generateX25519().publicKey,
      now,
    }
  }

  #send({ subject, reply }: EnvelopeRoute, { text }: SealedEnvelope): string {
    this.#parts.channel.publish(subject, Buffer.from(text, 'latin1'), { replyTo: reply })
    return sha256Text(text)
  }
}
