// Ours and others' bundles in one place: what is published, what is fetched, and what is handed to whoever judges SVIDs.
import { readFile } from 'node:fs/promises'
import { getCACertificates } from 'node:tls'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import type { TrustDomain } from '#shared/identity/names.ts'
import { trustDomainOf, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import {
  MAX_BUNDLES_BYTES,
  type BundlesRequest,
  type BundlesResult,
  type NamedBundle,
  type RelationStatus,
} from '#shared/protocol/federation.ts'
import { encodeBundle, parseBundleDocument, type BundleDocument } from '#shared/spiffe/bundle-document.ts'
import { verifyForeignSvid, type BundleSource } from '#shared/spiffe/foreign-svid.ts'
import type { RelationConfig } from './config.ts'
import { fetchBundleText, type EndpointProof } from './fetch.ts'
import { Publication, type PublicationParts } from './own-bundle.ts'
import { Relations, type RelationParts, type RelationStart } from './relations.ts'

export interface FederationParts extends Omit<RelationParts, 'fetch' | 'proof'>, PublicationParts {
  readonly store: RelationParts['store']
  readonly relations: readonly RelationConfig[]
  /** Whose the chain is, in our own trust domain. Throws ZT-401-CERT or ZT-403-REVOKED. */
  readonly identifyOwn: (chain: readonly Uint8Array[]) => SpiffeId
}

/** What is read once, when the hub starts: a file that cannot be read then stops it. */
interface Loaded extends RelationStart {
  readonly authorities: readonly string[]
}

export class Federation {
  readonly #publication: Publication
  readonly #relations: Relations
  readonly #own: TrustDomain
  /** as they are handed out: written once for each bundle that is held */
  readonly #texts = new WeakMap<BundleDocument, string>()

  private constructor(own: TrustDomain, publication: Publication, relations: Relations) {
    this.#own = own
    this.#publication = publication
    this.#relations = relations
  }

  /** ZT-400-CONFIG for a file that cannot be read; ZT-503-STORE. Nothing is fetched before start(). */
  static async open(parts: FederationParts): Promise<Federation> {
    const loaded = await Promise.all(parts.relations.map(load))
    const authorities = new Map(loaded.map((one) => [one.config.trustDomain, one.authorities]))
    const proof = ({ trustDomain, profile }: RelationConfig, bundles: BundleSource): EndpointProof =>
      profile.kind === 'https_web'
        ? { kind: 'https_web', authorities: authorities.get(trustDomain) ?? [] }
        : {
            kind: 'https_spiffe',
            expected: profile.endpointId,
            identify: identifier(parts, profile, bundles),
          }
    const relations = await Relations.open({ ...parts, fetch: fetchBundleText, proof }, loaded)
    return new Federation(parts.own, new Publication(parts), relations)
  }

  start(): void {
    this.#relations.start()
  }

  close(): Promise<void> {
    return this.#relations.close()
  }

  /** Our own document, the newest. ZT-503-STORE, ZT-503-AUDIT. */
  document(): Promise<string> {
    return this.#publication.document()
  }

  list(): readonly RelationStatus[] {
    return this.#relations.list()
  }

  /** Our own document and others', as many after `after` as one message carries. ZT-503-STORE, ZT-503-AUDIT. */
  async bundles({ after }: BundlesRequest): Promise<BundlesResult> {
    const foreign = this.#relations
      .bundles()
      .filter(({ trustDomain }) => after === undefined || after === this.#own || trustDomain > after)
    const own = after === undefined ? [{ td: this.#own, document: await this.document() }] : []
    return page([...own, ...foreign.map((one) => ({ td: one.trustDomain, document: this.#textOf(one) }))])
  }

  #textOf(bundle: BundleDocument): string {
    const text = this.#texts.get(bundle) ?? encodeBundle(bundle)
    this.#texts.set(bundle, text)
    return text
  }
}

function page(all: readonly NamedBundle[]): BundlesResult {
  let size = 0
  const fits = all.findIndex(({ document }) => {
    size += document.length
    return size > MAX_BUNDLES_BYTES
  })
  return { bundles: fits === -1 ? all : all.slice(0, fits), more: fits !== -1 }
}

/** Judges a chain by the bundle of the trust domain that the endpoint is known to be of, and by no other. */
function identifier(
  { own, clock, identifyOwn }: FederationParts,
  { endpointId }: { readonly endpointId: SpiffeId },
  bundles: BundleSource,
): (chain: readonly Uint8Array[]) => SpiffeId {
  const domain = trustDomainOf(endpointId)
  if (domain === own) return identifyOwn
  const one: BundleSource = (asked) => (asked === domain ? bundles(domain) : undefined)
  return (chain) => verifyForeignSvid(chain, one, clock.now()).id
}

async function load(config: RelationConfig): Promise<Loaded> {
  const { profile, trustDomain } = config
  if (profile.kind === 'https_spiffe') {
    const { bundleFile } = profile
    const given = bundleFile === undefined ? undefined : await givenBundle(bundleFile, trustDomain)
    return { config, given, authorities: [] }
  }
  const authorities =
    profile.caFile === undefined ? systemAuthorities() : [await read(profile.caFile, 'caFile')]
  return { config, given: undefined, authorities }
}

// Federation §5.2.1: the authorities that are commonly installed in operating systems, which is what the profile means.
function systemAuthorities(): readonly string[] {
  const found = getCACertificates('system')
  if (found.length > 0) return found
  throw new ZtError(
    'ZT-400-CONFIG',
    'the system has no certification authorities; https_web needs them or a caFile',
  )
}

async function givenBundle(file: string, trustDomain: TrustDomain): Promise<BundleDocument> {
  try {
    return parseBundleDocument(await read(file, 'bundleFile'), trustDomain)
  } catch (cause) {
    if (!isZtError(cause) || cause.code === 'ZT-400-CONFIG') throw cause
    throw new ZtError('ZT-400-CONFIG', `bundleFile of ${trustDomain}: ${cause.message}`, { cause })
  }
}

async function read(file: string, what: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    throw new ZtError('ZT-400-CONFIG', `federation: the ${what} ${file} cannot be read`, { cause })
  }
}
