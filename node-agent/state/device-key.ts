// The device key: made when the node first joins, and what it proves itself with ever after. P-256, on this disk alone.
import { createPrivateKey, createPublicKey, sign, type KeyObject } from 'node:crypto'

import { ZtError } from '#shared/errors/error.ts'
import { generateP256, isCurve, spkiOf } from '#shared/jose/keys.ts'
import { createSecretFile, readSecretFile } from './secret-file.ts'

export interface DeviceKey {
  /** DER SubjectPublicKeyInfo */
  readonly spki: Uint8Array
  /** ECDSA with SHA-256 over `data`, `r || s` */
  sign(data: Uint8Array): Uint8Array
}

/** The key at `path`, or undefined if this machine has none. ZT-400-CONFIG for a file that is not such a key. */
export function loadDeviceKey(path: string): DeviceKey | undefined {
  const pem = readSecretFile(path)
  return pem === undefined ? undefined : deviceKey(readPrivateKey(pem, path))
}

/** A new key at `path`; ZT-409-EXISTS if there is one. */
export function createDeviceKey(path: string): DeviceKey {
  const { privateKey } = generateP256()
  createSecretFile(path, privateKey.export({ type: 'pkcs8', format: 'pem' }))
  return deviceKey(privateKey)
}

function deviceKey(key: KeyObject): DeviceKey {
  return {
    spki: spkiOf(createPublicKey(key)),
    sign: (data) => sign('sha256', data, { key, dsaEncoding: 'ieee-p1363' }),
  }
}

function readPrivateKey(pem: Buffer, path: string): KeyObject {
  try {
    const key = createPrivateKey(pem)
    if (isCurve(key, 'prime256v1')) return key
  } catch (cause) {
    throw new ZtError('ZT-400-CONFIG', `${path} is not a private key`, { cause })
  }
  throw new ZtError('ZT-400-CONFIG', `${path} is not a P-256 key`)
}
