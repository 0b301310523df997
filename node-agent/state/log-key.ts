// The key that signs the heads of this node's audit log: Ed25519, on this disk alone. It is not the SVID's key, so that
// who can renew an identity cannot rewrite history.
import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto'

import { ZtError } from '#shared/errors/error.ts'
import { createSecretFile, readSecretFile } from './secret-file.ts'

/** The key at `path`, or undefined if there is none. ZT-400-CONFIG for a file that is not such a key. */
export function loadLogKey(path: string): KeyObject | undefined {
  const pem = readSecretFile(path)
  if (pem === undefined) return undefined
  try {
    const key = createPrivateKey(pem)
    if (key.asymmetricKeyType === 'ed25519') return key
  } catch (cause) {
    throw new ZtError('ZT-400-CONFIG', `${path} is not a private key`, { cause })
  }
  throw new ZtError('ZT-400-CONFIG', `${path} is not an ed25519 key`)
}

/** A new key at `path`; ZT-409-EXISTS if there is one. */
export function createLogKey(path: string): KeyObject {
  const { privateKey } = generateKeyPairSync('ed25519')
  createSecretFile(path, privateKey.export({ type: 'pkcs8', format: 'pem' }))
  return privateKey
}
