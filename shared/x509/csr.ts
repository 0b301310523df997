// PKCS#10 requests (RFC 2986) for P-256 keys. Only the key and the proof of its possession ever come out: names and
// extensions that the requester wishes for have no effect (SPIFFE X509-SVID: the authority decides the content).
import { sign, verify, type KeyObject } from 'node:crypto'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import type { P256KeyPair } from '#shared/jose/keys.ts'
import { explicit, oid, sequence, wholeBits } from './der-writer.ts'
import { malformed, readDer, TAG, type DerReader } from './der.ts'
import { ecPublicKey } from './ec-spki.ts'
import { canonicalSignature } from './ecdsa-signature.ts'
import { readName } from './name.ts'
import { OID } from './oid.ts'

export interface VerifiedCsr {
  /** DER SubjectPublicKeyInfo, P-256 */
  readonly spki: Uint8Array
  readonly publicKey: KeyObject
  /** it has a subject or attributes: it wishes for more than its key, and has not got it */
  readonly hasWishes: boolean
}

const MAX_BYTES = 4096
const VERSION_0 = Uint8Array.of(0x02, 0x01, 0x00)
const EMPTY_NAME = sequence()
const NO_ATTRIBUTES = explicit(0)
const ECDSA_WITH_SHA256 = sequence(oid(OID.ecdsaWithSha256))

/** Proves that the requester holds the private key. ZT-422-CSR for anything but DER, P-256, ECDSA with SHA-256. */
export function verifyCsr(der: Uint8Array): VerifiedCsr {
  try {
    return readCsr(Uint8Array.from(der))
  } catch (error) {
    if (!isZtError(error)) throw error
    throw new ZtError('ZT-422-CSR', `certificate request is refused: ${error.message}`, { cause: error })
  }
}

/** A request with an empty subject and no attributes: what a client of our authority has to say. */
export function createCsr(keys: P256KeyPair): Uint8Array {
  const info = requestInfo(keys.spki)
  return assemble(info, sign('sha256', info, { key: keys.privateKey, dsaEncoding: 'ieee-p1363' }))
}

/** The same with a key that may be in a module: `signWith` gives ECDSA with SHA-256, `r || s`. */
export async function createCsrWith(
  spki: Uint8Array,
  signWith: (data: Uint8Array) => Promise<Uint8Array>,
): Promise<Uint8Array> {
  const info = requestInfo(spki)
  return assemble(info, await signWith(info))
}

function requestInfo(spki: Uint8Array): Uint8Array {
  return sequence(VERSION_0, EMPTY_NAME, spki, NO_ATTRIBUTES)
}

function assemble(info: Uint8Array, signature: Uint8Array): Uint8Array {
  return sequence(info, ECDSA_WITH_SHA256, wholeBits(canonicalSignature(signature, 'P-256')))
}

function readCsr(der: Uint8Array): VerifiedCsr {
  if (der.length > MAX_BYTES) throw malformed('request', 'is over 4096 bytes')
  const outer = readDer(der, TAG.sequence, 'request')
  const info = outer.expect(TAG.sequence)
  const algorithm = outer.expect(TAG.sequence)
  const signature = outer.wholeBits()
  outer.end()
  const { spki, hasWishes } = readInfo(outer.inside(info.content))
  const publicKey = ecPublicKey(spki, 'P-256')
  if (Buffer.compare(algorithm.raw, ECDSA_WITH_SHA256) !== 0) {
    throw malformed('request', 'is not signed with ECDSA and SHA-256')
  }
  if (!verify('sha256', info.raw, { key: publicKey, dsaEncoding: 'der' }, signature)) {
    throw malformed('request', 'has a signature that does not verify')
  }
  return { spki, publicKey, hasWishes }
}

function readInfo(info: DerReader): Pick<VerifiedCsr, 'spki' | 'hasWishes'> {
  if (info.smallInteger() !== 0) throw malformed('request', 'is not of version 1')
  const subject = readName(info.enter(TAG.sequence))
  const spki = info.expect(TAG.sequence).raw
  // RFC 2986 §4.1: the attributes are there, if only as an empty set.
  const attributes = info.enter(0xa0)
  const hasWishes = !subject.empty || !attributes.done
  while (!attributes.done) attributes.enter(TAG.sequence)
  info.end()
  return { spki, hasWishes }
}
