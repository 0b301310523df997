// Signatures of TPM vendors' certificates: RSA PKCS#1 v1.5, RSA-PSS or ECDSA, each with SHA-256, SHA-384 or SHA-512 and
// parameters in their one form. SHA-1 is no signature any more, whoever still has a root with it.
import { constants, verify } from 'node:crypto'
import { malformed, readDer, TAG, type DerReader } from '#shared/x509/der.ts'
import type { CertificateKey } from './certificate-key.ts'

type Hash = 'sha256' | 'sha384' | 'sha512'

export interface SignatureScheme {
  readonly padding: 'pkcs1' | 'pss' | 'ecdsa'
  readonly hash: Hash
}

const RSA_PSS = '1.2.840.113549.1.1.10'
const MGF1 = '1.2.840.113549.1.1.8'

const SCHEMES: ReadonlyMap<string, SignatureScheme> = new Map<string, SignatureScheme>([
  ['1.2.840.113549.1.1.11', { padding: 'pkcs1', hash: 'sha256' }],
  ['1.2.840.113549.1.1.12', { padding: 'pkcs1', hash: 'sha384' }],
  ['1.2.840.113549.1.1.13', { padding: 'pkcs1', hash: 'sha512' }],
  ['1.2.840.10045.4.3.2', { padding: 'ecdsa', hash: 'sha256' }],
  ['1.2.840.10045.4.3.3', { padding: 'ecdsa', hash: 'sha384' }],
  ['1.2.840.10045.4.3.4', { padding: 'ecdsa', hash: 'sha512' }],
])

const HASHES: ReadonlyMap<string, Hash> = new Map([
  ['2.16.840.1.101.3.4.2.1', 'sha256'],
  ['2.16.840.1.101.3.4.2.2', 'sha384'],
  ['2.16.840.1.101.3.4.2.3', 'sha512'],
])

const HASH_BYTES: Readonly<Record<Hash, number>> = { sha256: 32, sha384: 48, sha512: 64 }

/** Reads a DER AlgorithmIdentifier. Throws ZT-422-CERT for every algorithm that is not one of ours. */
export function readSignatureScheme(algorithm: Uint8Array): SignatureScheme {
  const fields = readDer(algorithm, TAG.sequence, 'certificate signature algorithm')
  const id = fields.oid()
  if (id === RSA_PSS) return readPss(fields)
  const scheme = SCHEMES.get(id)
  if (scheme === undefined) throw bad('is not one that is accepted')
  // RFC 4055 §5: NULL for RSA; RFC 5758 §3.2: nothing at all for ECDSA.
  if (scheme.padding === 'pkcs1' && fields.next(TAG.null).length !== 0) throw bad('has parameters')
  fields.end()
  return scheme
}

/** True if `issuer` made `signature` over `data` by this scheme; false as well if the scheme is not one of its key. */
export function signatureHolds(
  { scheme, issuer }: { readonly scheme: SignatureScheme; readonly issuer: CertificateKey },
  data: Uint8Array,
  signature: Uint8Array,
): boolean {
  const { padding, hash } = scheme
  if ((padding === 'ecdsa') === (issuer.type === 'rsa')) return false
  const { key } = issuer
  if (padding === 'ecdsa') return verify(hash, data, { key, dsaEncoding: 'der' }, signature)
  if (padding === 'pkcs1') return verify(hash, data, { key, padding: constants.RSA_PKCS1_PADDING }, signature)
  const options = { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: HASH_BYTES[hash] }
  return verify(hash, data, options, signature)
}

// RFC 4055 §3.1. Every default is SHA-1, so hash, mask and salt length have to be there; the trailer has one value only,
// which DER leaves out.
function readPss(fields: DerReader): SignatureScheme {
  const parameters = fields.enter(TAG.sequence)
  fields.end()
  const hash = readHash(parameters.enter(0xa0))
  const mask = parameters.enter(0xa1)
  const generator = mask.enter(TAG.sequence)
  mask.end()
  if (generator.oid() !== MGF1 || readHash(generator) !== hash)
    throw bad('has another mask than MGF1 with its hash')
  const salt = parameters.enter(0xa2)
  if (salt.smallInteger() !== HASH_BYTES[hash]) throw bad('has a salt of another length than its hash')
  salt.end()
  parameters.end()
  return { padding: 'pss', hash }
}

function readHash(outer: DerReader): Hash {
  const fields = outer.enter(TAG.sequence)
  outer.end()
  const hash = HASHES.get(fields.oid())
  if (hash === undefined) throw bad('has a hash that is not accepted')
  // RFC 4055 §2.1: implementations MUST accept both NULL and no parameters.
  if (!fields.done && fields.next(TAG.null).length !== 0) throw bad('has a hash with parameters')
  fields.end()
  return hash
}

function bad(what: string): Error {
  return malformed('certificate signature algorithm', what)
}
