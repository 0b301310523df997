// What the configuration says of bundles: where ours is served, and whose are fetched from where. Trust domain, address and
// profile are each written down: none can be told from another (SPIFFE Federation §7.2), and they are as sensitive as
// the keys themselves (§7.1).
import {
  array,
  integer,
  literal,
  object,
  optional,
  parsed,
  string,
  union,
  type Parser,
} from '#shared/encoding/shape.ts'
import { ZtError } from '#shared/errors/error.ts'
import { parseTrustDomain, type TrustDomain } from '#shared/identity/names.ts'
import { parseSpiffeId, trustDomainOf, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import { parseEndpointUrl } from './endpoint-url.ts'

export interface BundleEndpointConfig {
  readonly listen: { readonly host: string; readonly port: number }
  /** of the one address that answers, with its leading slash */
  readonly path: string
  readonly profile:
    | { readonly kind: 'https_spiffe' }
    | { readonly kind: 'https_web'; readonly certFile: string; readonly keyFile: string }
}

export interface RelationConfig {
  readonly trustDomain: TrustDomain
  readonly endpointUrl: URL
  readonly profile:
    /** without a file: the system's authorities */
    | { readonly kind: 'https_web'; readonly caFile: string | undefined }
    /** the file is there if the endpoint is of the same trust domain */
    | {
        readonly kind: 'https_spiffe'
        readonly endpointId: SpiffeId
        readonly bundleFile: string | undefined
      }
}

interface WebProfile {
  readonly type: 'https_web'
  readonly certFile: string
  readonly keyFile: string
}

/** The field "bundleEndpoint" as it is written. */
export interface EndpointFields {
  readonly listen: { readonly host: string; readonly port: number }
  readonly path?: string
  readonly profile: 'https_spiffe' | WebProfile
}

interface RelationName {
  readonly trustDomain: TrustDomain
  readonly endpointUrl: URL
}

/** An item of the field "federation" as it is written. */
export type RelationFields = RelationName &
  (
    | { readonly profile: 'https_web'; readonly caFile?: string }
    | { readonly profile: 'https_spiffe'; readonly endpointSpiffeId: SpiffeId; readonly bundleFile?: string }
  )

const MAX_RELATIONS = 32
const pathText = string({ min: 1, max: 4096 })
const webProfile: Parser<WebProfile> = object({
  type: literal('https_web'),
  certFile: pathText,
  keyFile: pathText,
})
const profile: Parser<EndpointFields['profile']> = (value, path) =>
  value === 'https_spiffe' ? value : webProfile(value, path)
const name = { trustDomain: parsed(parseTrustDomain), endpointUrl: parsed(parseEndpointUrl) }

export const endpointField: Parser<EndpointFields> = object({
  listen: object({
    host: string({ min: 1, max: 253, pattern: /^[A-Za-z0-9.:-]+$/ }),
    port: integer({ min: 1, max: 65_535 }),
  }),
  path: optional(string({ min: 1, max: 512, pattern: /^(?:\/[A-Za-z0-9._~-]*)+$/ })),
  profile,
})

export const relationsField: Parser<readonly RelationFields[]> = array(
  union('profile', {
    https_web: object({ ...name, profile: literal('https_web'), caFile: optional(pathText) }),
    https_spiffe: object({
      ...name,
      profile: literal('https_spiffe'),
      endpointSpiffeId: parsed(parseSpiffeId),
      bundleFile: optional(pathText),
    }),
  }),
  { max: MAX_RELATIONS },
)

const DEFAULT_PATH = '/bundle.json'

/** `at` makes a path of the file absolute. */
export function endpointConfig(
  { listen, path, profile: chosen }: EndpointFields,
  at: (path: string) => string,
): BundleEndpointConfig {
  const how =
    chosen === 'https_spiffe'
      ? ({ kind: 'https_spiffe' } as const)
      : ({ kind: 'https_web', certFile: at(chosen.certFile), keyFile: at(chosen.keyFile) } as const)
  return { listen, path: path ?? DEFAULT_PATH, profile: how }
}

/** ZT-422-SCHEMA for relations that contradict each other or ourselves. */
export function relationConfigs(
  own: TrustDomain,
  fields: readonly RelationFields[],
  at: (path: string) => string,
): readonly RelationConfig[] {
  const relations = fields.map((one) => relationConfig(one, at))
  const domains = new Set(relations.map(({ trustDomain }) => trustDomain))
  if (domains.size !== relations.length) throw refuse('names a trust domain twice')
  // Our own keys come from the ceremony alone, whoever offers others under our name.
  if (domains.has(own)) throw refuse('names our own trust domain')
  for (const one of relations) requireEndpointBundle(one, new Set([own, ...domains]))
  return relations
}

function relationConfig(fields: RelationFields, at: (path: string) => string): RelationConfig {
  const file = (path: string | undefined): string | undefined => (path === undefined ? undefined : at(path))
  const { trustDomain, endpointUrl } = fields
  const how =
    fields.profile === 'https_web'
      ? ({ kind: 'https_web', caFile: file(fields.caFile) } as const)
      : ({
          kind: 'https_spiffe',
          endpointId: fields.endpointSpiffeId,
          bundleFile: file(fields.bundleFile),
        } as const)
  return { trustDomain, endpointUrl, profile: how }
}

/** SPIFFE Federation §5.2.2.2: every endpoint that is known by a SPIFFE ID has a bundle that it is judged by. */
function requireEndpointBundle(
  { trustDomain, profile: how }: RelationConfig,
  known: ReadonlySet<string>,
): void {
  if (how.kind === 'https_web') return
  const endpointDomain = trustDomainOf(how.endpointId)
  if (endpointDomain === trustDomain) {
    if (how.bundleFile === undefined) throw refuse(`of ${trustDomain} needs a bundleFile for the first fetch`)
    return
  }
  if (how.bundleFile !== undefined)
    throw refuse(`of ${trustDomain} has a bundleFile, but its endpoint is of another trust domain`)
  if (!known.has(endpointDomain)) throw refuse(`of ${trustDomain} has an endpoint of an unknown trust domain`)
}

function refuse(what: string): ZtError {
  return new ZtError('ZT-422-SCHEMA', `field "federation" ${what}`)
}
