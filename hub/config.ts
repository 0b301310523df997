// One strict JSON file says all there is to say about a hub. A bad file stops the hub; nothing is guessed, and secrets
// are named by the file that holds them. Relative paths are relative to the configuration file.
import { readFileSync } from 'node:fs'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import {
  array,
  integer,
  object,
  oneOf,
  optional,
  parsed,
  string,
  type ObjectOf,
  type Parser,
} from '#shared/encoding/shape.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { ZtError } from '#shared/errors/error.ts'
import {
  isName,
  parseOperatorName,
  parseTrustDomain,
  type OperatorName,
  type TrustDomain,
} from '#shared/identity/names.ts'
import { hubId, natsId, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import { tpmPlace, type SealMethod } from '#pki/keystore/seal-keeper.ts'
import {
  endpointConfig,
  endpointField,
  relationConfigs,
  relationsField,
  type BundleEndpointConfig,
  type RelationConfig,
} from './federation/config.ts'
import { tpmConfigField, tpmConfigOf, type TpmConfig } from './tpm-config.ts'

export interface OperatorConfig {
  readonly name: OperatorName
  /** the account on the hub's machine that proves it is this operator */
  readonly uid: number
  readonly roles: readonly string[]
}

export interface ListenConfig {
  readonly host: string
  readonly port: number
}

export interface PeriodConfig {
  /** life of an SVID, seconds */
  readonly svidTtlS: number
  /** life of the hub's own SVID, seconds */
  readonly hubSvidTtlS: number
  /** a node whose last anchor is older gets no tokens, seconds */
  readonly anchorMaxAgeS: number
  /** how often an idle hub writes a heartbeat row, seconds */
  readonly heartbeatS: number
}

/** How the secret behind the hub's keys is kept; see KeeperOptions. */
export interface SealConfig {
  readonly method: SealMethod | 'auto'
  readonly tpm?: string
  readonly credential?: string
}

export interface HubConfig {
  readonly trustDomain: TrustDomain
  readonly id: SpiffeId
  readonly natsId: SpiffeId
  readonly listen: ListenConfig
  /** where others reach the hub */
  readonly url: string
  readonly dnsNames: readonly string[]
  readonly stateDir: string
  readonly sealKeyFile: string
  readonly seal: SealConfig
  readonly bundleFile: string
  /** SHA-256 of the root certificate, hex: the trust that the bundle is opened with. Not known before the ceremony. */
  readonly root: string | undefined
  readonly nats: ListenConfig & { readonly url: string; readonly binary: string; readonly dir: string }
  readonly loginDir: string
  readonly operators: readonly OperatorConfig[]
  readonly policyFile: string | undefined
  /** which TPMs count; undefined: no evidence of a TPM is taken */
  readonly tpm: TpmConfig | undefined
  readonly periods: PeriodConfig
  /** where our bundle is served to other trust domains; undefined: nowhere */
  readonly bundleEndpoint: BundleEndpointConfig | undefined
  /** the trust domains whose bundles are fetched */
  readonly federation: readonly RelationConfig[]
}

const MAX_BYTES = 256 * 1024

const pathText = string({ min: 1, max: 4096 })
const host = string({ min: 1, max: 253, pattern: /^[A-Za-z0-9.:-]+$/ })
const port = integer({ min: 1, max: 65_535 })
const dnsName = string({ min: 1, max: 253, pattern: /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/ })

const name: Parser<string> = (value, path) => {
  if (isName(value)) return value
  throw new ZtError('ZT-422-SCHEMA', `field "${path}" must be a name: a-z, 0-9 and inner hyphens`)
}

const url = (scheme: 'https:' | 'tls:'): Parser<string> =>
  parsed((value) => {
    const text = string({ min: 1, max: 300 })(value, 'url')
    const bare = URL.canParse(text) && new RegExp(`^${scheme}//[^/?#@]+$`).test(text)
    if (!bare) throw new ZtError('ZT-422-SCHEMA', `must be ${scheme}//HOST:PORT and nothing more`)
    return text
  })

const AUTO_SEAL: SealConfig = { method: 'auto' }

const parseSealObject = object({
  tpm: optional(tpmPlace),
  credential: optional(string({ max: 64, pattern: /^[A-Za-z0-9_-]+$/ })),
})

const sealField: Parser<SealConfig> = (value, path) => {
  if (typeof value === 'string') return { method: oneOf(['auto', 'file'])(value, path) }
  const { tpm, credential } = parseSealObject(value, path)
  if (tpm !== undefined && credential === undefined) return { method: 'tpm', tpm }
  if (credential !== undefined && tpm === undefined) return { method: 'credential', credential }
  throw new ZtError('ZT-422-SCHEMA', `field "${path}" must name a tpm or a credential`)
}

const FIELDS = {
  trustDomain: parsed(parseTrustDomain),
  hub: name,
  listen: object({ host, port }),
  url: optional(url('https:')),
  dnsNames: array(dnsName, { max: 32 }),
  stateDir: pathText,
  sealKeyFile: pathText,
  seal: optional(sealField),
  bundleFile: pathText,
  root: optional(string({ max: 64, pattern: /^[0-9a-f]{64}$/ })),
  nats: object({
    host,
    port,
    binary: pathText,
    // Holds the broker's private key while it runs: a place on a tmpfs is best.
    dir: optional(pathText),
    url: optional(url('tls:')),
  }),
  loginDir: pathText,
  operators: array(
    object({
      name: parsed(parseOperatorName),
      uid: integer({ min: 0, max: 4_294_967_294 }),
      roles: array(name, { max: 16 }),
    }),
    { max: 1000 },
  ),
  policyFile: optional(pathText),
  tpm: optional(tpmConfigField),
  // The life of an SVID is the longest that a revoked one could go unnoticed, so it can be shortened only.
  svidTtlS: optional(integer({ min: 4, max: 300 })),
  // Whoever asks the hub has its key for as long as that lives.
  hubSvidTtlS: optional(integer({ min: 10, max: 300 })),
  anchorMaxAgeS: optional(integer({ min: 2, max: 60 })),
  heartbeatS: optional(integer({ min: 1, max: 3600 })),
  bundleEndpoint: optional(endpointField),
  federation: optional(relationsField),
} as const

/** Names of all fields, for the page that explains them. */
export const CONFIG_FIELDS: readonly string[] = Object.keys(FIELDS)

const parseFile: Parser<ObjectOf<typeof FIELDS>> = object(FIELDS)

function refuse(message: string, cause?: unknown): ZtError {
  return new ZtError('ZT-400-CONFIG', `configuration: ${message}`, { cause })
}

function requireDistinct(operators: readonly OperatorConfig[]): void {
  const names = new Set(operators.map((operator) => operator.name))
  const uids = new Set(operators.map((operator) => operator.uid))
  // Two operators of one account would each be able to act as the other.
  if (names.size !== operators.length || uids.size !== operators.length)
    throw refuse('operators must have names and uids of their own')
}

const withBrackets = (address: string): string => (address.includes(':') ? `[${address}]` : address)

const urlOf = (scheme: string, { host: address, port: number }: ListenConfig): string =>
  `${scheme}://${withBrackets(address)}:${number}`

function place(base: string, path: string): string {
  return isAbsolute(path) ? path : resolve(base, path)
}

/** Makes a configuration of the text of a file that lies in `base`. Throws ZT-400-CONFIG naming the field. */
export function parseConfig(text: string | Uint8Array, base: string): HubConfig {
  const file = readFields(text)
  requireDistinct(file.operators)
  const at = (path: string): string => place(base, path)
  const { listen, nats } = file
  return Object.freeze({
    trustDomain: file.trustDomain,
    id: hubId(file.trustDomain, file.hub),
    natsId: natsId(file.trustDomain, file.hub),
    listen,
    url: file.url ?? urlOf('https', listen),
    dnsNames: file.dnsNames,
    stateDir: at(file.stateDir),
    sealKeyFile: at(file.sealKeyFile),
    seal: file.seal ?? AUTO_SEAL,
    bundleFile: at(file.bundleFile),
    root: file.root,
    nats: {
      ...nats,
      binary: binaryOf(nats.binary, at),
      dir: at(nats.dir ?? join(file.stateDir, 'nats')),
      url: nats.url ?? urlOf('tls', nats),
    },
    loginDir: loginPlace(at(file.loginDir)),
    operators: file.operators,
    policyFile: file.policyFile === undefined ? undefined : at(file.policyFile),
    tpm: file.tpm === undefined ? undefined : tpmConfigOf(file.tpm, at),
    periods: {
      svidTtlS: file.svidTtlS ?? 300,
      hubSvidTtlS: file.hubSvidTtlS ?? 300,
      anchorMaxAgeS: file.anchorMaxAgeS ?? 60,
      heartbeatS: file.heartbeatS ?? 30,
    },
    bundleEndpoint: file.bundleEndpoint && endpointConfig(file.bundleEndpoint, at),
    federation: relationsOf(file, at),
  })
}

function relationsOf(
  { trustDomain, federation = [] }: ReturnType<typeof parseFile>,
  at: (path: string) => string,
): readonly RelationConfig[] {
  try {
    return relationConfigs(trustDomain, federation, at)
  } catch (cause) {
    throw refuse(cause instanceof Error ? cause.message : 'field "federation" is refused', cause)
  }
}

// Clients are told this path, and take no other characters from a hub (see parseLoginChallenge).
function loginPlace(path: string): string {
  if (/^(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9._-]+)+$/.test(path)) return path
  throw refuse('loginDir must be a path of letters, digits, dots, hyphens and underscores')
}

/** The pinned root. Throws ZT-400-CONFIG while the configuration does not have it. */
export function requireRoot(config: HubConfig): string {
  if (config.root !== undefined) return config.root
  throw refuse('root is missing: the fingerprint of the root that the ceremony made')
}

// A bare name is looked up on PATH by whoever starts it; anything with a slash is a place.
function binaryOf(binary: string, at: (path: string) => string): string {
  return binary.includes('/') ? at(binary) : binary
}

function readFields(text: string | Uint8Array): ReturnType<typeof parseFile> {
  try {
    return parseFile(parseStrictJson(text, { maxBytes: MAX_BYTES }), '')
  } catch (cause) {
    throw refuse(cause instanceof Error ? cause.message : 'not readable', cause)
  }
}

/** Reads and parses a configuration file. Throws ZT-400-CONFIG. */
export function readConfig(path: string): HubConfig {
  let text: Uint8Array
  try {
    text = readFileSync(path)
  } catch (cause) {
    throw refuse(`the file ${path} cannot be read`, cause)
  }
  return parseConfig(text, dirname(resolve(path)))
}
