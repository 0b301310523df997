// The six kinds of certificate that ztmesh has, and what each must look like. pki/lint checks them, tbs.ts makes them.
import type { Curve } from '#shared/x509/ec-spki.ts'
import type { KeyUsage } from '#shared/x509/certificate.ts'
import { OID } from '#shared/x509/oid.ts'

export type ProfileName = 'root' | 'cross-root' | 'workload-ca' | 'infra-ca' | 'svid' | 'infra-leaf'

export interface Profile {
  readonly name: ProfileName
  /** of the subject's key */
  readonly curve: Curve
  /** of the issuer's key, which decides the signature algorithm */
  readonly issuerCurve: Curve
  /** absent in a leaf */
  readonly ca?: {
    /** how many intermediates may follow */
    readonly pathLen: number
    readonly constrained: boolean
  }
  readonly keyUsage: readonly KeyUsage[]
  /** none: the extension is left out */
  readonly extendedKeyUsage: readonly string[]
  readonly maxLifetimeMs: number
}

const SECOND = 1000
const HOUR = 3600 * SECOND
const DAY = 24 * HOUR

/** How far before its issuance an SVID is valid, for receivers whose clock is behind the hub's. */
export const BACKDATE_MS: number = 30 * SECOND

/** How long an SVID lives after its issuance, at most. */
export const MAX_SVID_TTL_MS: number = 300 * SECOND

/** How long a certificate of the hub or of NATS lives after its issuance, at most. */
export const MAX_INFRA_TTL_MS: number = DAY

/** The slot in which one rung of the ladder issues. */
export const RUNG_MS: number = DAY

/** How far a rung is valid beyond either end of its slot: clocks differ, and what it issued last must end in its time. */
export const RUNG_MARGIN_MS: number = HOUR

const CA_USAGE: readonly KeyUsage[] = ['keyCertSign', 'cRLSign']
const BOTH_ENDS: readonly string[] = [OID.serverAuth, OID.clientAuth]

const INTERMEDIATE = {
  curve: 'P-256',
  issuerCurve: 'P-384',
  ca: { pathLen: 0, constrained: true },
  keyUsage: CA_USAGE,
  extendedKeyUsage: [],
  maxLifetimeMs: RUNG_MS + 2 * RUNG_MARGIN_MS,
} as const

const LEAF = {
  curve: 'P-256',
  issuerCurve: 'P-256',
  keyUsage: ['digitalSignature'],
  extendedKeyUsage: BOTH_ENDS,
} as const

export const PROFILES: Readonly<Record<ProfileName, Profile>> = {
  root: {
    name: 'root',
    curve: 'P-384',
    issuerCurve: 'P-384',
    ca: { pathLen: 1, constrained: false },
    keyUsage: CA_USAGE,
    extendedKeyUsage: [],
    // Ten years, with the leap days that they can have.
    maxLifetimeMs: (10 * 365 + 3) * DAY,
  },
  // A root's key under another root (RFC 4210 §4.4, "new with old"): of one name with both, so that RFC 5280 §6.1.4 (l)
  // does not count it against the path length of the root above.
  'cross-root': {
    name: 'cross-root',
    curve: 'P-384',
    issuerCurve: 'P-384',
    ca: { pathLen: 1, constrained: false },
    keyUsage: CA_USAGE,
    extendedKeyUsage: [],
    maxLifetimeMs: 366 * DAY,
  },
  'workload-ca': { name: 'workload-ca', ...INTERMEDIATE },
  'infra-ca': { name: 'infra-ca', ...INTERMEDIATE },
  svid: { name: 'svid', ...LEAF, maxLifetimeMs: MAX_SVID_TTL_MS + BACKDATE_MS },
  'infra-leaf': { name: 'infra-leaf', ...LEAF, maxLifetimeMs: MAX_INFRA_TTL_MS + BACKDATE_MS },
}
