// How a root's certificate names its quorum: a certificate policy whose practice statement is named by its digest
// (RFC 6920). Whoever pins the root has thereby pinned the officers who may act under it; validators pass over it.
import { ascii, der, octetString, oid, sequence } from '#shared/x509/der-writer.ts'
import type { Certificate } from '#shared/x509/certificate.ts'
import { readDer, TAG } from '#shared/x509/der.ts'
import { OID } from '#shared/x509/oid.ts'
import { encodeBase64url } from '#shared/encoding/base64url.ts'

const IA5_STRING = 0x16
const EXTENSIONS = 0xa3

/** RFC 5280 §4.2.1.4: anyPolicy with one CPS pointer, not critical. `digest` is 32 octets. */
export function quorumPin(digest: Uint8Array): Uint8Array {
  const uri = der(IA5_STRING, ascii(`ni:///sha-256;${encodeBase64url(digest)}`))
  const policy = sequence(oid(OID.anyPolicy), sequence(sequence(oid(OID.cpsPointer), uri)))
  return sequence(oid(OID.certificatePolicies), octetString(sequence(policy)))
}

/** True if `certificate` names the quorum of that digest, in just this form. */
export function pinsQuorum(certificate: Certificate, digest: Uint8Array): boolean {
  const expected = quorumPin(digest)
  return extensionsOf(certificate).some((found) => Buffer.compare(found, expected) === 0)
}

/** The DER of each extension. */
function extensionsOf({ tbs }: Certificate): Uint8Array[] {
  const fields = readDer(tbs, TAG.sequence, 'certificate')
  let wrapped: Uint8Array | undefined
  while (!fields.done) {
    const { tag, content } = fields.element()
    if (tag === EXTENSIONS) wrapped = content
  }
  if (wrapped === undefined) return []
  const list = readDer(wrapped, TAG.sequence, 'extensions')
  const found: Uint8Array[] = []
  while (!list.done) found.push(list.expect(TAG.sequence).raw)
  return found
}
