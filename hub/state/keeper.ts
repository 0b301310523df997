// Who keeps the secret of this hub's keys, as its configuration, its surroundings and what it was made with say.
import { join } from 'node:path'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { ZtError } from '#shared/errors/error.ts'
import { findPrivateFile } from '#pki/keystore/private-file.ts'
import { parseSealHeader, placeOfHeader, type SealHeader } from '#pki/keystore/seal.ts'
import { keeperOf, type KeeperOptions, type SealKeeper } from '#pki/keystore/seal-keeper.ts'
import type { HubConfig } from '../config.ts'

const MAX_HEADER_BYTES = 16 * 1024

export function headerFile(stateDir: string): string {
  return join(stateDir, 'seal.json')
}

/** The header in `file`, or undefined if there is none. Throws ZT-400-CONFIG, ZT-422-SCHEMA. */
export async function readSealHeader(file: string): Promise<SealHeader | undefined> {
  const text = await findPrivateFile(file, 'sealing header', MAX_HEADER_BYTES)
  return text === undefined
    ? undefined
    : parseSealHeader(parseStrictJson(text, { maxBytes: MAX_HEADER_BYTES }), '')
}

/** The header of a hub that was made. Throws ZT-400-CONFIG if there is none. */
export async function requireSealHeader(stateDir: string): Promise<SealHeader> {
  const header = await readSealHeader(headerFile(stateDir))
  if (header !== undefined) return header
  throw new ZtError('ZT-400-CONFIG', 'sealing header does not exist: `hub init` makes the state of a hub')
}

export function keeperOptions({ seal, sealKeyFile }: HubConfig): KeeperOptions {
  // systemd.exec(5): set for a unit with LoadCredential= or LoadCredentialEncrypted=; it names a folder and is no secret.
  const credentialsDir = process.env['CREDENTIALS_DIRECTORY']
  return {
    ...seal,
    secretFile: sealKeyFile,
    ...(credentialsDir !== undefined && { credentialsDir }),
  }
}

/**
 * For everything that this hub seals. What is made later is sealed as the state itself was: a verb that is run outside
 * of the service, where there is no credential, makes nothing that a file alone would open.
 */
export async function hubKeeper(config: HubConfig): Promise<SealKeeper> {
  const options = keeperOptions(config)
  const header = await readSealHeader(headerFile(config.stateDir))
  if (header === undefined || options.method !== 'auto') return keeperOf(options)
  const place = placeOfHeader(header)
  return keeperOf({
    ...options,
    method: place.type,
    ...(place.type === 'tpm' && { tpm: place.device }),
    ...(place.type === 'credential' && { credential: place.name }),
  })
}
