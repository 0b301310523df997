// Where this machine keeps keys: apart from the ceremony file, so that the file that was rehearsed is the one that runs.
// It names files with secrets and holds none.
import { dirname, resolve } from 'node:path'
import { readFile } from 'node:fs/promises'
import { literal, object, optional, string, union, type Parser } from '#shared/encoding/shape.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import type { KeyStore } from '../keystore/keystore.ts'
import { openPkcs11KeyStore, type Pkcs11Options } from '../keystore/pkcs11.ts'
import { openSealedKeyStore, type SealedFileOptions } from '../keystore/sealed-file.ts'

export type KeyStoreLocation =
  | ({ readonly type: 'pkcs11' } & Omit<Pkcs11Options, 'timeoutMs'>)
  | ({ readonly type: 'sealed-file' } & SealedFileOptions)

const MAX_BYTES = 16 * 1024

const path = string({ min: 1, max: 4096 })
const parseLocal = object({
  v: literal(1),
  keystore: union('type', {
    pkcs11: object({
      type: literal('pkcs11'),
      module: path,
      token: string({ min: 1, max: 32 }),
      pinFile: path,
      softhsmConf: optional(path),
    }),
    'sealed-file': object({ type: literal('sealed-file'), dir: path, secretFile: path }),
  }) satisfies Parser<KeyStoreLocation>,
})

/** Reads the local file; its paths are relative to its own folder. Throws ZT-400-CONFIG. */
export async function readLocal(file: string): Promise<KeyStoreLocation> {
  try {
    const { keystore } = parseLocal(parseStrictJson(await readFile(file), { maxBytes: MAX_BYTES }), '')
    return absolute(keystore, dirname(resolve(file)))
  } catch (error) {
    const why = isZtError(error) ? error.message : 'it cannot be read'
    throw new ZtError('ZT-400-CONFIG', `local file: ${why}`, { cause: error })
  }
}

export function openKeyStore(location: KeyStoreLocation): Promise<KeyStore> {
  return location.type === 'pkcs11' ? openPkcs11KeyStore(location) : openSealedKeyStore(location)
}

/** What a transcript may say about a key store. */
export function describeKeyStore(location: KeyStoreLocation): Record<string, string> {
  return location.type === 'pkcs11'
    ? { keystore: 'pkcs11', module: location.module, token: location.token }
    : { keystore: 'sealed-file' }
}

function absolute(location: KeyStoreLocation, base: string): KeyStoreLocation {
  if (location.type === 'sealed-file') {
    return { ...location, dir: resolve(base, location.dir), secretFile: resolve(base, location.secretFile) }
  }
  const { softhsmConf } = location
  return {
    ...location,
    module: resolve(base, location.module),
    pinFile: resolve(base, location.pinFile),
    ...(softhsmConf === undefined ? {} : { softhsmConf: resolve(base, softhsmConf) }),
  }
}
