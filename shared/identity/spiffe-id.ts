// SPIFFE IDs (SPIFFE-ID §2) and the seven kinds of principal that ztmesh gives them to. Comparison is always exact.
import { ZtError } from '#shared/errors/error.ts'
import { isName, parseTrustDomain, type NodeName, type OperatorName, type TrustDomain } from './names.ts'

declare const spiffeId: unique symbol
/** Only parseSpiffeId() and the builders below make one. */
export type SpiffeId = string & { readonly [spiffeId]: true }

export type Principal =
  | { readonly kind: 'hub' | 'nats' | 'node' | 'link' | 'operator' | 'ci'; readonly name: string }
  | { readonly kind: 'agent'; readonly name: string; readonly task: string }

export type PrincipalKind = Principal['kind']

// SPIFFE-ID §2.3: implementations must accept 2048 bytes; every accepted character is one byte.
const MAX_BYTES = 2048
const FORM = /^spiffe:\/\/([a-z0-9._-]{1,255})((?:\/[A-Za-z0-9._-]+)+)$/
const SIMPLE_KINDS = ['hub', 'nats', 'node', 'link', 'operator', 'ci'] as const

/**
 * A SPIFFE ID with a path: an ID without one names a trust domain, never a principal.
 * ZT-422-SPIFFE-ID for anything else: other schemes, user, port, query, fragment, percent-encoding, `.` and `..`.
 */
export function parseSpiffeId(value: unknown): SpiffeId {
  if (typeof value !== 'string' || value.length > MAX_BYTES) throw refuse()
  const path = FORM.exec(value)?.[2]
  if (path === undefined) throw refuse()
  // SPIFFE-ID §2.2: segments must not be "." or "..".
  if (path.split('/').some((segment) => segment === '.' || segment === '..')) throw refuse()
  return value as SpiffeId
}

export function trustDomainOf(id: SpiffeId): TrustDomain {
  return parseTrustDomain(FORM.exec(id)?.[1])
}

/** The path with its leading slash. */
export function pathOf(id: SpiffeId): string {
  return id.slice(id.indexOf('/', 'spiffe://'.length))
}

/** What an ID stands for, or ZT-422-SPIFFE-ID if it is not one of the paths that ztmesh issues. */
export function principalOf(id: SpiffeId): Principal {
  const [first, name, third, task, ...rest] = pathOf(id).slice(1).split('/')
  if (!isName(name) || rest.length > 0) throw refuse()
  if (first === 'agent' && third === 'task' && isName(task)) return { kind: 'agent', name, task }
  const kind = SIMPLE_KINDS.find((known) => known === first)
  if (kind === undefined || third !== undefined) throw refuse()
  return { kind, name }
}

export function principalKind(id: SpiffeId): PrincipalKind {
  return principalOf(id).kind
}

/** The node's name, or ZT-422-SPIFFE-ID if the ID is not a node's. */
export function nodeNameOf(id: SpiffeId): NodeName {
  const principal = principalOf(id)
  if (principal.kind !== 'node') throw refuse()
  return principal.name as NodeName
}

export function nodeId(domain: TrustDomain, name: NodeName): SpiffeId {
  return build(domain, `/node/${name}`)
}

/** A node's connection to the broker, where it has a certificate of its own: nothing that is said is said in this name. */
export function linkId(domain: TrustDomain, name: NodeName): SpiffeId {
  return build(domain, `/link/${name}`)
}

/** The node whose connection the ID is, or undefined for what is no link. */
export function nodeOfLink(id: SpiffeId): SpiffeId | undefined {
  const { kind, name } = principalOf(id)
  return kind === 'link' ? nodeId(trustDomainOf(id), name as NodeName) : undefined
}

export function hubId(domain: TrustDomain, name: string): SpiffeId {
  return build(domain, `/hub/${name}`)
}

export function natsId(domain: TrustDomain, name: string): SpiffeId {
  return build(domain, `/nats/${name}`)
}

export function operatorId(domain: TrustDomain, name: OperatorName): SpiffeId {
  return build(domain, `/operator/${name}`)
}

export function taskId(
  domain: TrustDomain,
  task: { readonly agent: string; readonly task: string },
): SpiffeId {
  return build(domain, `/agent/${task.agent}/task/${task.task}`)
}

function build(domain: TrustDomain, path: string): SpiffeId {
  const id = parseSpiffeId(`spiffe://${domain}${path}`)
  principalOf(id)
  return id
}

function refuse(): ZtError {
  return new ZtError('ZT-422-SPIFFE-ID', 'not a spiffe id of the accepted form')
}
