// Issues SVIDs and the certificates of the hub and NATS, from an intermediate in memory. The requester decides nothing
// but its key: identity, names and lifetime are the caller's, and the intermediate's constraints bound even the caller.
import { sign, type KeyObject } from 'node:crypto'
import { ZtError } from '#shared/errors/error.ts'
import {
  principalKind,
  trustDomainOf,
  type PrincipalKind,
  type SpiffeId,
} from '#shared/identity/spiffe-id.ts'
import type { Certificate } from '#shared/x509/certificate.ts'
import type { VerifiedCsr } from '#shared/x509/csr.ts'
import { canonicalSignature } from '#shared/x509/ecdsa-signature.ts'
import { namesAllowed } from '#shared/x509/name-constraints.ts'
import { parseHostName, parseIpAddress } from './host-name.ts'
import { BACKDATE_MS, PROFILES, type Profile } from './profile.ts'
import { assembleCertificate, buildTbs, EMPTY_NAME, serialNumber } from './tbs.ts'

/** An intermediate that can sign: a rung of the ladder has two. */
export interface Issuer {
  readonly certificate: Certificate
  /** P-256; belongs to the certificate */
  readonly key: KeyObject
}

export interface SvidOrder {
  readonly issuer: Issuer
  /** the proof of possession; see verifyCsr(). Whether it wished for more makes no difference here */
  readonly csr: Pick<VerifiedCsr, 'spki' | 'publicKey'>
  readonly id: SpiffeId
  /** from now, milliseconds */
  readonly ttlMs: number
  /** UTC, milliseconds */
  readonly now: number
}

export interface InfraOrder extends SvidOrder {
  /** host names, lower case */
  readonly dnsNames: readonly string[]
  /** addresses as text */
  readonly ips: readonly string[]
}

export interface IssuedSvid {
  /** DER: leaf, then intermediate */
  readonly chain: readonly Uint8Array[]
  /** UTC, milliseconds */
  readonly notBefore: number
  /** UTC, milliseconds */
  readonly notAfter: number
  /** lower-case hex */
  readonly serial: string
}

interface LeafNames {
  readonly dns: readonly string[]
  readonly ips: readonly Uint8Array[]
}

const WORKLOADS: ReadonlySet<PrincipalKind> = new Set(['node', 'link', 'agent', 'operator', 'ci'])
const INFRASTRUCTURE: ReadonlySet<PrincipalKind> = new Set(['hub', 'nats'])

/**
 * An SVID for a node, its link, an agent, operator or pipeline: P-256, client and server, one URI name, at most five minutes,
 * valid from 30 s before `now`. Throws ZT-422-SPIFFE-ID for other kinds of principal or another trust domain,
 * ZT-422-SCHEMA for a lifetime out of range, ZT-503-LADDER if the intermediate is not valid now.
 */
export function issueSvid(order: SvidOrder): IssuedSvid {
  requireKind(order.id, WORKLOADS)
  return issueLeaf(PROFILES.svid, order, { dns: [], ips: [] })
}

/**
 * As issueSvid(), for the hub and NATS: also the host names and addresses that clients connect to, and at most a day.
 * Throws ZT-422-NAME for names that the intermediate may not give.
 */
export function issueInfraLeaf(order: InfraOrder): IssuedSvid {
  requireKind(order.id, INFRASTRUCTURE)
  const names = { dns: order.dnsNames.map(parseHostName), ips: order.ips.map(parseIpAddress) }
  return issueLeaf(PROFILES['infra-leaf'], order, names)
}

function issueLeaf(profile: Profile, order: SvidOrder, names: LeafNames): IssuedSvid {
  const { issuer, csr, id } = order
  const { certificate } = issuer
  requireNames(certificate, id, names)
  const { notBefore, notAfter } = validity(profile, order)
  const serial = serialNumber()
  const tbs = buildTbs({
    profile,
    serial,
    issuer: certificate.subjectDer,
    subject: EMPTY_NAME,
    notBefore,
    notAfter,
    spki: csr.spki,
    names: { uri: id, ...names },
    issuerKeyId: requireKeyId(certificate),
  })
  const raw = sign('sha256', tbs, { key: issuer.key, dsaEncoding: 'ieee-p1363' })
  const leaf = assembleCertificate(tbs, profile.issuerCurve, canonicalSignature(raw, profile.issuerCurve))
  return { chain: [leaf, certificate.der], notBefore, notAfter, serial: Buffer.from(serial).toString('hex') }
}

function requireKind(id: SpiffeId, kinds: ReadonlySet<PrincipalKind>): void {
  if (!kinds.has(principalKind(id))) {
    throw new ZtError('ZT-422-SPIFFE-ID', 'this authority does not name principals of that kind')
  }
}

/** What the intermediate's constraints refuse is refused here, not first by whoever meets the certificate. */
function requireNames(issuer: Certificate, id: SpiffeId, names: LeafNames): void {
  const constraints = issuer.nameConstraints
  if (constraints === undefined || !constraints.permitted.uris.includes(trustDomainOf(id))) {
    throw new ZtError('ZT-422-SPIFFE-ID', 'the spiffe id is not of the trust domain of the intermediate')
  }
  if (!namesAllowed({ uris: [id], ...names, emails: [], other: [] }, constraints)) {
    throw new ZtError('ZT-422-NAME', 'the intermediate may not give one of the host names or addresses')
  }
}

function validity(
  profile: Profile,
  { issuer, ttlMs, now }: SvidOrder,
): { notBefore: number; notAfter: number } {
  const { certificate } = issuer
  if (!(ttlMs >= 1000) || ttlMs > profile.maxLifetimeMs - BACKDATE_MS) {
    throw new ZtError('ZT-422-SCHEMA', 'lifetime is out of range', { details: { field: 'ttlMs' } })
  }
  if (!(now >= certificate.notBefore && now < certificate.notAfter)) {
    throw new ZtError('ZT-503-LADDER', 'the intermediate is not valid at this time')
  }
  const second = Math.floor(now / 1000) * 1000
  // Within the issuer's own validity: a leaf that outlives its issuer only looks longer.
  return {
    notBefore: Math.max(second - BACKDATE_MS, certificate.notBefore),
    notAfter: Math.min(second + Math.floor(ttlMs / 1000) * 1000, certificate.notAfter),
  }
}

function requireKeyId(issuer: Certificate): Uint8Array {
  if (issuer.subjectKeyId === undefined)
    throw new ZtError('ZT-422-CERT', 'the intermediate has no key identifier')
  return issuer.subjectKeyId
}
