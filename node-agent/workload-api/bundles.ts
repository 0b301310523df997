// The bundles that tasks are given: our roots as the node itself trusts them, and by the hub's word the keys that sign
// our JWT-SVIDs and the bundles of foreign trust domains. Looked at again while somebody wants to know; who wants to know
// is told when something changed.
import type { Clock, Timer } from '#shared/host/clock.ts'
import type { Logger } from '#shared/host/logger.ts'
import { isZtError } from '#shared/errors/error.ts'
import type { TrustDomain } from '#shared/identity/names.ts'
import type { BundlesRequest, BundlesResult, NamedBundle } from '#shared/protocol/federation.ts'
import { parseBundleDocument, type BundleDocument } from '#shared/spiffe/bundle-document.ts'
import type { JwtAuthorityKey } from '#shared/spiffe/jwt-keys.ts'
import type { SvidValidator } from '#shared/x509/svid.ts'
import type { Bundles } from './messages.ts'

export interface BundleView {
  /** ours first; DER certificates one after the other, by the SPIFFE ID of the trust domain */
  readonly x509: Bundles
  readonly own: Uint8Array
  /** without ours */
  readonly federated: Bundles
  /** JWK sets of the keys that sign JWT-SVIDs alone (Workload API §6.2.2) */
  readonly jwt: Bundles
  /** what a JWT-SVID of that trust domain may be signed with; undefined for one that is not trusted */
  readonly authorities: (domain: TrustDomain) => readonly JwtAuthorityKey[] | undefined
}

export interface BundleParts {
  readonly trust: SvidValidator
  readonly clock: Clock
  readonly logger: Logger
  readonly ask: (request: BundlesRequest) => Promise<BundlesResult>
}

const LOOK_MS = 15_000
/** How long what was fetched is served while the hub does not answer, milliseconds: as long as an SVID lives. */
const PATIENCE_MS = 300_000
/** How long the hub is not asked again by requests after it did not answer, milliseconds. */
const REST_MS = 1000
const MAX_PAGES = 16

interface Held {
  readonly view: BundleView
  /** of all that the view was made of */
  readonly text: string
  readonly at: number
}

export class BundleWatch {
  readonly #parts: BundleParts
  readonly #listeners = new Set<() => void>()
  #held: Held | undefined
  #looking: Promise<Held> | undefined
  #timer: Timer | undefined
  #rest: { readonly error: unknown; readonly untilNs: bigint } | undefined

  constructor(parts: BundleParts) {
    this.#parts = parts
  }

  /** The bundles of now, at most 15 s old while the hub answers. Errors of the hub where there are none to serve. */
  async current(): Promise<BundleView> {
    const now = this.#parts.clock.now()
    const held = this.#held
    if (held !== undefined && now - held.at < LOOK_MS) return held.view
    try {
      if (this.#rest !== undefined && this.#parts.clock.monotonicNs() < this.#rest.untilNs)
        throw this.#rest.error
      return (await this.#look()).view
    } catch (error) {
      if (held === undefined || now - held.at >= PATIENCE_MS) throw error
      return held.view
    }
  }

  /** Calls `changed` after every change until it is told to stop. */
  watch(changed: () => void): () => void {
    this.#listeners.add(changed)
    this.#arm()
    return () => {
      this.#listeners.delete(changed)
      if (this.#listeners.size === 0) this.#timer?.cancel()
      if (this.#listeners.size === 0) this.#timer = undefined
    }
  }

  /** Looks at once, if anybody wants to know: the node's own bundle may have changed. */
  lookSoon(): void {
    if (this.#listeners.size === 0) return
    this.#look().catch((error: unknown) => this.#failed(error))
  }

  #arm(): void {
    if (this.#timer !== undefined || this.#listeners.size === 0) return
    this.#timer = this.#parts.clock.after(LOOK_MS, () => {
      this.#timer = undefined
      this.lookSoon()
      this.#arm()
    })
  }

  #look(): Promise<Held> {
    this.#looking ??= this.#fetch()
      .catch((error: unknown) => {
        const { clock } = this.#parts
        this.#rest = { error, untilNs: clock.monotonicNs() + BigInt(REST_MS) * 1_000_000n }
        throw error
      })
      .finally(() => {
        this.#looking = undefined
      })
    return this.#looking
  }

  async #fetch(): Promise<Held> {
    const { trust, clock, logger } = this.#parts
    const fetched = await this.#pages()
    const { trustDomain, roots } = trust.bundle
    const documents = fetched.flatMap((named) => parsed(named, logger))
    const view = viewOf({ trustDomain, roots: roots.map(({ der }) => der), documents })
    const text = [...view.x509, ...view.jwt].map(([td, bytes]) => `${td} ${hex(bytes)}`).join('\n')
    const before = this.#held
    this.#held = { view, text, at: clock.now() }
    if (before !== undefined && before.text !== text) for (const tell of this.#listeners) tell()
    return this.#held
  }

  async #pages(): Promise<NamedBundle[]> {
    const all: NamedBundle[] = []
    for (let page = 0; page < MAX_PAGES; page += 1) {
      const after = all.at(-1)?.td
      const { bundles, more } = await this.#parts.ask(after === undefined ? {} : { after })
      all.push(...bundles)
      if (!more || bundles.length === 0) return all
    }
    return all
  }

  #failed(error: unknown): void {
    this.#parts.logger.warn('the bundles could not be fetched', { error })
  }
}

// What cannot be read is of nobody: none of its SVIDs is valid, and the others are not touched.
function parsed({ td, document }: NamedBundle, logger: Logger): BundleDocument[] {
  try {
    return [parseBundleDocument(document, td)]
  } catch (error) {
    if (!isZtError(error)) throw error
    logger.warn('a bundle was refused', { td, error })
    return []
  }
}

function viewOf(known: {
  readonly trustDomain: TrustDomain
  readonly roots: readonly Uint8Array[]
  readonly documents: readonly BundleDocument[]
}): BundleView {
  const { trustDomain, roots, documents } = known
  const own = Buffer.concat(roots)
  const foreign = documents.filter((document) => document.trustDomain !== trustDomain)
  const federated = new Map(
    foreign
      .filter(({ x509Authorities }) => x509Authorities.length > 0)
      .map((one) => [idOf(one.trustDomain), Buffer.concat(one.x509Authorities.map(({ der }) => der))]),
  )
  const keys = new Map(documents.map((one) => [one.trustDomain, one.jwtAuthorities]))
  return {
    own,
    federated,
    x509: new Map([[idOf(trustDomain), own], ...federated]),
    jwt: new Map([...keys].map(([domain, authorities]) => [idOf(domain), jwkSet(authorities)])),
    authorities: (domain) => keys.get(domain),
  }
}

const idOf = (domain: TrustDomain): string => `spiffe://${domain}`
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

// A standard JWK set, for verifiers that know nothing of SPIFFE: those pass over a key with the use "jwt-svid".
function jwkSet(authorities: readonly JwtAuthorityKey[]): Uint8Array {
  const keys = authorities.map(({ kid, publicKey }) => ({ ...publicKey.export({ format: 'jwk' }), kid }))
  return Buffer.from(JSON.stringify({ keys }))
}
