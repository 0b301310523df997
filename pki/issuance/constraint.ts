// What an intermediate may name. The workload authority names URIs of the trust domain and nothing else, so that no
// workload can pose as a server; the infra authority also names the hosts and addresses that its ceremony lists.
import type { TrustDomain } from '#shared/identity/names.ts'
import type { NameConstraints, Subtrees } from '#shared/x509/name-constraints.ts'

export interface InfraNames {
  /** host names; each stands for itself and what is below it */
  readonly dns: readonly string[]
  /** 4 or 16 octets each */
  readonly ips: readonly Uint8Array[]
}

const NO_DNS = ['']
const NO_EMAIL = ['']
// Both families with a mask of no bits: every address.
const NO_IP: readonly Uint8Array[] = [new Uint8Array(8), new Uint8Array(32)]

export function workloadConstraints(trustDomain: TrustDomain): NameConstraints {
  return constraints(trustDomain, { dns: [], ips: [] })
}

/** A form of which nothing is listed is excluded whole: an empty list never means "any". */
export function infraConstraints(trustDomain: TrustDomain, names: InfraNames): NameConstraints {
  return constraints(trustDomain, names)
}

function constraints(trustDomain: TrustDomain, names: InfraNames): NameConstraints {
  const permitted: Subtrees = {
    uris: [trustDomain],
    dns: names.dns,
    emails: [],
    ips: names.ips.map((address) => Uint8Array.from([...address, ...address.map(() => 0xff)])),
  }
  const excluded: Subtrees = {
    uris: [],
    dns: names.dns.length === 0 ? NO_DNS : [],
    emails: NO_EMAIL,
    ips: names.ips.length === 0 ? NO_IP : [],
  }
  return { permitted, excluded }
}
