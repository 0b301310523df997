// The bundles of other trust domains: each fetched from where the configuration says, kept under the name that the
// configuration gives it, and never mixed with another (SPIFFE Federation §4.2). What is newer takes its place once its
// row is written; what is older, or ours, never does.
import { sha256Text } from '#shared/encoding/digest.ts'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import type { Clock, Timer } from '#shared/host/clock.ts'
import type { Logger } from '#shared/host/logger.ts'
import type { TrustDomain } from '#shared/identity/names.ts'
import type { RelationStatus } from '#shared/protocol/federation.ts'
import {
  encodeBundle,
  isEmptyBundle,
  parseBundleDocument,
  MAX_BUNDLE_DOCUMENT_BYTES,
  type BundleDocument,
} from '#shared/spiffe/bundle-document.ts'
import type { BundleSource } from '#shared/spiffe/foreign-svid.ts'
import type { Refusals } from '../audit/refusals.ts'
import type { RowWriter } from '../audit/rows.ts'
import type { FederatedBundle, FederationStore } from '../store/store.ts'
import type { RelationConfig } from './config.ts'
import type { EndpointProof, FetchOrder } from './fetch.ts'

/** A relation, and what it began with: the bundle that the operator gave, if it takes one. */
export interface RelationStart {
  readonly config: RelationConfig
  readonly given: BundleDocument | undefined
}

export interface RelationParts {
  readonly own: TrustDomain
  readonly store: FederationStore
  readonly rows: RowWriter
  readonly refusals: Refusals
  readonly clock: Clock
  readonly log: Logger
  readonly fetch: (order: FetchOrder) => Promise<Uint8Array>
  /** How the endpoint of that relation proves itself, by the bundles that are held when it does. */
  readonly proof: (config: RelationConfig, bundles: BundleSource) => EndpointProof
}

interface Relation {
  readonly config: RelationConfig
  held: BundleDocument | undefined
  /** digest of what the operator gave */
  readonly given: string | undefined
  /** UTC, milliseconds, of the last fetch that succeeded */
  fetchedAt: number | undefined
  /** code of the last fetch, if it failed */
  failing: string | undefined
  timer: Timer | undefined
}

// Federation §4.1: five minutes where the bundle says nothing. A hint is honoured within bounds: a low one must not make
// us flood its server, and a high one must not keep a revoked key in use for weeks.
const DEFAULT_REFRESH_S = 300
const MIN_REFRESH_S = 10
const MAX_REFRESH_S = 3600

/** Seconds until the next fetch. */
export function refreshAfter(hint: number | undefined): number {
  return Math.min(Math.max(hint ?? DEFAULT_REFRESH_S, MIN_REFRESH_S), MAX_REFRESH_S)
}

export class Relations {
  readonly #parts: RelationParts
  readonly #relations: ReadonlyMap<string, Relation>
  readonly #running = new Set<Promise<void>>()
  #closed = false

  private constructor(parts: RelationParts, relations: readonly Relation[]) {
    this.#parts = parts
    this.#relations = new Map(relations.map((one) => [one.config.trustDomain, one]))
  }

  /** The relations with what the store has of them; of those that are no more it forgets the bundle (§6.3). ZT-503-STORE, ZT-503-AUDIT. */
  static async open(parts: RelationParts, starts: readonly RelationStart[]): Promise<Relations> {
    const stored = new Map((await parts.store.list()).map((one) => [one.trustDomain, one]))
    const relations: Relation[] = []
    for (const start of starts)
      relations.push(await begin(start, stored.get(start.config.trustDomain), parts))
    const wanted = new Set(relations.map(({ config }) => config.trustDomain as string))
    for (const name of stored.keys()) if (!wanted.has(name)) await parts.store.remove(name)
    return new Relations(parts, relations)
  }

  /** Fetches all of them, and each again when its bundle says so. */
  start(): void {
    for (const relation of this.#relations.values()) this.#begin(relation)
  }

  /** Resolves when no fetch is under way any more. */
  async close(): Promise<void> {
    this.#closed = true
    for (const { timer } of this.#relations.values()) timer?.cancel()
    await Promise.all(this.#running)
  }

  /** The newest bundle of that trust domain; undefined without a relation, or before its first fetch. */
  bundleOf(trustDomain: TrustDomain): BundleDocument | undefined {
    return this.#relations.get(trustDomain)?.held
  }

  /** Every bundle that is held, by trust domain. */
  bundles(): readonly BundleDocument[] {
    return [...this.#relations.values()]
      .flatMap(({ held }) => (held === undefined ? [] : [held]))
      .toSorted((a, b) => (a.trustDomain < b.trustDomain ? -1 : 1))
  }

  list(): readonly RelationStatus[] {
    return [...this.#relations.values()]
      .map(statusOf)
      .toSorted((a, b) => (a.trust_domain < b.trust_domain ? -1 : 1))
  }

  #begin(relation: Relation): void {
    const run = this.#refresh(relation)
    this.#running.add(run)
    void run.then(() => this.#running.delete(run))
  }

  // Federation §6.2: what failed is tried again at the next interval, not sooner.
  async #refresh(relation: Relation): Promise<void> {
    try {
      await this.#fetch(relation)
      relation.failing = undefined
    } catch (error) {
      await this.#failed(relation, error)
    }
    if (this.#closed) return
    const delayMs = refreshAfter(relation.held?.refreshHint) * 1000
    relation.timer = this.#parts.clock.after(delayMs, () => this.#begin(relation))
  }

  async #fetch(relation: Relation): Promise<void> {
    const { clock, fetch, proof, own } = this.#parts
    const { endpointUrl: url, trustDomain } = relation.config
    const proven = proof(relation.config, (domain) => this.bundleOf(domain))
    const text = await fetch({ url, proof: proven, clock })
    // The configuration says so already; whose bundle it would be is worth asking twice.
    if (trustDomain === own) throw refuse('own-trust-domain', 'is of our own trust domain')
    const next = parseBundleDocument(text, trustDomain)
    const at = clock.now()
    if (requireNewer(next, relation.held)) await this.#replace(relation, next, at)
    relation.fetchedAt = at
  }

  async #replace(relation: Relation, next: BundleDocument, fetchedAt: number): Promise<void> {
    const { rows, store, log } = this.#parts
    const { trustDomain } = next
    const document = encodeBundle(next)
    if (Buffer.byteLength(document) > MAX_BUNDLE_DOCUMENT_BYTES)
      throw new ZtError('ZT-413-SIZE', `the bundle is over ${MAX_BUNDLE_DOCUMENT_BYTES} bytes`)
    await rows.append({ type: 'federation.updated', out: 'info', obj: factsOf(next, document) })
    // If we crash here, the row says what the next fetch will do again: nothing is believed before it is stored.
    await store.put({ trustDomain, document, fetchedAt, ...givenOf(relation) })
    relation.held = next
    if (next.unusable.length > 0)
      log.warn('keys of a foreign bundle cannot be used', { trustDomain, keys: next.unusable })
    if (isEmptyBundle(next)) log.warn('a foreign trust domain has revoked all its keys', { trustDomain })
  }

  // One row when it begins to fail and when it fails in another way: a peer that is down for a week is no flood.
  async #failed(relation: Relation, error: unknown): Promise<void> {
    const { log, refusals } = this.#parts
    const { trustDomain, endpointUrl } = relation.config
    const code = isZtError(error) ? error.code : 'ZT-500-INTERNAL'
    log.warn('a foreign bundle could not be fetched', { trustDomain, error })
    if (relation.failing === code) return
    relation.failing = code
    const obj = { trust_domain: trustDomain, url: endpointUrl.href }
    await refusals.record({ type: 'federation.failed', obj }, error)
  }
}

function factsOf(next: BundleDocument, document: string): Record<string, string | number> {
  return {
    trust_domain: next.trustDomain,
    ...(next.sequence !== undefined && { sequence: String(next.sequence) }),
    x509: next.x509Authorities.length,
    jwt: next.jwtAuthorities.length,
    unusable: next.unusable.length,
    sha256: sha256Text(Buffer.from(document)),
  }
}

function statusOf({ config, held, fetchedAt, failing }: Relation): RelationStatus {
  const { trustDomain, endpointUrl, profile } = config
  return {
    trust_domain: trustDomain,
    url: endpointUrl.href,
    profile: profile.kind,
    sequence: held?.sequence === undefined ? null : String(held.sequence),
    x509: held?.x509Authorities.length ?? 0,
    jwt: held?.jwtAuthorities.length ?? 0,
    fetched: fetchedAt ?? null,
    failing: failing ?? null,
  }
}

const givenOf = ({ given }: Pick<Relation, 'given'>): Pick<FederatedBundle, 'given'> =>
  given === undefined ? {} : { given }

/** The relation with what is kept of it, or with what the operator gave since: §4.2, bundles MAY be updated by hand. */
async function begin(
  { config, given }: RelationStart,
  kept: FederatedBundle | undefined,
  { store, rows }: Pick<RelationParts, 'store' | 'rows'>,
): Promise<Relation> {
  const document = given === undefined ? undefined : encodeBundle(given)
  const digest = document === undefined ? undefined : sha256Text(Buffer.from(document))
  const relation = { config, given: digest, failing: undefined, timer: undefined }
  if (kept === undefined) return { ...relation, held: given, fetchedAt: undefined }
  const { fetchedAt } = kept
  const known = parseBundleDocument(kept.document, config.trustDomain)
  const isChanged = kept.given !== undefined && kept.given !== digest
  const counts = given !== undefined && document !== undefined && isNewer(given, known, isChanged)
  if (counts)
    await rows.append({
      type: 'federation.updated',
      out: 'info',
      obj: { ...factsOf(given, document), given: true },
    })
  // What was given counts once: a file that stays where it is brings nothing back that was fetched away since.
  if (kept.given !== digest || counts)
    await store.put({ ...kept, ...(counts && { document }), ...givenOf({ given: digest }) })
  return { ...relation, held: counts ? given : known, fetchedAt }
}

/** By its number. Without one on both sides by being another one than the operator gave before. */
function isNewer(given: BundleDocument, stored: BundleDocument, isChanged: boolean): boolean {
  if (given.sequence !== undefined && stored.sequence !== undefined) return given.sequence > stored.sequence
  return isChanged && (stored.sequence === undefined || isEmptyBundle(stored))
}

/**
 * True if `next` takes the place of `held`, false if it is the same. Where none had a number yet the one that was fetched
 * last counts (§4.2). ZT-401-FEDERATION (older, same-sequence, unnumbered).
 */
function requireNewer(next: BundleDocument, held: BundleDocument | undefined): boolean {
  if (held === undefined) return true
  const same = encodeBundle(next) === encodeBundle(held)
  if (held.sequence === undefined) return !same
  // Behind one without a number any older one would be new again.
  if (next.sequence === undefined) throw refuse('unnumbered', 'has no sequence, and the one that is held has')
  if (next.sequence < held.sequence) throw refuse('older', 'is older than the one that is held')
  // Trust Domain and Bundle §4.1.1: the number MUST be changed whenever the contents are.
  if (next.sequence === held.sequence && !same)
    throw refuse('same-sequence', 'differs from the held one of the same sequence')
  return !same
}

function refuse(reason: string, what: string): ZtError {
  return new ZtError('ZT-401-FEDERATION', `the fetched bundle ${what}`, { details: { reason } })
}
