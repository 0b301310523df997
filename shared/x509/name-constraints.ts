// RFC 5280 §4.2.1.10 name constraints for URI, DNS, e-mail and IP names. Constraints on any other form make the
// certificate unreadable, so that none is ever passed over.
import { readDer, malformed, TAG, type DerReader } from './der.ts'
import { NAME_TAG, visibleText, type GeneralNames } from './general-name.ts'

export interface Subtrees {
  readonly uris: readonly string[]
  readonly dns: readonly string[]
  readonly emails: readonly string[]
  /** address and mask, 8 or 32 octets */
  readonly ips: readonly Uint8Array[]
}

export interface NameConstraints {
  readonly permitted: Subtrees
  readonly excluded: Subtrees
}

/** Reads the value of the extension. Throws ZT-422-CERT. */
export function readNameConstraints(value: Uint8Array): NameConstraints {
  const fields = readDer(value, TAG.sequence, 'name constraints')
  // RFC 5280 §4.2.1.10: MUST NOT be an empty sequence.
  if (fields.done) throw malformed('name constraints', 'is empty')
  const constraints = { permitted: readSubtrees(fields, 0xa0), excluded: readSubtrees(fields, 0xa1) }
  fields.end()
  return constraints
}

function readSubtrees(fields: DerReader, tag: number): Subtrees {
  const found = { uris: [] as string[], dns: [] as string[], emails: [] as string[], ips: [] as Uint8Array[] }
  if (fields.peek() !== tag) return found
  const list = fields.enter(tag)
  if (list.done) throw malformed('name constraints', 'has an empty list')
  while (!list.done) {
    const subtree = list.enter(TAG.sequence)
    const base = subtree.element()
    // RFC 5280 §4.2.1.10: minimum MUST be zero (its default, left out) and maximum MUST be absent.
    subtree.end()
    if (base.tag === NAME_TAG.uri) found.uris.push(visibleText(base, 'name constraints'))
    else if (base.tag === NAME_TAG.dns) found.dns.push(visibleText(base, 'name constraints'))
    else if (base.tag === NAME_TAG.email) found.emails.push(visibleText(base, 'name constraints'))
    else if (base.tag === NAME_TAG.ip) found.ips.push(range(base.content))
    else throw malformed('name constraints', 'constrains names of a form that is not understood')
  }
  return found
}

function range(content: Uint8Array): Uint8Array {
  if (content.length !== 8 && content.length !== 32)
    throw malformed('name constraints', 'has an address range of a wrong length')
  return content
}

/** True if every name is within a permitted subtree of its form, where there is one, and within no excluded one. */
export function namesAllowed(names: GeneralNames, constraints: NameConstraints): boolean {
  const { permitted, excluded } = constraints
  return (
    names.uris.every((uri) =>
      allowed(uri, { permitted: permitted.uris, excluded: excluded.uris, within: uriWithin }),
    ) &&
    names.dns.every((dns) =>
      allowed(dns, { permitted: permitted.dns, excluded: excluded.dns, within: dnsWithin }),
    ) &&
    names.emails.every((email) =>
      allowed(email, { permitted: permitted.emails, excluded: excluded.emails, within: emailWithin }),
    ) &&
    names.ips.every((ip) =>
      allowed(ip, { permitted: permitted.ips, excluded: excluded.ips, within: ipWithin }),
    )
  )
}

interface Rule<T> {
  readonly permitted: readonly T[]
  readonly excluded: readonly T[]
  /** undefined: the name cannot be compared, which counts as not permitted and as excluded */
  readonly within: (name: T, base: T) => boolean | undefined
}

function allowed<T>(name: T, rule: Rule<T>): boolean {
  const inside = (base: T): boolean | undefined => rule.within(name, base)
  if (rule.excluded.some((base) => inside(base) !== false)) return false
  return rule.permitted.length === 0 || rule.permitted.some((base) => inside(base) === true)
}

// RFC 5280 §4.2.1.10: a URI without an authority that names a host MUST be rejected.
const AUTHORITY = /^[a-z][a-z0-9+.-]*:\/\/(?:[^/?#@]*@)?([^/?#@:[\]]+)(?::\d*)?(?:[/?#]|$)/i
const IPV4 = /^\d{1,3}(?:\.\d{1,3}){3}$/

function uriWithin(uri: string, base: string): boolean | undefined {
  const host = AUTHORITY.exec(uri)?.[1]
  if (host === undefined || IPV4.test(host) || host.endsWith('.')) return undefined
  return hostWithin(host, base)
}

/** A leading period means "any host below"; without one the constraint names one host. The empty one holds all. */
function hostWithin(host: string, base: string): boolean {
  const [name, constraint] = [host.toLowerCase(), base.toLowerCase()]
  if (constraint === '') return true
  return constraint.startsWith('.')
    ? name.length > constraint.length && name.endsWith(constraint)
    : name === constraint
}

/**
 * Any name made by adding labels to the left of the constraint satisfies it. A wildcard stands for names inside and
 * outside of a subtree at once (CVE-2025-61727), and a final period spells the same name twice: neither is compared.
 */
function dnsWithin(dns: string, base: string): boolean | undefined {
  if (dns.includes('*') || dns.endsWith('.')) return undefined
  const [name, constraint] = [dns.toLowerCase(), base.toLowerCase()]
  if (constraint === '' || name === constraint) return true
  return name.endsWith(constraint.startsWith('.') ? constraint : `.${constraint}`)
}

function emailWithin(email: string, base: string): boolean | undefined {
  const at = email.lastIndexOf('@')
  if (at < 1 || at === email.length - 1) return undefined
  if (!base.includes('@')) return hostWithin(email.slice(at + 1), base)
  const baseAt = base.lastIndexOf('@')
  // The local part is compared exactly, the host without case.
  return (
    email.slice(0, at) === base.slice(0, baseAt) &&
    email.slice(at + 1).toLowerCase() === base.slice(baseAt + 1).toLowerCase()
  )
}

function ipWithin(ip: Uint8Array, base: Uint8Array): boolean {
  if (base.length !== ip.length * 2) return false
  return ip.every((byte, at) => {
    const mask = base[ip.length + at] ?? 0
    return (byte & mask) === ((base[at] ?? 0) & mask)
  })
}
