// The public areas that ztmesh asks a TPM to make keys from. The endorsement templates are those of the TCG EK Credential
// Profile 2.5 (Annex B): with any other one a TPM would derive another key than the one that its maker certified.
import { coordinateBytes } from '#shared/x509/ec-spki.ts'
import type { TpmAttribute } from './constants.ts'
import { endorsementPolicy, orPolicy } from './policy.ts'
import type { EccPublic, KeyedHashPublic, RsaPublic, TpmPublic, TpmSymmetric } from './public.ts'
import { malformedTpm } from './wire.ts'

export interface EndorsementTemplate {
  /** the certificate's index in the TPM's non-volatile memory */
  readonly certificateIndex: number
  readonly area: RsaPublic | EccPublic
  /** where the maker leaves a template of his own, and a nonce for the template; only the low range has them */
  readonly templateIndex: number | undefined
  readonly nonceIndex: number | undefined
  /** the branches of the TPM2_PolicyOR after TPM2_PolicySecret; empty for PolicyA, which needs none */
  readonly policyBranches: readonly Uint8Array[]
}

export type AkAlgorithm = 'ecdsa-p256' | 'rsassa-2048'

const NONE = new Uint8Array()
const AES_128: TpmSymmetric = { algorithm: 'aes', keyBits: 128, mode: 'cfb' }
const AES_256: TpmSymmetric = { algorithm: 'aes', keyBits: 256, mode: 'cfb' }

const FIXED = ['fixedTPM', 'fixedParent', 'sensitiveDataOrigin'] as const
const EK_LOW: ReadonlySet<TpmAttribute> = new Set([...FIXED, 'adminWithPolicy', 'restricted', 'decrypt'])
const EK_HIGH: ReadonlySet<TpmAttribute> = new Set([...EK_LOW, 'userWithAuth'])
// An empty password cannot be guessed at, so that others' failed guesses (the TPM's lockout) need not block these keys: noDA.
const STORAGE: ReadonlySet<TpmAttribute> = new Set([
  ...FIXED,
  'userWithAuth',
  'noDA',
  'restricted',
  'decrypt',
])
const ATTESTATION: ReadonlySet<TpmAttribute> = new Set([
  ...FIXED,
  'userWithAuth',
  'noDA',
  'restricted',
  'sign',
])
const SIGNING: ReadonlySet<TpmAttribute> = new Set([...FIXED, 'userWithAuth', 'noDA', 'sign'])
// Data from outside does not originate in the TPM: sensitiveDataOrigin is clear.
const SEALED: ReadonlySet<TpmAttribute> = new Set(['fixedTPM', 'fixedParent', 'userWithAuth', 'noDA'])

// EK Credential Profile 2.5, B.6.5: PolicyC, the digest of TPM2_PolicyAuthorizeNV for the index that the platform's owner may use.
const POLICY_C: Readonly<Record<'sha256' | 'sha384', Uint8Array>> = {
  sha256: Buffer.from('3767e2edd43ff45a3a7e1eaefcef78643dca964632e7aad82c673a30d8633fde', 'hex'),
  sha384: Buffer.from(
    'd6032ce61f2fb3c240eb3cf6a33237ef2b6a16f4293c22b455e261cffd217ad5b4947c2d73e63005eed2dc2b3593d165',
    'hex',
  ),
}

export type EndorsementKind =
  | 'ecc-p256'
  | 'rsa-2048'
  | 'ecc-p384-high'
  | 'ecc-p256-high'
  | 'rsa-2048-high'
  | 'rsa-3072-high'

/** Every endorsement key that ztmesh can use, the preferred first: those on elliptic curves are made the fastest by far. */
export const ENDORSEMENT_TEMPLATES: ReadonlyMap<EndorsementKind, EndorsementTemplate> = new Map([
  // L-2, H-3, H-2
  ['ecc-p256', low(0x01c0_000a, eccEk('P-256', 'low'))],
  ['ecc-p384-high', high(0x01c0_0016, eccEk('P-384', 'high'))],
  ['ecc-p256-high', high(0x01c0_0014, eccEk('P-256', 'high'))],
  // L-1, H-1, H-6
  ['rsa-2048', low(0x01c0_0002, rsaEk(2048, 'low'))],
  ['rsa-2048-high', high(0x01c0_0012, rsaEk(2048, 'high'))],
  ['rsa-3072-high', high(0x01c0_001c, rsaEk(3072, 'high'))],
])

/** `area` with the maker's nonce at the start of its unique field, as B.3.3 wants it. Throws ZT-422-TPM if it is too long. */
export function withNonce(area: RsaPublic | EccPublic, nonce: Uint8Array): RsaPublic | EccPublic {
  const field = new Uint8Array(area.type === 'rsa' ? area.keyBits / 8 : coordinateBytes(area.curve))
  if (nonce.length > field.length) throw malformedTpm('endorsement nonce', `has ${nonce.length} bytes`)
  field.set(nonce)
  if (area.type === 'rsa') return { ...area, unique: field }
  return { ...area, unique: { x: field, y: area.unique.y } }
}

/** The storage root key of the TCG Provisioning Guidance (§7.5.1), on P-256: the parent of everything that ztmesh creates. */
export const STORAGE_PRIMARY: EccPublic = {
  type: 'ecc',
  nameAlg: 'sha256',
  attributes: STORAGE,
  authPolicy: NONE,
  symmetric: AES_128,
  scheme: undefined,
  curve: 'P-256',
  kdf: undefined,
  unique: { x: new Uint8Array(32), y: new Uint8Array(32) },
}

/** A key that signs nothing but what its own TPM attests. */
export function attestationKey(algorithm: AkAlgorithm): TpmPublic {
  if (algorithm === 'ecdsa-p256') return signing(ATTESTATION)
  return {
    type: 'rsa',
    nameAlg: 'sha256',
    attributes: ATTESTATION,
    authPolicy: NONE,
    symmetric: undefined,
    scheme: { algorithm: 'rsassa', hash: 'sha256' },
    keyBits: 2048,
    exponent: 0,
    unique: NONE,
  }
}

/** A P-256 key that signs what it is given, and cannot leave its TPM. */
export function signingKey(): EccPublic {
  return signing(SIGNING)
}

/** Data that only its TPM gives back, to whoever can use the TPM. */
export function sealedData(): KeyedHashPublic {
  return {
    type: 'keyedHash',
    nameAlg: 'sha256',
    attributes: SEALED,
    authPolicy: NONE,
    scheme: undefined,
    unique: NONE,
  }
}

function signing(attributes: ReadonlySet<TpmAttribute>): EccPublic {
  return {
    type: 'ecc',
    nameAlg: 'sha256',
    attributes,
    authPolicy: NONE,
    symmetric: undefined,
    scheme: { algorithm: 'ecdsa', hash: 'sha256' },
    curve: 'P-256',
    kdf: undefined,
    unique: { x: NONE, y: NONE },
  }
}

function low(certificateIndex: number, area: RsaPublic | EccPublic): EndorsementTemplate {
  // The nonce and the template follow the certificate: 0x1c00003 and 4, 0x1c0000b and c.
  const own = { nonceIndex: certificateIndex + 1, templateIndex: certificateIndex + 2 }
  return { certificateIndex, ...own, area, policyBranches: [] }
}

function high(certificateIndex: number, area: RsaPublic | EccPublic): EndorsementTemplate {
  const policyBranches = policyB(area.nameAlg === 'sha256' ? 'sha256' : 'sha384')
  return { certificateIndex, nonceIndex: undefined, templateIndex: undefined, area, policyBranches }
}

function eccEk(curve: 'P-256' | 'P-384', range: 'low' | 'high'): EccPublic {
  const nameAlg = curve === 'P-256' ? 'sha256' : 'sha384'
  // B.3.4: the low range derives its keys from full-length zeros, the high range from nothing.
  const zeros = range === 'low' ? new Uint8Array(32) : NONE
  return {
    type: 'ecc',
    ...ekArea(nameAlg, range),
    symmetric: curve === 'P-256' ? AES_128 : AES_256,
    scheme: undefined,
    curve,
    kdf: undefined,
    unique: { x: zeros, y: zeros },
  }
}

function rsaEk(keyBits: 2048 | 3072, range: 'low' | 'high'): RsaPublic {
  return {
    type: 'rsa',
    ...ekArea(keyBits === 2048 ? 'sha256' : 'sha384', range),
    symmetric: keyBits === 2048 ? AES_128 : AES_256,
    scheme: undefined,
    keyBits,
    exponent: 0,
    unique: range === 'low' ? new Uint8Array(keyBits / 8) : NONE,
  }
}

function ekArea(
  nameAlg: 'sha256' | 'sha384',
  range: 'low' | 'high',
): Pick<TpmPublic, 'nameAlg' | 'attributes' | 'authPolicy'> {
  if (range === 'low') return { nameAlg, attributes: EK_LOW, authPolicy: endorsementPolicy(nameAlg) }
  return { nameAlg, attributes: EK_HIGH, authPolicy: orPolicy(nameAlg, policyB(nameAlg)) }
}

function policyB(hash: 'sha256' | 'sha384'): readonly Uint8Array[] {
  return [endorsementPolicy(hash), POLICY_C[hash]]
}
