// The rules of a trust bundle, and the proof that they were kept: a LintedBundle is the only bundle that a ceremony
// signs, and only in the very bytes that were looked at.
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import { ZtError } from '#shared/errors/error.ts'
import { bundlePayload, requireNewer, type TrustBundle } from '#shared/x509/bundle.ts'
import type { Certificate } from '#shared/x509/certificate.ts'
import { isSignedBy } from '#shared/x509/path.ts'

/** What a bundle is held against. */
export interface BundleContext {
  /** the bundle that it takes the place of */
  readonly held: TrustBundle | undefined
  /** UTC, milliseconds */
  readonly now: number
}

interface BundleRule {
  readonly name: string
  readonly citation: string
  readonly holds: (bundle: TrustBundle, context: BundleContext) => boolean
}

const MAX_ROOTS = 8
const MAX_REVOKED = 256
/** Nodes read a bundle of 64 KiB at most: that of its JWS, which is a third longer than its payload. */
const MAX_PAYLOAD_BYTES = 40 * 1024

export const BUNDLE_RULES: readonly BundleRule[] = [
  {
    name: 'bundle-roots',
    citation: 'SPIFFE Trust Domain and Bundle §4.2; design §4',
    holds: ({ roots, trustDomain }) =>
      roots.length > 0 && roots.length <= MAX_ROOTS && roots.every((root) => isRoot(root, trustDomain)),
  },
  {
    name: 'bundle-roots-once',
    citation: 'design §4',
    holds: ({ roots }) => new Set(roots.map(({ keyId }) => keyId)).size === roots.length,
  },
  {
    name: 'bundle-roots-live',
    citation: 'RFC 5280 §4.1.2.5',
    holds: ({ roots }, { now }) => roots.every(({ notAfter }) => notAfter > now),
  },
  {
    name: 'bundle-sequence',
    citation: 'SPIFFE Trust Domain and Bundle §4.1.1',
    holds: (bundle, { held }) =>
      held === undefined || (bundle.sequence > held.sequence && bundle.trustDomain === held.trustDomain),
  },
  {
    name: 'bundle-revoked',
    citation: 'design §4',
    holds: ({ revokedIntermediates: revoked }) =>
      revoked.length <= MAX_REVOKED && new Set(revoked).size === revoked.length,
  },
  {
    name: 'bundle-size',
    citation: 'design §4',
    holds: (bundle) => bundlePayload(bundle).length <= MAX_PAYLOAD_BYTES,
  },
]

export class LintedBundle {
  readonly bundle: TrustBundle
  readonly #payload: Uint8Array
  #redeemed = false

  private constructor(bundle: TrustBundle) {
    this.bundle = bundle
    this.#payload = bundlePayload(bundle)
  }

  /** Throws ZT-412-LINT with `details.rule` for the first rule that `bundle` breaks. */
  static check(bundle: TrustBundle, context: BundleContext): LintedBundle {
    for (const { name, citation, holds } of BUNDLE_RULES) {
      if (!holds(bundle, context)) throw broken(name, `the bundle breaks ${name} (${citation})`)
    }
    if (context.held !== undefined) requireNewer(bundle, context.held)
    return new LintedBundle(bundle)
  }

  /**
   * `signingInput` (RFC 7515 §5.1), if it is that of a JWS over these very bytes by `root`, once: ZT-412-LINT otherwise.
   * It is read here without the code that made it.
   */
  redeem(signingInput: Uint8Array, root: Certificate): Uint8Array {
    if (this.#redeemed) throw broken('bundle-once', 'a linted bundle was to be signed twice')
    this.#redeemed = true
    const [header = '', payload = '', ...rest] = Buffer.from(signingInput).toString('latin1').split('.')
    const same =
      rest.length === 0 &&
      Buffer.compare(Buffer.from(payload, 'base64url'), this.#payload) === 0 &&
      Buffer.compare(canonicalBytes(jsonOf(header)), canonicalBytes(expectedHeader(root))) === 0
    if (!same) throw broken('bundle-bytes', 'what was to be signed is not the bundle that was linted')
    return signingInput
  }
}

function expectedHeader(root: Certificate): object {
  return {
    alg: 'ES384',
    crit: ['zt'],
    typ: 'zt-bundle+jws',
    x5c: [Buffer.from(root.der).toString('base64')],
    'x5t#S256': root.thumbprint,
    zt: 1,
  }
}

function jsonOf(part: string): unknown {
  return JSON.parse(Buffer.from(part, 'base64url').toString('utf8'))
}

function isRoot(root: Certificate, trustDomain: string): boolean {
  return root.isCa && root.sans.uris.join() === `spiffe://${trustDomain}` && isSignedBy(root, root)
}

function broken(rule: string, message: string): ZtError {
  return new ZtError('ZT-412-LINT', message, { details: { rule, profile: 'bundle' } })
}
