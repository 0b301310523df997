// The way from the bundle that is held to a later one, bundle by bundle, each signed by a root that the one before it
// trusts. Whoever hands the bundles over is trusted with nothing: it can stop the way, and never lead it elsewhere.
import { sha256 } from '#shared/encoding/digest.ts'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import { BUNDLE_TYP, parseJws } from '#shared/jose/jws.ts'
import { openBundle, type BundleTrust, type TrustBundle } from './bundle.ts'

export interface FollowedBundle {
  readonly text: string
  readonly bundle: TrustBundle
  /** lower-case hex SHA-256 of the root that signed it */
  readonly signer: string
}

/** Bytes of one signed bundle, at most. */
export const MAX_BUNDLE_BYTES: number = 64 * 1024

/** Lower-case hex SHA-256 of the root that a bundle says it is signed by; nothing is proved. ZT-401-BUNDLE. */
export function bundleSigner(text: string): string {
  try {
    const [root = new Uint8Array()] = parseJws(text, { typ: BUNDLE_TYP, maxBytes: MAX_BUNDLE_BYTES }).x5c
    return Buffer.from(sha256(root)).toString('hex')
  } catch (cause) {
    if (!isZtError(cause)) throw cause
    throw new ZtError('ZT-401-BUNDLE', `trust bundle is refused: ${cause.message}`, { cause })
  }
}

/** Opens one bundle, with its signer. Errors: those of openBundle(). */
export function openSignedBundle(text: string, trust: BundleTrust, at: number): FollowedBundle {
  return { text, bundle: openBundle(text, trust, at), signer: bundleSigner(text) }
}

/**
 * Opens `texts` one after the other: each is newer than the one before it and signed by a root of it. With a pinned root
 * the way begins at the first that this root signed; those before it are passed over. `at` is in milliseconds.
 * Errors: those of openBundle(); nothing is believed of a way that breaks.
 */
export function followBundles(
  texts: readonly string[],
  from: BundleTrust,
  at: number,
): readonly FollowedBundle[] {
  const start = 'pinnedRoot' in from ? texts.findIndex((text) => bundleSigner(text) === from.pinnedRoot) : 0
  const followed: FollowedBundle[] = []
  for (const text of start < 0 ? [] : texts.slice(start)) {
    const before = followed.at(-1)
    const trust = before === undefined ? from : { trusted: before.bundle }
    const next = openSignedBundle(text, trust, at)
    if ('trusted' in trust) requireStep(next.bundle, trust.trusted)
    followed.push(next)
  }
  return followed
}

function requireStep(next: TrustBundle, held: TrustBundle): void {
  if (next.sequence === held.sequence)
    throw new ZtError('ZT-401-BUNDLE', 'trust bundle comes twice in the history')
}
