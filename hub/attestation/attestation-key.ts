// T4: that a public area is one of a key which signs nothing but what its own TPM attests, and which cannot leave that TPM. That
// the key is in a TPM at all is proved by activation.ts: attributes are only words until then.
import { parseCreationData } from '#shared/tpm/attest.ts'
import { TAG, type TpmAttribute } from '#shared/tpm/constants.ts'
import { digest, type TpmHash } from '#shared/tpm/hash.ts'
import { nameOf, parsePublic2b, type TpmPublic } from '#shared/tpm/public.ts'
import { spkiOfPublic } from '#shared/tpm/spki.ts'
import { openAttested } from './attested.ts'
import { MAX_CREATION_BYTES, MAX_PUBLIC_BYTES, type AkEvidence } from './evidence.ts'
import { refuse, requireSize } from './refusal.ts'
import { isWeakModulus } from './weak-rsa.ts'

export interface VerifiedAk {
  /** computed here from the public area, never taken from the peer */
  readonly name: Uint8Array
  readonly public: TpmPublic
  /** DER SubjectPublicKeyInfo: the `device` of a TPM node */
  readonly spki: Uint8Array
}

const REQUIRED: readonly TpmAttribute[] = [
  'fixedTPM',
  'fixedParent',
  'sensitiveDataOrigin',
  'restricted',
  'sign',
]
// decrypt: an EK or storage key is no AK. encryptedDuplication contradicts fixedTPM. x509sign signs what is no attestation.
const FORBIDDEN: readonly TpmAttribute[] = ['decrypt', 'encryptedDuplication', 'x509sign']
const ACCEPTED_HASHES: readonly (TpmHash | undefined)[] = ['sha256', 'sha384', 'sha512']
const ACCEPTED_SCHEMES: readonly string[] = ['rsassa', 'rsapss', 'ecdsa']
const MIN_RSA_BITS = 2048

/**
 * T4 over the public area, and over the evidence of its creation if there is some: then `extraData` must be what that
 * evidence is bound to. Throws ZT-401-TPM-AK with details.reason, ZT-401-TPM-CREATION, what openAttested() throws,
 * ZT-413-SIZE and ZT-422-TPM.
 */
export function verifyAk(evidence: AkEvidence, extraData?: Uint8Array): VerifiedAk {
  requireSize(evidence.public, MAX_PUBLIC_BYTES, 'the AK')
  const area = parsePublic2b(evidence.public)
  requireAttestationForm(area)
  const ak = Object.freeze({ name: nameOf(area), public: area, spki: spkiOfPublic(area) })
  if (evidence.creation !== undefined) requireCreation(evidence, { ak, extraData })
  return ak
}

function requireAttestationForm(area: TpmPublic): void {
  const refused = (reason: string, what: string): Error => refuse('ZT-401-TPM-AK', reason, `the AK ${what}`)
  for (const attribute of REQUIRED)
    if (!area.attributes.has(attribute)) throw refused(attribute, `lacks the attribute ${attribute}`)
  for (const attribute of FORBIDDEN)
    if (area.attributes.has(attribute)) throw refused(attribute, `has the attribute ${attribute}`)
  if (area.type === 'keyedHash') throw refused('type', 'is not an asymmetric key')
  if (area.type === 'rsa' && area.keyBits < MIN_RSA_BITS)
    throw refused('key-bits', `is an RSA key of ${area.keyBits} bits`)
  if (area.type === 'rsa' && isWeakModulus(area.unique))
    throw refused('weak-key', 'can be factored (CVE-2017-15361)')
  if (area.symmetric !== undefined) throw refused('symmetric', 'has a cipher, as only decryption keys do')
  // Without a scheme of its own the key would sign by whichever one its holder names (T6: alg and hash equal to the AK's).
  if (area.scheme === undefined || !ACCEPTED_SCHEMES.includes(area.scheme.algorithm))
    throw refused('scheme', 'has no accepted signature scheme')
  if (!ACCEPTED_HASHES.includes(area.scheme.hash)) throw refused('hash', 'signs with a hash that is too weak')
  if (!ACCEPTED_HASHES.includes(area.nameAlg))
    throw refused('name-hash', 'is named by a hash that is too weak')
}

interface Created {
  readonly ak: VerifiedAk
  readonly extraData: Uint8Array | undefined
}

/** TPM2_CertifyCreation (Part 3 §18.3): the AK says of itself how it was made. */
function requireCreation({ creation }: AkEvidence, { ak, extraData }: Created): void {
  if (creation === undefined) return
  const { data, ...signed } = creation
  const { attested } = openAttested(signed, {
    ak,
    type: TAG.attestCreation,
    extraData: extraData ?? new Uint8Array(),
  })
  if (attested.kind !== 'creation' || Buffer.compare(attested.objectName, ak.name) !== 0)
    throw refuse('ZT-401-TPM-CREATION', 'name', 'the evidence of creation is that of another object')
  requireSize(data, MAX_CREATION_BYTES, 'the creation data')
  if (Buffer.compare(attested.creationHash, digest(ak.public.nameAlg, data)) !== 0)
    throw refuse('ZT-401-TPM-CREATION', 'hash', 'the creation data are not those that were certified')
  parseCreationData(data)
}
