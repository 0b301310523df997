// A file with one certificate in it.
import { parseCertificate, type Certificate } from '#shared/x509/certificate.ts'
import { certificatesFromPem } from '#shared/x509/pem.ts'
import { readAs, refuse } from './fields.ts'

/** The certificate of a PEM file; ZT-422-CEREMONY naming `what` unless there is exactly one. */
export function certificateOf(content: Uint8Array, what: string): Certificate {
  return readAs(what, () => {
    const [der, second] = certificatesFromPem(Buffer.from(content).toString('latin1'))
    if (der === undefined || second !== undefined) throw refuse('does not hold one certificate')
    return parseCertificate(der)
  })
}
