// Small things that several ceremonies say or make in the same way.
import type { TrustDomain } from '#shared/identity/names.ts'
import { rootFingerprint, type TrustBundle } from '#shared/x509/bundle.ts'
import type { Certificate } from '#shared/x509/certificate.ts'
import { keyIdentifier } from '../issuance/extension.ts'
import { PROFILES } from '../issuance/profile.ts'
import { commonName } from '../issuance/tbs.ts'
import type { CertificatePlan } from './certify.ts'
import { refuse } from './fields.ts'
import { officersOf, type Quorum } from './quorum.ts'

/** All roots of ztmesh have this one name: what a new key signs with the old name is self-issued (RFC 5280 §3.2). */
export const ROOT_NAME: Uint8Array = commonName('ztmesh root')

export function day(atMs: number): string {
  return new Date(atMs).toISOString().replace('.000Z', 'Z')
}

export function peopleOf(quorum: Quorum): string[] {
  const names = officersOf(quorum).map(({ name, keyId }) => `${name} (key ${keyId})`)
  return [
    `officers: ${names.join(', ')}`,
    `${quorum.threshold} of them approve a ceremony, ${quorum.emergency} an emergency`,
  ]
}

export function printOf(root: Certificate): string {
  return rootFingerprint(root)
}

/** The certificate of a root of that key, which names the quorum of that digest. */
export function rootPlan(
  life: { readonly trustDomain: TrustDomain; readonly notBefore: number; readonly notAfter: number },
  spki: Uint8Array,
  quorum: Uint8Array,
): CertificatePlan {
  const { trustDomain, notBefore, notAfter } = life
  const template = {
    profile: PROFILES.root,
    issuer: ROOT_NAME,
    subject: ROOT_NAME,
    notBefore,
    notAfter,
    spki,
    names: { uri: `spiffe://${trustDomain}`, dns: [], ips: [] },
    quorum,
    issuerKeyId: keyIdentifier(spki),
  }
  return { what: 'root', template, context: { profile: PROFILES.root, trustDomain, quorum } }
}

/** Throws ZT-422-CEREMONY unless `root` is one of those of the bundle. */
export function requireTrusted(root: Certificate, bundle: TrustBundle): void {
  if (!isTrusted(root, bundle))
    throw refuse('the bundle that is held does not trust the root of this ceremony')
}

export function isTrusted(root: Certificate, { roots }: TrustBundle): boolean {
  return roots.some(({ thumbprint }) => thumbprint === root.thumbprint)
}
