// Which meshes this user knows, and the pin of each: hub address, hub SPIFFE ID, root fingerprint. The pin is all that
// login trusts, so a file that others could have written is refused.
import { join } from 'node:path'
import { array, literal, object, optional, string, type Parser } from '#shared/encoding/shape.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import { isName, parseTrustDomain } from '#shared/identity/names.ts'
import { parseSpiffeId, principalKind, trustDomainOf, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import type { Environment, Invocation } from '../grammar/invocation.ts'
import { quoted } from '../grammar/usage-error.ts'
import { claimConfigDir, configDir } from './config-dir.ts'
import { readOwned, writeOwned } from './owned-files.ts'

export interface Context {
  readonly name: string
  /** https://host:port */
  readonly hub: string
  readonly hubId: SpiffeId
  readonly td: string
  /** lower-case hex SHA-256 of the root certificate's DER */
  readonly root: string
}

export interface Contexts {
  readonly current: string | undefined
  readonly contexts: readonly Context[]
}

export interface Place {
  readonly env: Environment
  readonly uid: number
}

const FILE = 'contexts.json'
const MAX_BYTES = 64 * 1024
const NONE: Contexts = Object.freeze({ current: undefined, contexts: [] })

const text = string({ min: 1, max: 512 })
const entry = { hub: text, hubId: text, td: optional(text), root: text }
const parseEntry: Parser<RawContext> = object({ name: optional(text), ...entry })
const parseFile: Parser<RawFile> = object({
  apiVersion: literal('ztmesh/v1'),
  kind: literal('Contexts'),
  current: optional(text),
  contexts: array(parseEntry, { max: 100 }),
})

interface RawContext {
  readonly name?: string
  readonly hub: string
  readonly hubId: string
  readonly td?: string
  readonly root: string
}

interface RawFile {
  readonly current?: string
  readonly contexts: readonly RawContext[]
}

/** All contexts of this user. Errors: ZT-400-CONFIG. */
export function readContexts({ env, uid }: Place): Contexts {
  const path = join(configDir(env), FILE)
  const refuse = (fault: string): ZtError => configError(`${path} ${fault}`)
  const bytes = readOwned(path, { uid, maxBytes: MAX_BYTES, readableByOthers: true }, refuse)
  if (bytes === undefined) return NONE
  const file = parsed(() => parseFile(parseStrictJson(bytes, { maxBytes: MAX_BYTES }), ''), path)
  const contexts = file.contexts.map((raw) => checkContext(raw, path))
  return { current: file.current, contexts }
}

/** Adds or replaces a context and makes it the current one. Errors: ZT-400-CONFIG. */
export function saveContext(context: Context, place: Place): void {
  const folder = configDir(place.env)
  claimConfigDir(folder, place.uid)
  const others = readContexts(place).contexts.filter((other) => other.name !== context.name)
  const file = {
    apiVersion: 'ztmesh/v1',
    kind: 'Contexts',
    current: context.name,
    contexts: [...others, context],
  }
  writeOwned(folder, FILE, `${JSON.stringify(file, undefined, 2)}\n`)
}

/** The context that this invocation means: --context, ZTMESH_CONTEXT, else the current one. Errors: ZT-401-SESSION. */
export function currentContext(call: Invocation, place: Place): Context {
  const known = readContexts(place)
  const name = call.flags.one('context') ?? known.current
  const found = known.contexts.find((context) => context.name === name)
  if (found !== undefined) return found
  if (name === undefined) {
    throw new ZtError('ZT-401-SESSION', 'no mesh is known yet', {
      details: {
        hint: 'run `ztctl login --context-file FILE`, or with --hub, --hub-id and --root-fingerprint',
      },
    })
  }
  throw new ZtError('ZT-401-SESSION', `no context is called ${quoted(name)}`, {
    details: { hint: `known: ${known.contexts.map((context) => context.name).join(', ') || 'none'}` },
  })
}

/** Reads one context from a file that describes a mesh; `name` replaces the name in it. Errors: ZT-400-CONFIG. */
export function parseContextFile(bytes: Uint8Array, path: string, name: string | undefined): Context {
  const raw = parsed(() => parseEntry(parseStrictJson(bytes, { maxBytes: MAX_BYTES }), ''), path)
  return checkContext({ ...raw, ...(name === undefined ? {} : { name }) }, path)
}

/** Checks every member and the agreement between them. `where` names the source. Errors: ZT-400-CONFIG. */
export function checkContext(raw: RawContext, where: string): Context {
  return parsed(() => {
    const hubId = parseSpiffeId(raw.hubId)
    const td = trustDomainOf(hubId)
    if (principalKind(hubId) !== 'hub') throw configError('hubId is not the SPIFFE ID of a hub')
    if (raw.td !== undefined && parseTrustDomain(raw.td) !== td) {
      throw configError('td is not the trust domain of hubId')
    }
    const name = raw.name ?? defaultName(td)
    if (!isName(name)) throw configError('name is not made of a-z, 0-9 and inner hyphens')
    return Object.freeze({ name, hub: checkHubUrl(raw.hub), hubId, td, root: checkRoot(raw.root) })
  }, where)
}

function defaultName(td: string): string {
  return td
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
    .slice(0, 63)
    .replace(/-+$/, '')
}

function checkHubUrl(hub: string): string {
  const url = URL.canParse(hub) ? new URL(hub) : undefined
  if (url?.protocol !== 'https:') throw configError('hub is not an https:// address')
  if (url.username !== '' || url.search !== '' || url.hash !== '' || url.pathname !== '/') {
    throw configError('hub is more than https://HOST:PORT')
  }
  return url.origin
}

function checkRoot(root: string): string {
  const hex = root.replaceAll(':', '').toLowerCase()
  if (!/^[0-9a-f]{64}$/.test(hex)) throw configError('root is not a SHA-256 in hex')
  return hex
}

function parsed<T>(parse: () => T, where: string): T {
  try {
    return parse()
  } catch (cause) {
    if (!isZtError(cause)) throw cause
    throw configError(`${where}: ${cause.message}`, cause)
  }
}

function configError(message: string, cause?: unknown): ZtError {
  return new ZtError('ZT-400-CONFIG', message, {
    cause,
    details: { hint: 'correct the named member, or log in again' },
  })
}
