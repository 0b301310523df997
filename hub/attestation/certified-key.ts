// T9: that the key of an SVID was made in the TPM of the AK and cannot leave it.
import { TAG, type TpmAttribute } from '#shared/tpm/constants.ts'
import { nameOf, parsePublic2b } from '#shared/tpm/public.ts'
import { spkiOfPublic } from '#shared/tpm/spki.ts'
import { openAttested, type AttestExpectation } from './attested.ts'
import { MAX_PUBLIC_BYTES, type CertifiedKeyEvidence } from './evidence.ts'
import { refuse, requireSize } from './refusal.ts'

export interface CertifiedKeyExpectation extends Omit<AttestExpectation, 'type'> {
  /** DER SubjectPublicKeyInfo of the key that the SVID is asked for: that of the request */
  readonly spki: Uint8Array
}

const REQUIRED: readonly TpmAttribute[] = ['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'sign']
const FORBIDDEN: readonly TpmAttribute[] = ['restricted', 'decrypt', 'encryptedDuplication', 'x509sign']

/**
 * T9. Throws what openAttested() throws, ZT-401-TPM-CERTIFY with details.reason (`key`: not the key of the request,
 * `name`: not the certified key, or an attribute), ZT-413-SIZE and ZT-422-TPM.
 */
export function verifyCertifiedKey(evidence: CertifiedKeyEvidence, expected: CertifiedKeyExpectation): void {
  const { attested } = openAttested(evidence, { ...expected, type: TAG.attestCertify })
  requireSize(evidence.public, MAX_PUBLIC_BYTES, 'the certified key')
  const area = parsePublic2b(evidence.public)
  const refused = (reason: string, what: string): Error =>
    refuse('ZT-401-TPM-CERTIFY', reason, `the certified key ${what}`)
  // The name is computed here: what the evidence calls the key does not count.
  if (attested.kind !== 'certify' || Buffer.compare(attested.name, nameOf(area)) !== 0)
    throw refused('name', 'is not the one that the AK certified')
  for (const attribute of REQUIRED)
    if (!area.attributes.has(attribute)) throw refused(attribute, `lacks the attribute ${attribute}`)
  for (const attribute of FORBIDDEN)
    if (area.attributes.has(attribute)) throw refused(attribute, `has the attribute ${attribute}`)
  if (Buffer.compare(spkiOfPublic(area), expected.spki) !== 0)
    throw refused('key', 'is not the key that the SVID is asked for')
}
