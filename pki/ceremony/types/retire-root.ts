// The retirement of a root: a bundle without it, signed by the root that takes its place. Nobody is cut off: both were
// trusted for seven days, and every hub says that no live SVID leads to the old one.
import { ZtError } from '#shared/errors/error.ts'
import { openRootUsage, type RootUsageStatement } from '#shared/protocol/root-usage.ts'
import type { TrustBundle } from '#shared/x509/bundle.ts'
import type { Certificate } from '#shared/x509/certificate.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { isTrusted, printOf } from '../describe.ts'
import { refuse } from '../fields.ts'
import { heldBundle } from '../held.ts'
import type { RetireRootCeremony } from '../file.ts'
import { openTranscript } from '../history.ts'
import { certificateOf } from '../pem.ts'
import type { Basis, Work } from '../work.ts'

const DAY_MS = 86_400_000
/** How long both roots are trusted: a node that slept for a week still finds its way from the one to the other. */
export const OVERLAP_MS: number = 7 * DAY_MS
/** How old a hub's count of live SVIDs may be; it is carried by hand. */
const MAX_USAGE_AGE_MS = DAY_MS

/** Why a root stays; `details.reason` of ZT-412-RETIRE. */
export type RetireRefusal = 'in-use' | 'too-early'

export function retireRootWork(ceremony: RetireRootCeremony, basis: Basis): Work {
  const { inputs, root } = basis
  const { bundle, outputs } = ceremony
  const retiring = certificateOf(inputs.bytes(ceremony.retiring), 'field "retiring"')
  if (retiring.thumbprint === root.thumbprint) throw refuse('field "retiring" is the root that signs')
  const held = heldBundle(bundle.held, basis)
  if (!isTrusted(retiring, held)) throw refuse('the bundle that is held does not trust the retiring root')
  requireOverlap(ceremony, basis)
  requireUnused(ceremony, { basis, held, retiring })
  return {
    plan: [
      `retire the root ${printOf(retiring)}`,
      `sign bundle ${bundle.sequence} without it by "${ceremony.keyLabel}"`,
      ...(ceremony.emergency ? ['before its time: this is an emergency'] : []),
    ],
    certificates: [],
    bundle: {
      held,
      of: () => ({
        ...held,
        sequence: bundle.sequence,
        refreshHint: bundle.refreshHint,
        roots: held.roots.filter(({ thumbprint }) => thumbprint !== retiring.thumbprint),
      }),
    },
    outputs: ({ bundle: text = '' }) => new Map([[outputs.bundle, text]]),
    read: (content) => ({
      certificates: [],
      bundle: Buffer.from(content(outputs.bundle)).toString('latin1'),
    }),
  }
}

/** The ceremony that made this root ended seven days ago, or the file says that it cannot be waited for. */
function requireOverlap(ceremony: RetireRootCeremony, { inputs, officers, root, now }: Basis): void {
  const { summary, lines } = openTranscript(inputs, ceremony.rotation, officers)
  const made = lines.some(({ step, facts }) => step === 'signed' && facts['certificate'] === printOf(root))
  if (
    summary.type !== 'rotate-root' ||
    summary.outcome !== 'done' ||
    summary.trustDomain !== ceremony.trustDomain ||
    !made
  ) {
    throw refuse('field "rotation" is not the transcript of the ceremony that made this root')
  }
  const left = summary.endedAt + OVERLAP_MS - now
  if (left > 0 && !ceremony.emergency) {
    throw retireRefused(
      'too-early',
      `both roots must be trusted for ${Math.ceil(left / 3_600_000)} hours more`,
    )
  }
}

interface Usage {
  readonly basis: Basis
  readonly held: TrustBundle
  readonly retiring: Certificate
}

function requireUnused(ceremony: RetireRootCeremony, { basis, held, retiring }: Usage): void {
  const { inputs, now } = basis
  const trust = new SvidValidator(held)
  const hubs = ceremony.usage.map((input) => {
    const statement = openRootUsage(inputs.text(input).trimEnd(), { trust, now, maxAgeMs: MAX_USAGE_AGE_MS })
    requireNone(statement, retiring)
    return statement.iss
  })
  if (new Set(hubs).size !== hubs.length) throw refuse('field "usage" has two statements of one hub')
}

function requireNone({ iss, roots }: RootUsageStatement, retiring: Certificate): void {
  const count = roots.find(({ fingerprint }) => fingerprint === printOf(retiring))
  if (count === undefined) throw retireRefused('in-use', `${iss} does not say whether the root is in use`)
  if (count.live > 0) throw retireRefused('in-use', `${iss} counts ${count.live} live SVIDs under the root`)
}

function retireRefused(reason: RetireRefusal, what: string): ZtError {
  return new ZtError('ZT-412-RETIRE', what, { details: { reason } })
}
