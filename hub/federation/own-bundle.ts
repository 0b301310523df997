// The bundle document of our own trust domain: the roots of the signed bundle in force and the keys of JWT-SVIDs, made anew
// whenever one of them changes and with every start, under a sequence number that no earlier document had.
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import type { Clock } from '#shared/host/clock.ts'
import { buildBundleDocument, type OwnBundle } from '#shared/spiffe/bundle-document.ts'
import type { SvidValidator } from '#shared/x509/svid.ts'
import type { RowWriter } from '../audit/rows.ts'
import { MAX_REFRESH_HINT_S } from '../jwt/jwt-authority.ts'
import type { FederationStore } from '../store/store.ts'

export interface PublicationParts {
  readonly trust: SvidValidator
  /** the keys that JWT-SVIDs are or will be signed with */
  readonly jwt: () => OwnBundle['jwt']
  readonly store: Pick<FederationStore, 'published' | 'publish'>
  readonly rows: RowWriter
  readonly clock: Clock
}

export class Publication {
  readonly #parts: PublicationParts
  #digest: string | undefined
  #text = ''
  /** One after the other, so that two changes never share a number. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(parts: PublicationParts) {
    this.#parts = parts
  }

  /** The newest document, whatever changed since the last call. ZT-503-STORE, ZT-503-AUDIT. */
  document(): Promise<string> {
    const done = this.#last.then(() => this.#current())
    this.#last = done.catch(() => undefined)
    return done
  }

  async #current(): Promise<string> {
    const { trust, jwt, store, rows, clock } = this.#parts
    const { trustDomain, roots } = trust.bundle
    // Roots change in days, as the signed bundle's hint may say; the keys of JWT-SVIDs do in hours (Federation §5.2).
    const refreshHint = Math.min(trust.bundle.refreshHint, MAX_REFRESH_HINT_S)
    const keys = jwt()
    const content = {
      roots: roots.map((root) => root.thumbprint),
      jwt: keys.map(({ kid }) => kid),
      refreshHint,
    }
    const digest = sha256Text(canonicalBytes(content))
    if (digest === this.#digest) return this.#text
    // The floor is the time: a store that was lost or set back does not make old numbers of new documents. Nor of one that
    // it still knows: what was shown since it was copied is not in it, so each start takes a new number.
    const last = await store.published()
    const sequence = Math.max((last?.sequence ?? 0) + 1, Math.floor(clock.now() / 1000))
    const facts = { sequence, x509: roots.length, jwt: keys.length, sha256: digest }
    await rows.append({ type: 'bundle.published', out: 'info', obj: facts })
    // If we crash here, a row names a number that nobody was ever shown: the next start takes another.
    await store.publish({ digest, sequence })
    this.#text = buildBundleDocument({ trustDomain, roots, jwt: keys, sequence, refreshHint })
    this.#digest = digest
    return this.#text
  }
}
