// Reads the certificates that the configuration names: whom an EK must chain to, and nobody else.
import { readFileSync } from 'node:fs'
import { ZtError } from '#shared/errors/error.ts'
import { certificatesFromPem } from '#shared/x509/pem.ts'
import { readConfiguredAuthority, type EkCertificate } from '../attestation/ek-certificate.ts'
import type { EndorsementTrust } from '../attestation/endorsement.ts'
import type { TpmConfig } from '../tpm-config.ts'

/** Throws ZT-400-CONFIG for a file that cannot be read, holds no certificate, or holds one that cannot be used. */
export function readTpmTrust({ roots, intermediates, allowEk, denyEk }: TpmConfig): EndorsementTrust {
  return {
    roots: roots.flatMap(readAuthorities),
    intermediates: intermediates.flatMap(readAuthorities),
    denied: new Set(denyEk),
    ...(allowEk !== undefined && { allowed: new Set(allowEk) }),
  }
}

function readAuthorities(file: string): EkCertificate[] {
  const certificates = readPem(file)
  if (certificates.length === 0)
    throw new ZtError('ZT-400-CONFIG', `configuration: tpm: ${file} holds no certificate`)
  return certificates.map((der) => readConfiguredAuthority(der, file))
}

function readPem(file: string): Uint8Array[] {
  try {
    return certificatesFromPem(readFileSync(file, 'utf8'))
  } catch (cause) {
    throw new ZtError('ZT-400-CONFIG', `configuration: tpm: ${file} cannot be read`, { cause })
  }
}
