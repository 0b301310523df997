// The retirement of a root: a bundle without it, signed by the root that takes its place. Nobody is cut off: every
// hub says that it trusted both for seven days, and that no live SVID leads to the old one.
import { isZtError, ZtError } from '#shared/errors/error.ts'
import { openRootUsage, type RootUsageStatement } from '#shared/protocol/root-usage.ts'
import type { TrustBundle } from '#shared/x509/bundle.ts'
import type { Certificate } from '#shared/x509/certificate.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { ROLES } from '../../issuance/ladder-request.ts'
import { parseLadderResponse, verifySignedByRoot } from '../../issuance/ladder-response.ts'
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
  requireRotation(ceremony, basis)
  requireStatements(ceremony, { basis, held, retiring })
  const revoked = stillRevoked(ceremony, { basis, held, retiring })
  return {
    plan: [
      `retire the root ${printOf(retiring)}`,
      `sign bundle ${bundle.sequence} without it by "${ceremony.keyLabel}"`,
      `nothing stands under it by the word of ${ceremony.hubs.join(', ')}: is a hub left out?`,
      `${revoked.length} of ${held.revokedIntermediates.length} revoked intermediates are kept`,
      ...(ceremony.emergency ? ['before its time: this is an emergency'] : []),
    ],
    certificates: [],
    bundle: {
      held,
      of: () => ({
        ...without(retiring, held),
        sequence: bundle.sequence,
        refreshHint: bundle.refreshHint,
        revokedIntermediates: revoked,
      }),
    },
    outputs: ({ bundle: text = '' }) => new Map([[outputs.bundle, text]]),
    read: (content) => ({
      certificates: [],
      bundle: Buffer.from(content(outputs.bundle)).toString('latin1'),
    }),
  }
}

/** `rotation` made this root, and seven days have passed since, or the file says that it cannot be waited for. */
function requireRotation(ceremony: RetireRootCeremony, { inputs, officers, root, now }: Basis): void {
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
  if (!ceremony.emergency) requireOverlap(summary.endedAt, now)
}

function requireOverlap(since: number, now: number): void {
  const left = since + OVERLAP_MS - now
  if (left <= 0) return
  throw retireRefused('too-early', `both roots must be trusted for ${Math.ceil(left / 3_600_000)} hours more`)
}

interface Usage {
  readonly basis: Basis
  readonly held: TrustBundle
  readonly retiring: Certificate
}

/** Every hub counts nothing under the old root, and has trusted the new one for seven days but in an emergency. */
function requireStatements(ceremony: RetireRootCeremony, usage: Usage): void {
  const { inputs, root } = usage.basis
  const hubs = ceremony.usage.map((input) => {
    const statement = openStatement(inputs.text(input).trimEnd(), usage)
    requireNone(statement, usage.retiring)
    // Nodes had the bundle when a hub gave it to them, not when it was signed.
    const since = statement.roots.find(({ fingerprint }) => fingerprint === printOf(root))?.since
    if (since === undefined)
      throw retireRefused('too-early', `${statement.iss} does not trust the new root yet`)
    if (!ceremony.emergency) requireOverlap(since * 1000, statement.iat * 1000)
    return statement.iss
  })
  if (hubs.toSorted().join(' ') !== ceremony.hubs.toSorted().join(' '))
    throw refuse('field "usage" does not have one statement of each of "hubs"')
}

function openStatement(text: string, { basis, held, retiring }: Usage): RootUsageStatement {
  const open = (bundle: TrustBundle): RootUsageStatement =>
    openRootUsage(text, {
      trust: new SvidValidator(bundle),
      now: basis.now,
      maxAgeMs: MAX_USAGE_AGE_MS,
    })
  const statement = open(held)
  try {
    return open(without(retiring, held))
  } catch (error) {
    if (!isZtError(error)) throw error
    // Its own SVID is one that it does not count.
    throw retireRefused('in-use', `${statement.iss} signs under the root that is to be retired`)
  }
}

/**
 * What is revoked, but for what the retiring root signed in the responses to forget: it counts no longer with its root. A
 * key is revoked by what it is, so one that the next root signed, too, would count again: hubs ask for new keys each time.
 */
function stillRevoked({ forget }: RetireRootCeremony, { basis, held, retiring }: Usage): readonly string[] {
  const gone = new Set<string>()
  for (const input of forget) {
    const response = parseLadderResponse(basis.inputs.bytes(input))
    if (response.root !== printOf(retiring))
      throw refuse(`field "forget": "${input.file}" is not of the root that is to be retired`)
    verifySignedByRoot(response, retiring)
    for (const rung of response.rungs) for (const role of ROLES) gone.add(rung[role].keyId)
  }
  const kept = held.revokedIntermediates.filter((keyId) => !gone.has(keyId))
  if (forget.length > 0 && kept.length === held.revokedIntermediates.length)
    throw refuse('field "forget" names no revoked intermediate of the root that is to be retired')
  return kept
}

function without(root: Certificate, bundle: TrustBundle): TrustBundle {
  return { ...bundle, roots: bundle.roots.filter(({ thumbprint }) => thumbprint !== root.thumbprint) }
}

function requireNone({ iss, roots }: RootUsageStatement, retiring: Certificate): void {
  const count = roots.find(({ fingerprint }) => fingerprint === printOf(retiring))
  if (count === undefined) throw retireRefused('in-use', `${iss} does not say whether the root is in use`)
  if (count.live > 0) throw retireRefused('in-use', `${iss} counts ${count.live} live SVIDs under the root`)
}

function retireRefused(reason: RetireRefusal, what: string): ZtError {
  return new ZtError('ZT-412-RETIRE', what, { details: { reason } })
}
