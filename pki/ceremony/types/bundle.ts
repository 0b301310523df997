// Two ceremonies that sign a newer bundle with the same roots: one that revokes intermediates of a hub, taken from its
// ladder responses, and one that forgets those that have ended.
import type { Certificate } from '#shared/x509/certificate.ts'
import type { TrustBundle } from '#shared/x509/bundle.ts'
import { rootFingerprint } from '#shared/x509/bundle.ts'
import {
  parseLadderResponse,
  verifySignedByRoot,
  type LadderResponse,
  type SignedRung,
} from '../../issuance/ladder-response.ts'
import { ROLES } from '../../issuance/ladder-request.ts'
import { day } from '../describe.ts'
import { refuse, type InputFile } from '../fields.ts'
import type { BundleCeremony, RevokeCeremony } from '../file.ts'
import { heldBundle } from '../held.ts'
import type { Basis, Work } from '../work.ts'

type Ended = 'ended' | 'live'

export function bundleWork(ceremony: BundleCeremony, basis: Basis): Work {
  const held = heldBundle(ceremony.bundle.held, basis)
  const ended = ceremony.forget
    .flatMap((input) => openResponse(input, { basis, held }).rungs)
    .flatMap((rung) => certificatesOf(rung, 'ended', basis.now))
  const gone = new Set(ended.map(({ keyId }) => keyId))
  const revoked = held.revokedIntermediates.filter((keyId) => !gone.has(keyId))
  const forgotten = held.revokedIntermediates.length - revoked.length
  if (ceremony.forget.length > 0 && forgotten === 0)
    throw refuse('field "forget" names no revoked intermediate that has ended')
  return newBundle(ceremony, { held, revoked }, [
    `${revoked.length} intermediates stay revoked; ${forgotten} that have ended are forgotten`,
  ])
}

export function revokeWork(ceremony: RevokeCeremony, basis: Basis): Work {
  const held = heldBundle(ceremony.bundle.held, basis)
  const stolen = ceremony.ladders.flatMap((input) => stolenOf(ceremony, openResponse(input, { basis, held })))
  const live = stolen.flatMap((rung) => certificatesOf(rung, 'live', basis.now))
  const known = new Set(held.revokedIntermediates)
  const fresh = live.filter(({ keyId }) => !known.has(keyId))
  if (fresh.length === 0) throw refuse('there is no intermediate to revoke: all have ended or are revoked')
  for (const index of ceremony.rungs ?? []) {
    if (!stolen.some((rung) => rung.index === index))
      throw refuse(`field "rungs" names ${index}, which is not there`)
  }
  const revoked = [...held.revokedIntermediates, ...new Set(fresh.map(({ keyId }) => keyId))]
  const ends = Math.max(...fresh.map(({ notAfter }) => notAfter))
  return newBundle(ceremony, { held, revoked }, [
    `revoke ${fresh.length} intermediates of ${ceremony.hub}, the last of which would end ${day(ends)}`,
    'what they issued counts no longer as soon as a node has the bundle',
  ])
}

function stolenOf(ceremony: RevokeCeremony, response: LadderResponse): readonly SignedRung[] {
  if (response.hub !== ceremony.hub) throw refuse('field "ladders" names a response for another hub')
  const { rungs } = ceremony
  return rungs === null ? response.rungs : response.rungs.filter(({ index }) => rungs.includes(index))
}

function certificatesOf(rung: SignedRung, which: Ended, now: number): Certificate[] {
  return ROLES.map((role) => rung[role]).filter(
    ({ notAfter }) => (notAfter + 1000 <= now ? 'ended' : 'live') === which,
  )
}

/** A response that one of the roots of the bundle signed, so that nothing else is revoked or forgotten by it. */
function openResponse(
  input: InputFile,
  { basis, held }: { readonly basis: Basis; readonly held: TrustBundle },
): LadderResponse {
  const response = parseLadderResponse(basis.inputs.bytes(input))
  const root = held.roots.find((known) => rootFingerprint(known) === response.root)
  if (root === undefined) throw refuse(`ladder response "${input.file}" is of a root that is not trusted`)
  verifySignedByRoot(response, root)
  return response
}

function newBundle(
  { bundle, keyLabel, outputs }: BundleCeremony | RevokeCeremony,
  { held, revoked }: { readonly held: TrustBundle; readonly revoked: readonly string[] },
  plan: readonly string[],
): Work {
  const { sequence, refreshHint } = bundle
  return {
    plan: [`sign bundle ${sequence} with the same ${held.roots.length} roots by "${keyLabel}"`, ...plan],
    certificates: [],
    bundle: { held, of: () => ({ ...held, sequence, refreshHint, revokedIntermediates: revoked }) },
    outputs: ({ bundle: text = '' }) => new Map([[outputs.bundle, text]]),
    read: (content) => ({
      certificates: [],
      bundle: Buffer.from(content(outputs.bundle)).toString('latin1'),
    }),
  }
}
