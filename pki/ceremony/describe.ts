// Small things that several ceremonies say or make in the same way.
import type { TrustDomain } from '#shared/identity/names.ts'
import { sha256 } from '#shared/encoding/digest.ts'
import { BUNDLE_TYP, parseJws } from '#shared/jose/jws.ts'
import { openBundle, rootFingerprint, type TrustBundle } from '#shared/x509/bundle.ts'
import type { Certificate } from '#shared/x509/certificate.ts'
import { isZtError } from '#shared/errors/error.ts'
import { keyIdentifier } from '../issuance/extension.ts'
import { PROFILES } from '../issuance/profile.ts'
import { commonName } from '../issuance/tbs.ts'
import type { CertificatePlan } from './certify.ts'
import { readAs, refuse } from './fields.ts'
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

/** The bundle in force, if one of `roots` signed it; ZT-422-CEREMONY otherwise. */
export function heldBundle(content: Uint8Array, roots: readonly Certificate[], now: number): TrustBundle {
  const text = Buffer.from(content).toString('latin1')
  let refusal: unknown
  for (const root of roots) {
    try {
      return openBundle(text, { pinnedRoot: rootFingerprint(root) }, now)
    } catch (error) {
      if (!isZtError(error)) throw error
      refusal = error
    }
  }
  throw refuse('the bundle that is held is not signed by the root of this ceremony', refusal)
}

/**
 * The bundle that the ceremony file names as in force, signed by one of its own roots, of which `root` is one. Enough to
 * be told what is revoked; what is signed in its place wants heldBundle().
 */
export function bundleInForce(content: Uint8Array, root: Certificate, now: number): TrustBundle {
  const text = Buffer.from(content).toString('latin1')
  const held = readAs('field "held"', () => {
    const [signer = new Uint8Array()] = parseJws(text, { typ: BUNDLE_TYP, maxBytes: 64 * 1024 }).x5c
    return openBundle(text, { pinnedRoot: Buffer.from(sha256(signer)).toString('hex') }, now)
  })
  requireTrusted(root, held)
  return held
}

/** Throws ZT-422-CEREMONY unless `root` is one of those of the bundle. */
export function requireTrusted(root: Certificate, bundle: TrustBundle): void {
  if (!isTrusted(root, bundle))
    throw refuse('the bundle that is held does not trust the root of this ceremony')
}

export function isTrusted(root: Certificate, { roots }: TrustBundle): boolean {
  return roots.some(({ thumbprint }) => thumbprint === root.thumbprint)
}
