// How who slept through a rotation of the root finds the way to the bundle in force. The hub's certificate cannot be
// judged before that, so the bundles come from a peer that has proved nothing; each of them proves itself.
import type { ErrorCode } from '#shared/errors/codes.ts'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import { parseBundleResponse, parseBundlesResponse } from '#shared/protocol/admission.ts'
import type { BundleTrust, TrustBundle } from '#shared/x509/bundle.ts'
import {
  bundleSigner,
  followBundles,
  openSignedBundle,
  type FollowedBundle,
} from '#shared/x509/bundle-history.ts'
import type { SvidValidator } from '#shared/x509/svid.ts'
import type { Clock } from './clock.ts'
import { fetchBundle, fetchBundles } from './hub-https.ts'

export interface HubPlace {
  /** `https://host:port` */
  readonly url: string
  readonly clock: Clock
}

export interface CatchUp extends HubPlace {
  /** moved forward in place */
  readonly trust: SvidValidator
  /** Keeps a newer bundle, before anything is proved with it. */
  readonly keep?: (newer: FollowedBundle) => void
}

/** How a rotation looks to who does not know of it: the hub, or what it hands out, stands under an unknown root. */
const MAY_BE_ROTATION: readonly ErrorCode[] = ['ZT-401-CERT', 'ZT-401-BUNDLE', 'ZT-503-HUB']

/** Answers of a hub that are asked for, at most: far more bundles than there will be ceremonies. */
const MAX_ROUNDS = 32

/**
 * The newest bundle that the hub can prove from the one that is held; undefined if it has no newer one.
 * Errors: ZT-401-BUNDLE if the way breaks or does not end, and those of fetchBundles().
 */
export async function newerBundle(place: HubPlace, held: TrustBundle): Promise<FollowedBundle | undefined> {
  return walk(place, { trusted: held }, held.sequence)
}

/**
 * The newest bundle that the hub can prove from a pinned root: the one in force if that root signed it, else the last of
 * the way that begins with what it signed. Errors: ZT-401-BUNDLE, and those of fetchBundles().
 */
export async function pinnedBundle(place: HubPlace, pinnedRoot: string): Promise<FollowedBundle> {
  const { url, clock } = place
  const { bundle: text } = parseBundleResponse(await fetchBundle(url, clock), '')
  if (bundleSigner(text) === pinnedRoot) return openSignedBundle(text, { pinnedRoot }, clock.now())
  const found = await walk(place, { pinnedRoot }, 0)
  if (found !== undefined) return found
  throw new ZtError('ZT-401-BUNDLE', 'the hub has no trust bundle that the pinned root signed')
}

/**
 * Does `work`; if that fails as it does for who slept through a rotation, and the hub can prove a newer bundle from the one
 * that is held, does it once more under that one. Errors: those of `work`.
 */
export async function withCatchUp<T>(options: CatchUp, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!MAY_BE_ROTATION.some((code) => isZtError(error, code))) throw error
    const newer = await provenNewer(options)
    if (newer === undefined) throw error
    options.keep?.(newer)
    options.trust.replaceBundle(newer.bundle)
    return work()
  }
}

/** Undefined also where the hub does not answer, or proves nothing: then the first failure is what is to be said. */
async function provenNewer({ url, clock, trust }: CatchUp): Promise<FollowedBundle | undefined> {
  try {
    return await newerBundle({ url, clock }, trust.bundle)
  } catch (error) {
    if (isZtError(error)) return undefined
    throw error
  }
}

async function walk(
  { url, clock }: HubPlace,
  from: BundleTrust,
  after: number,
): Promise<FollowedBundle | undefined> {
  let trust = from
  let sequence = after
  let newest: FollowedBundle | undefined
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    const { bundles, more } = parseBundlesResponse(await fetchBundles(url, sequence, clock), '')
    const found = followBundles(bundles, trust, clock.now()).at(-1)
    if (found !== undefined) {
      newest = found
      trust = { trusted: found.bundle }
    }
    if (!more) return newest
    const next = found?.bundle.sequence ?? claimedSequence(bundles.at(-1), clock.now())
    if (next <= sequence) break
    sequence = next
  }
  throw new ZtError('ZT-401-BUNDLE', 'the history of trust bundles does not end')
}

/** Where to read on after bundles from before the pinned root: what the last of them says of itself, and no more. */
function claimedSequence(text: string | undefined, at: number): number {
  if (text === undefined) return -1
  return openSignedBundle(text, { pinnedRoot: bundleSigner(text) }, at).bundle.sequence
}
