// Several trust domains' bundles in one text, each under its own name (SPIFFE Trust Domain and Bundle §5). The whole map
// is taken or nothing of it (appendix B.1), and no bundle is ever merged with another.
import { ZtError } from '#shared/errors/error.ts'
import { parseTrustDomain, type TrustDomain } from '#shared/identity/names.ts'
import { JsonNumber } from '#shared/encoding/strict-json.ts'
import { encodeBundle, parseBundleJson, readBundle, type BundleDocument } from './bundle-document.ts'

export const MAX_BUNDLE_MAP_BYTES: number = 1024 * 1024
const MAX_TRUST_DOMAINS = 64

/**
 * The bundles by trust domain, without refresh hints: none of them says when to look at the map again (§5.1.1).
 * ZT-422-SPIFFE-BUNDLE for a name twice, a name that is none, and for any bundle that is refused by itself.
 */
export function parseBundleMap(text: string | Uint8Array): ReadonlyMap<TrustDomain, BundleDocument> {
  const domains = parseBundleJson(text, MAX_BUNDLE_MAP_BYTES)['trust_domains']
  if (typeof domains !== 'object' || domains === null || Array.isArray(domains))
    throw refuse('has no member "trust_domains"')
  if (domains instanceof JsonNumber) throw refuse('has no member "trust_domains"')
  const entries = Object.entries(domains)
  if (entries.length > MAX_TRUST_DOMAINS) throw refuse(`has more than ${MAX_TRUST_DOMAINS} trust domains`)
  return new Map(
    entries.map(([name, bundle]) => {
      const trustDomain = nameOf(name)
      return [trustDomain, Object.freeze({ ...readBundle(bundle, trustDomain), refreshHint: undefined })]
    }),
  )
}

/** The map of these bundles, without refresh hints. ZT-422-SPIFFE-BUNDLE for two bundles of one trust domain. */
export function buildBundleMap(bundles: readonly BundleDocument[]): string {
  const names = new Set(bundles.map((bundle) => bundle.trustDomain))
  // §5.1.1: producers MUST ensure that names are unique.
  if (names.size !== bundles.length) throw refuse('would have a trust domain twice')
  const parts = bundles.map(
    (bundle) =>
      `${JSON.stringify(bundle.trustDomain)}:${encodeBundle({ ...bundle, refreshHint: undefined })}`,
  )
  return `{"trust_domains":{${parts.join(',')}}}`
}

function nameOf(name: string): TrustDomain {
  try {
    return parseTrustDomain(name)
  } catch (cause) {
    throw new ZtError('ZT-422-SPIFFE-BUNDLE', 'bundle map has a name that is not a trust domain', { cause })
  }
}

function refuse(what: string): ZtError {
  return new ZtError('ZT-422-SPIFFE-BUNDLE', `bundle map ${what}`)
}
