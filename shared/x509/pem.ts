// RFC 7468 textual form, for the programs that want it (OpenSSL, TLS servers, people).
import { ZtError } from '#shared/errors/error.ts'
import { decodeBase64, encodeBase64 } from '#shared/encoding/base64url.ts'

const BLOCK = /^-----BEGIN CERTIFICATE-----\n([A-Za-z0-9+/=\n]+)-----END CERTIFICATE-----\n/

/** Certificates one after the other, 64 characters a line. */
export function certificatesToPem(certificates: readonly Uint8Array[]): string {
  return certificates.map((der) => block('CERTIFICATE', der)).join('')
}

/** The certificates of a text that has nothing else in it; ZT-422-CERT otherwise. */
export function certificatesFromPem(text: string): Uint8Array[] {
  const found: Uint8Array[] = []
  for (let rest = text; rest !== '';) {
    const match = BLOCK.exec(rest)
    if (match === null) throw new ZtError('ZT-422-CERT', 'text is not a list of pem certificates')
    found.push(decodeBase64((match[1] ?? '').replaceAll('\n', ''), 'certificate'))
    rest = rest.slice(match[0].length)
  }
  return found
}

function block(label: string, der: Uint8Array): string {
  const lines = encodeBase64(der).match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}
