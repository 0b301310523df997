// Identities whose certificates the real authority would never issue, signed by its real intermediate all the same: what
// somebody could hold who once got at that key, or found a way to be issued the wrong thing.
import { keyIdentifier } from '#pki/issuance/extension.ts'
import { generateP256, thumbprint } from '#shared/jose/keys.ts'
import type { Identity } from '#shared/identity/identity.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { der, integer, oid, sequence, time } from '#shared/x509/der-writer.ts'
import { OID } from '#shared/x509/oid.ts'
import { extension, rawCertificate, wrap } from './raw-certificate.ts'
import type { TestPki } from './test-pki.ts'

export interface BentNames {
  readonly uris: readonly string[]
  readonly dns?: readonly string[]
  /** true unless given */
  readonly sanIsCritical?: boolean
}

const URI = 0x86
const DNS = 0x82
/** DER of a bit string with the digitalSignature bit alone */
const DIGITAL_SIGNATURE = Uint8Array.of(0x03, 0x02, 0x07, 0x80)
const NOT_A_CA = sequence()

/** An identity with exactly these names, whose first URI is what it calls itself. */
export function bentSvid(pki: TestPki, names: BentNames, nowMs: number): Identity {
  const keys = generateP256()
  const { uris, dns = [], sanIsCritical = true } = names
  const san = sequence(
    ...uris.map((uri) => der(URI, Buffer.from(uri))),
    ...dns.map((name) => der(DNS, Buffer.from(name))),
  )
  const [notBefore, notAfter] = [nowMs - 30_000, nowMs + 300_000]
  const leaf = rawCertificate(
    {
      serial: integer(Uint8Array.of(7, 7, 7)),
      issuer: pki.workload.certificate.subjectDer,
      validity: sequence(time(notBefore), time(notAfter)),
      spki: keys.spki,
      extensions: wrap(
        extension(OID.basicConstraints, NOT_A_CA, true),
        extension(OID.keyUsage, DIGITAL_SIGNATURE, true),
        extension(OID.extendedKeyUsage, sequence(oid(OID.serverAuth), oid(OID.clientAuth))),
        extension(OID.subjectAltName, san, sanIsCritical),
        extension(OID.authorityKeyId, sequence(der(0x80, keyIdentifier(pki.workload.certificate.spki)))),
      ),
    },
    pki.workload.key,
  )
  return {
    id: parseSpiffeId(uris[0]),
    chain: [leaf, pki.workload.certificate.der],
    key: keys.privateKey,
    notBefore,
    notAfter,
    thumbprint: thumbprint(leaf),
  }
}
