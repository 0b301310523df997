// Changes who keeps the secret behind a hub's keys. Only the headers are written anew, one after the other: each names
// its keeper, so a crash between them leaves a hub that opens, with one part sealed as before.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { canonicalJson } from '#shared/encoding/canonical-json.ts'
import { ZtError } from '#shared/errors/error.ts'
import { createSealSecret, placeOfHeader, Seal, type SealHeader } from '#pki/keystore/seal.ts'
import { chosenMethod, isWeaker, keeperOf, type SealMethod } from '#pki/keystore/seal-keeper.ts'
import type { HubConfig } from '../config.ts'
import { headerFile, keeperOptions, readSealHeader, requireSealHeader } from './keeper.ts'
import { replaceFile } from './sealed-file.ts'

export interface Resealed {
  readonly from: SealMethod
  readonly to: SealMethod
}

/**
 * Seals what this hub has by what its configuration names now; with `auto`, by the strongest that there is, which may not
 * be weaker than what is in use. Whoever has an old copy of both header and secret still has the key: see operations.md.
 * Throws ZT-400-CONFIG, ZT-500-KEYSTORE, ZT-503-TPM.
 */
export async function resealState(config: HubConfig): Promise<Resealed> {
  const header = await requireSealHeader(config.stateDir)
  const options = keeperOptions(config)
  const [from, to] = [placeOfHeader(header).type, chosenMethod(options)]
  if (options.method === 'auto' && isWeaker(to, from))
    throw new ZtError(
      'ZT-400-CONFIG',
      `${to} is weaker than ${from}: name it in the field "seal" if it is meant`,
    )
  if (to === 'file' && !existsSync(config.sealKeyFile)) await createSealSecret(config.sealKeyFile)
  for (const file of [headerFile(config.stateDir), join(config.stateDir, 'ladder-keys', 'seal.json')]) {
    const held = await readSealHeader(file)
    if (held !== undefined) await reseal(config, file, held)
  }
  return { from, to }
}

async function reseal(config: HubConfig, file: string, held: SealHeader): Promise<void> {
  const options = keeperOptions(config)
  const place = placeOfHeader(held)
  // The address of a TPM that seals from now on is not that of the one which sealed before.
  const { tpm: _tpm, ...without } = options
  const before = keeperOf({ ...(place.type === 'tpm' ? without : options), method: place.type })
  const seal = await Seal.open(before, held)
  const next = await seal.headerFor(keeperOf(options))
  // Opened again before it takes the other's place: a keeper that does not give back what it took would lose the keys.
  await Seal.open(keeperOf({ ...options, method: placeOfHeader(next).type }), next)
  await replaceFile(file, canonicalJson(next))
}
