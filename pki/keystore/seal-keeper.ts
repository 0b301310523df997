// Who keeps the secret behind a sealing key: this machine's TPM, systemd's credentials, or a file, the strongest first.
// What a folder was sealed by is written in its header and is what opens it; nothing falls back on something weaker.
import { constants, existsSync, fstatSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { base64urlText, literal, object, string, union, type Parser } from '#shared/encoding/shape.ts'
import { ZtError } from '#shared/errors/error.ts'
import { TpmAttester } from '#shared/host/tpm/attester.ts'
import { openTpm } from '#shared/host/tpm/device.ts'
import { keystoreFailed } from './keystore.ts'
import { readPrivateFile } from './private-file.ts'

export const SEAL_METHODS = ['tpm', 'credential', 'file'] as const
export type SealMethod = (typeof SEAL_METHODS)[number]

/** Where the secret of a header is; nothing in it is secret. */
export type SealPlace =
  | { readonly type: 'tpm'; readonly device: string; readonly public: string; readonly private: string }
  | { readonly type: 'credential'; readonly name: string }
  | { readonly type: 'file' }

export interface SealKeeper {
  /** A secret for a new header. Throws ZT-500-KEYSTORE, ZT-503-TPM, ZT-400-CONFIG. */
  make(): Promise<{ readonly place: SealPlace; readonly secret: Uint8Array }>
  /** The secret of a header. Throws as make() does; ZT-400-CONFIG if the configuration names another way. */
  find(place: SealPlace): Promise<Uint8Array>
}

export interface KeeperOptions {
  /** auto: the strongest that this machine has, for a new folder; whatever it was sealed by, for one that exists */
  readonly method: SealMethod | 'auto'
  /** `/dev/…` or `host:port`; `/dev/tpmrm0` unless given */
  readonly tpm?: string
  /** its name; "ztmesh-seal" unless given */
  readonly credential?: string
  /** what systemd says in $CREDENTIALS_DIRECTORY */
  readonly credentialsDir?: string
  readonly secretFile: string
}

const TPM_DEVICE = '/dev/tpmrm0'
const CREDENTIAL = 'ztmesh-seal'
const MAX_SECRET_BYTES = 1024

const credentialName: Parser<string> = string({ max: 64, pattern: /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/ })
export const tpmPlace: Parser<string> = string({
  max: 256,
  pattern: /^(?:\/dev\/[A-Za-z0-9]{1,32}|[A-Za-z0-9.-]{1,200}:[0-9]{1,5})$/,
})

export const parseSealPlace: Parser<SealPlace> = union('type', {
  tpm: object({
    type: literal('tpm'),
    device: tpmPlace,
    public: base64urlText({ min: 1, max: 1024 }),
    private: base64urlText({ min: 1, max: 1024 }),
  }),
  credential: object({ type: literal('credential'), name: credentialName }),
  file: object({ type: literal('file') }),
})

/** A file of its user alone: the weakest keeper, and the only one that every machine has. */
export function fileKeeper(secretFile: string): SealKeeper {
  return keeperOf({ method: 'file', secretFile })
}

export function keeperOf(options: KeeperOptions): SealKeeper {
  return {
    make: () => makeBy(chosenMethod(options), options),
    find: async (place) => {
      requireMethod(place.type, options)
      return findAt(place, options)
    },
  }
}

/** The way in which a new folder would be sealed. */
export function chosenMethod({ method, tpm, credential, credentialsDir }: KeeperOptions): SealMethod {
  if (method !== 'auto') return method
  // A TPM that is there and fails is a failure, not a reason to use something weaker.
  if (tpm !== undefined || existsSync(TPM_DEVICE)) return 'tpm'
  const named = credentialsDir === undefined ? undefined : join(credentialsDir, credential ?? CREDENTIAL)
  return named !== undefined && existsSync(named) ? 'credential' : 'file'
}

/** True if `next` keeps a secret worse than `held` does. */
export function isWeaker(next: SealMethod, held: SealMethod): boolean {
  return SEAL_METHODS.indexOf(next) > SEAL_METHODS.indexOf(held)
}

function requireMethod(sealedBy: SealMethod, { method }: KeeperOptions): void {
  if (method === 'auto' || method === sealedBy) return
  throw new ZtError(
    'ZT-400-CONFIG',
    `the keys are sealed by ${sealedBy}, and the configuration says ${method}: \`hub reseal\` changes it`,
  )
}

async function makeBy(
  method: SealMethod,
  options: KeeperOptions,
): Promise<{ place: SealPlace; secret: Uint8Array }> {
  switch (method) {
    case 'tpm':
      return makeInTpm(options.tpm ?? TPM_DEVICE)
    case 'credential': {
      const place = { type: 'credential', name: options.credential ?? CREDENTIAL } as const
      return { place, secret: await findAt(place, options) }
    }
    case 'file':
      return { place: { type: 'file' }, secret: await findAt({ type: 'file' }, options) }
  }
}

async function findAt(place: SealPlace, options: KeeperOptions): Promise<Uint8Array> {
  switch (place.type) {
    case 'tpm':
      return findInTpm(place, options.tpm ?? place.device)
    case 'credential':
      return readCredential(place.name, options.credentialsDir)
    case 'file':
      return readPrivateFile(options.secretFile, 'seal secret file', MAX_SECRET_BYTES)
  }
}

// The secret leaves the TPM for this process alone, and only on the machine whose TPM it is: what is in the header can be
// loaded by no other.
async function makeInTpm(device: string): Promise<{ place: SealPlace; secret: Uint8Array }> {
  const secret = Buffer.from(randomSecret())
  const blob = await withTpm(device, (tpm) => tpm.seal(secret))
  const place: SealPlace = {
    type: 'tpm',
    device,
    public: encodeBase64url(blob.public),
    private: encodeBase64url(blob.private),
  }
  return { place, secret }
}

async function findInTpm(place: SealPlace & { readonly type: 'tpm' }, device: string): Promise<Uint8Array> {
  const blob = {
    public: decodeBase64url(place.public, 'public'),
    private: decodeBase64url(place.private, 'private'),
  }
  try {
    return await withTpm(device, (tpm) => tpm.unseal(blob))
  } catch (error) {
    throw keystoreFailed('the TPM does not open the sealing key: it is of another machine, or gone', error)
  }
}

async function withTpm<T>(place: string, use: (tpm: TpmAttester) => Promise<T>): Promise<T> {
  const device = openTpm(tpmAddress(place))
  try {
    const tpm = await TpmAttester.open(device)
    try {
      return await use(tpm)
    } finally {
      await tpm.close()
    }
  } finally {
    await device.close()
  }
}

function tpmAddress(place: string): { path: string } | { host: string; port: number } {
  if (place.startsWith('/')) return { path: place }
  const [host = '', port = ''] = place.split(':')
  return { host, port: Number(port) }
}

// systemd.exec(5): credentials are files of root that an access list lets the service read, so their mode may show group
// bits; nobody else can read them, and nobody at all can write them.
async function readCredential(name: string, dir: string | undefined): Promise<Uint8Array> {
  if (dir === undefined)
    throw keystoreFailed(
      `the keys are sealed by the credential "${name}", and $CREDENTIALS_DIRECTORY is not set`,
    )
  const handle = await openCredential(join(dir, name), name)
  try {
    const stats = fstatSync(handle.fd)
    const own = stats.uid === 0 || stats.uid === process.geteuid?.()
    if (!stats.isFile() || !own || (stats.mode & 0o027) !== 0)
      throw new ZtError('ZT-400-CONFIG', `credential "${name}" can be read by others, or changed`)
    const bytes = new Uint8Array(MAX_SECRET_BYTES + 1)
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, 0)
    if (bytesRead > MAX_SECRET_BYTES) throw keystoreFailed(`credential "${name}" is too large`)
    return bytes.subarray(0, bytesRead)
  } finally {
    await handle.close()
  }
}

async function openCredential(path: string, name: string): ReturnType<typeof open> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    throw keystoreFailed(`credential "${name}" cannot be read`, error)
  }
}

/** 256 random bits, which say so: they need no stretching. */
export function randomSecret(): string {
  return `zt-seal-1:${encodeBase64url(randomBytes(32))}`
}
