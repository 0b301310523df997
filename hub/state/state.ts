// What a hub has on disk: made once by `hub init`, opened by every start. A hub that finds a part of it missing stops:
// an empty store would have forgotten every revocation, an empty log every decision.
import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { canonicalJson } from '#shared/encoding/canonical-json.ts'
import { ZtError } from '#shared/errors/error.ts'
import { bootId } from '#shared/host/boot-id.ts'
import type { Clock } from '#shared/host/clock.ts'
import { openDurableLog, type DurableLog } from '#shared/host/durable-log.ts'
import { principalOf } from '#shared/identity/spiffe-id.ts'
import { createNoteSigner, type NoteSigner } from '#shared/log/note.ts'
import { createFile, privateFolder } from '#pki/keystore/private-file.ts'
import { createSealSecret, Seal } from '#pki/keystore/seal.ts'
import { chosenMethod } from '#pki/keystore/seal-keeper.ts'
import type { HubConfig } from '../config.ts'
import { openNatsAuthority } from '../nats/authority.ts'
import { createSqliteStore, openSqliteStore } from '../store/sqlite.ts'
import type { HubStore } from '../store/store.ts'
import { headerFile, hubKeeper, keeperOptions, requireSealHeader } from './keeper.ts'
import { SealedFile } from './sealed-file.ts'

export interface HubState {
  readonly seal: Seal
  readonly store: HubStore
  readonly log: DurableLog
  readonly logKey: NoteSigner
  /** where the NATS authority keeps its keys */
  readonly nats: SealedFile
}

interface Places {
  readonly header: string
  readonly store: string
  readonly log: string
  readonly logKey: string
  readonly nats: string
}

function placesOf({ stateDir }: HubConfig): Places {
  return {
    header: headerFile(stateDir),
    store: join(stateDir, 'hub.db'),
    log: join(stateDir, 'log.db'),
    logKey: join(stateDir, 'log-key.sealed'),
    nats: join(stateDir, 'nats-authority.sealed'),
  }
}

function logOrigin({ trustDomain, id }: HubConfig): string {
  return `${trustDomain}/log/hub/${principalOf(id).name}/e1`
}

function openLog(
  config: HubConfig,
  options: { key: KeyObject; clock: Clock; ifMissing: 'create' | 'refuse' },
): {
  log: DurableLog
  logKey: NoteSigner
} {
  const origin = logOrigin(config)
  const logKey = createNoteSigner(origin, options.key)
  const { clock, ifMissing } = options
  const file = placesOf(config).log
  return { log: openDurableLog({ file, origin, signer: logKey, clock, boot: bootId(), ifMissing }), logKey }
}

/**
 * Makes the state of a new hub: sealing header, keys, store, and a log with its first row. Uses the sealing secret that
 * is there, or makes one. Throws ZT-409-EXISTS if any of it exists: nothing is overwritten.
 */
export async function createState(config: HubConfig, clock: Clock): Promise<void> {
  await privateFolder(config.stateDir, 'stateDir')
  const places = placesOf(config)
  for (const [what, path] of Object.entries(places))
    if (existsSync(path))
      throw new ZtError('ZT-409-EXISTS', `the ${what} of this hub exists already: ${path}`)
  const byFile = chosenMethod(keeperOptions(config)) === 'file'
  if (byFile && !existsSync(config.sealKeyFile)) await createSealSecret(config.sealKeyFile)
  const { seal, header } = await Seal.create(await hubKeeper(config))
  // The header comes last of the secrets: if we crash before it, nothing that was made can be opened, and
  // `hub init` says which file is in the way.
  const { privateKey } = generateKeyPairSync('ed25519')
  await new SealedFile(seal, places.logKey).create(privateKey.export({ format: 'der', type: 'pkcs8' }))
  await openNatsAuthority({ store: new SealedFile(seal, places.nats), clock })
  createSqliteStore(places.store)
  await openLog(config, { key: privateKey, clock, ifMissing: 'create' }).log.close()
  await createFile(places.header, canonicalJson(header))
}

async function openSeal(config: HubConfig): Promise<Seal> {
  const header = await requireSealHeader(config.stateDir)
  return Seal.open(await hubKeeper(config), header)
}

async function openLogKey(seal: Seal, path: string): Promise<KeyObject> {
  const der = await new SealedFile(seal, path).load()
  if (der === undefined) throw new ZtError('ZT-404-KEY', 'the key of the log of the hub is missing')
  return createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8' })
}

/**
 * Opens what `hub init` made, for this process alone. Throws ZT-400-CONFIG, ZT-404-KEY, ZT-500-KEYSTORE, ZT-503-STORE,
 * ZT-503-AUDIT, and ZT-490-… if the log was tampered with.
 */
export async function openState(config: HubConfig, clock: Clock): Promise<HubState> {
  const places = placesOf(config)
  const seal = await openSeal(config)
  if (!existsSync(places.nats)) throw new ZtError('ZT-404-KEY', 'the keys of the nats authority are missing')
  const key = await openLogKey(seal, places.logKey)
  const store = openSqliteStore(places.store)
  try {
    const { log, logKey } = openLog(config, { key, clock, ifMissing: 'refuse' })
    return { seal, store, log, logKey, nats: new SealedFile(seal, places.nats) }
  } catch (error) {
    await store.close()
    throw error
  }
}
