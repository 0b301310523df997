// Chains under our own root that no verifier may accept, each wrong in one way that other verifiers know too: what we and
// they have to agree on.
import { workloadConstraints } from '#pki/issuance/constraint.ts'
import type { Issuer } from '#pki/issuance/issue.ts'
import { PROFILES } from '#pki/issuance/profile.ts'
import { commonName, type Template } from '#pki/issuance/tbs.ts'
import { parseTrustDomain } from '#shared/identity/names.ts'
import { makeIntermediate, makeLeaf, type TestPki } from './test-pki.ts'

const URI = 'spiffe://mesh.example/node/n1'

/** DER, leaf first, without the root, at that time (milliseconds). */
export type MakeChain = (pki: TestPki, at: number) => Uint8Array[]

const named = (uri: string, dns: string[] = [], ips: Uint8Array[] = []): Partial<Template> => ({
  names: { uri, dns, ips },
})
const profile = (change: object): Partial<Template> => ({
  profile: { ...PROFILES['workload-ca'], ...change },
})

function leafUnder(issuer: Issuer, at: number, change: Partial<Template> = {}): Uint8Array[] {
  return [makeLeaf(issuer, { uri: URI, at }, change).certificate.der, issuer.certificate.der]
}

/** A leaf bent in this way, below the workload authority. */
const leaf =
  (change: (at: number) => Partial<Template>): MakeChain =>
  (pki, at) =>
    leafUnder(pki.workload, at, change(at))

/** A good leaf below an intermediate that is bent in this way. */
const under =
  (change: (at: number) => Partial<Template>): MakeChain =>
  (pki, at) =>
    leafUnder(makeIntermediate('workload-ca', { ...pki, at }, change(at)), at)

const infra =
  (change: Partial<Template>): MakeChain =>
  (pki, at) =>
    leafUnder(pki.infra, at, change)

const belowAnIntermediate: MakeChain = (pki, at) => {
  const middle = makeIntermediate('workload-ca', { ...pki, at })
  const below = makeLeaf(
    middle,
    { uri: 'spiffe://mesh.example', at, profile: 'workload-ca' },
    { ...profile({ issuerCurve: 'P-256' }), subject: commonName('below') },
  )
  const end = makeLeaf({ certificate: below.certificate, key: below.key }, { uri: URI, at })
  return [end.certificate.der, below.certificate.der, middle.certificate.der]
}

export const REFUSED_CHAINS: Readonly<Record<string, MakeChain>> = {
  'a host name in a workload certificate': leaf(() => named(URI, ['hub.mesh.example'])),
  'a spiffe id as host name in a workload certificate': leaf(() =>
    named(URI, ['spiffe://mesh.example/hub/h1']),
  ),
  'an address in a workload certificate': leaf(() => named(URI, [], [Uint8Array.of(127, 0, 0, 1)])),
  'another trust domain': leaf(() => named('spiffe://other.example/node/n1')),
  'a trust domain below ours': leaf(() => named('spiffe://a.mesh.example/node/n1')),
  'a trust domain that only ends like ours': leaf(() => named('spiffe://evilmesh.example/node/n1')),
  'a host name that the infra authority may not give': infra(
    named('spiffe://mesh.example/hub/h1', ['hub.example']),
  ),
  'an address that the infra authority may not give': infra(
    named('spiffe://mesh.example/hub/h1', [], [Uint8Array.of(10, 0, 0, 1)]),
  ),
  'a leaf that expired': leaf((at) => ({ notAfter: at - 1000 })),
  'a leaf that is not valid yet': leaf((at) => ({ notBefore: at + 1000 })),
  'an intermediate that expired': under((at) => ({ notAfter: at - 1000 })),
  'an intermediate that is no authority': under(() => ({
    profile: { ...PROFILES.svid, issuerCurve: 'P-384' },
  })),
  'an intermediate that may not sign certificates': under(() => profile({ keyUsage: ['cRLSign'] })),
  'an intermediate for another trust domain': under(() => ({
    constraints: workloadConstraints(parseTrustDomain('other.example')),
  })),
  'a leaf signed with another key': (pki, at) => leafUnder({ ...pki.workload, key: pki.infra.key }, at),
  'an intermediate below an intermediate': belowAnIntermediate,
}
