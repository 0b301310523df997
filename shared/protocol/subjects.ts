// NATS subjects, and who may use which. They route and shed load; nothing is proved by a subject that a signature
// does not prove again.
import {
  isName,
  parseNodeName,
  type NodeName,
  type ProcId,
  type TrustDomain,
} from '#shared/identity/names.ts'
import { principalTag } from '#shared/identity/principal-tag.ts'
import { nodeId, principalOf, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { HubOp } from './hub-ops.ts'

/** Where one stream of output goes: `audit` stands where a process id does not exist. */
export interface OutputRoute {
  readonly node: NodeName
  readonly proc: ProcId | 'audit'
  /** principal tag of the caller */
  readonly tag: string
  readonly stream: string
}

export interface Permissions {
  readonly pub: readonly string[]
  readonly sub: readonly string[]
  /** answers to a request's own reply subject; absent where nothing is answered */
  readonly allowResponses?: { readonly max: number; readonly ttlMs: number }
}

export const DENY_SUBJECT = 'zt.deny'

export function commandSubject(node: NodeName): string {
  return `zt.node.${node}.cmd`
}

export function outputSubject(route: OutputRoute): string {
  return `zt.node.${route.node}.out.${route.proc}.${route.tag}.${route.stream}`
}

export function ackSubject(route: OutputRoute): string {
  return `zt.node.${route.node}.ack.${route.proc}.${route.tag}.${route.stream}`
}

/** The broker lets a principal publish under its own tag alone, so the hub can count what it sends before it opens any. */
export function hubSubject(op: Exclude<HubOp, 'anchor'>, sender: SpiffeId): string {
  return `zt.hub.${op}.${principalTag(sender)}`
}

export function anchorSubject(node: NodeName): string {
  return `zt.anchor.${node}`
}

/** What the subject of a request to the hub says of it; nothing of it is proved. */
export interface HubRoute {
  readonly op: string
  /** principal tag of the sender */
  readonly tag: string
}

const HUB_PREFIX = 'zt.hub.'
const COMMAND = /^zt\.node\.([a-z0-9-]+)\.cmd$/
const ANCHOR_PREFIX = 'zt.anchor.'

/** Undefined for a subject that no request to a hub of this trust domain has. */
export function parseHubSubject(subject: string, td: TrustDomain): HubRoute | undefined {
  if (subject.startsWith(ANCHOR_PREFIX)) {
    const node = subject.slice(ANCHOR_PREFIX.length)
    return isName(node) ? { op: 'anchor', tag: principalTag(nodeId(td, parseNodeName(node))) } : undefined
  }
  const end = subject.lastIndexOf('.')
  if (!subject.startsWith(HUB_PREFIX) || end < HUB_PREFIX.length) return undefined
  return { op: subject.slice(HUB_PREFIX.length, end), tag: subject.slice(end + 1) }
}

/** The prefix of a principal's own inboxes; replies go to `<prefix>.<anything>`. */
export function inboxPrefix(id: SpiffeId): string {
  return `zt.inbox.${principalTag(id)}`
}

/**
 * Where a node answers a command on `subject`: an inbox of the asker with the node's own name in it, so that the node's
 * right to publish there is written from names. (The broker's other way, a right that comes with each request, is
 * forgotten when it reads its configuration again, and the answers of that moment with it.) Undefined for other subjects.
 */
export function answerInbox(asker: SpiffeId, subject: string, unique: string): string | undefined {
  const [, node] = COMMAND.exec(subject) ?? []
  return node === undefined ? undefined : `${inboxPrefix(asker)}.from.${node}.${unique}`
}

/** `chan` of an envelope that arrives on a subject. */
export function natsChannel(subject: string): string {
  return `nats:${subject}`
}

/** What the NATS user of a principal may do; ZT-422-SPIFFE-ID for one that has no business on NATS. */
export function permissionsFor(id: SpiffeId): Permissions {
  const { kind, name } = principalOf(id)
  switch (kind) {
    case 'node':
      return nodePermissions(id, parseNodeName(name))
    case 'operator':
    case 'agent':
    case 'ci':
      return callerPermissions(id)
    case 'hub':
      return { pub: ['zt.>'], sub: ['zt.>'] }
    case 'nats':
    case 'link':
      throw new ZtError('ZT-422-SPIFFE-ID', `a ${kind} is no user of nats`)
  }
}

function nodePermissions(id: SpiffeId, node: NodeName): Permissions {
  return {
    pub: [
      `zt.node.${node}.out.>`,
      `zt.inbox.*.from.${node}.*`,
      anchorSubject(node),
      ...hubSubjects(principalTag(id)),
    ],
    sub: [commandSubject(node), `zt.node.${node}.ack.>`, DENY_SUBJECT, `${inboxPrefix(id)}.>`],
    // For callers of an earlier release: one receipt a command; a kill answers when its grace time is over.
    allowResponses: { max: 1, ttlMs: 120_000 },
  }
}

function callerPermissions(id: SpiffeId): Permissions {
  const tag = principalTag(id)
  return {
    pub: ['zt.node.*.cmd', `zt.node.*.ack.*.${tag}.*`, ...hubSubjects(tag)],
    sub: [`zt.node.*.out.*.${tag}.*`, `${inboxPrefix(id)}.>`],
  }
}

// An operation has one word or two.
function hubSubjects(tag: string): readonly string[] {
  return [`${HUB_PREFIX}*.${tag}`, `${HUB_PREFIX}*.*.${tag}`]
}
