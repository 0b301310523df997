// The answer to a ladder request: for every rung two intermediates, signed by the root. It has no signature of its own:
// each certificate in it is verified, and whatever is not a certificate must equal the request.
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { array, bytes, integer, literal, nullable, object, parsed, string } from '#shared/encoding/shape.ts'
import { parseTrustDomain, type TrustDomain } from '#shared/identity/names.ts'
import { parseSpiffeId, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import { rootFingerprint } from '#shared/x509/bundle.ts'
import { parseCertificate, type Certificate } from '#shared/x509/certificate.ts'
import { isSignedBy } from '#shared/x509/path.ts'
import { lintCertificate } from '../lint/lint.ts'
import { workloadConstraints } from './constraint.ts'
import {
  broken,
  checkSlots,
  encodeSlot,
  MAX_RUNGS,
  parseSeconds,
  ROLES,
  shape,
  type LadderRequest,
  type RequestedRung,
  type Role,
  type Slot,
} from './ladder-request.ts'
import { PROFILES, RUNG_MARGIN_MS } from './profile.ts'

export type SignedRung = Slot & Readonly<Record<Role, Certificate>>

export interface LadderResponse {
  readonly trustDomain: TrustDomain
  readonly hub: SpiffeId
  /** hex SHA-256 of the request's file */
  readonly request: string
  /** as in the request */
  readonly previous: string | null
  /** hex SHA-256 of the root's DER */
  readonly root: string
  readonly rungs: readonly SignedRung[]
}

/** What a response is held against. */
export interface LadderExpectation {
  readonly request: LadderRequest
  /** fileDigest() of the request */
  readonly requestDigest: string
  /** the root that is trusted */
  readonly root: Certificate
}

const HEX_256 = string({ min: 64, max: 64, pattern: /^[0-9a-f]{64}$/ })
const certificate = parsed((value) => parseCertificate(bytes({ min: 64, max: 2048 })(value, 'certificate')))

const parseShape = object({
  type: literal('zt-ladder-response'),
  v: literal(1),
  td: parsed(parseTrustDomain),
  hub: parsed(parseSpiffeId),
  request: HEX_256,
  previous: nullable(HEX_256),
  root: HEX_256,
  rungs: array(
    object({
      index: integer({ min: 0, max: 1_000_000 }),
      from: parseSeconds,
      until: parseSeconds,
      workload: certificate,
      infra: certificate,
    }),
    { min: 1, max: MAX_RUNGS },
  ),
})

/** Reads a response; nothing in it is proved. Throws ZT-422-CEREMONY naming the field. */
export function parseLadderResponse(content: Uint8Array): LadderResponse {
  const { td, hub, request, previous, root, rungs } = shape(content, parseShape, 'ladder response')
  return Object.freeze({ trustDomain: td, hub, request, previous, root, rungs })
}

export function encodeLadderResponse(response: LadderResponse): Uint8Array {
  return canonicalBytes({
    type: 'zt-ladder-response',
    v: 1,
    td: response.trustDomain,
    hub: response.hub,
    request: response.request,
    previous: response.previous,
    root: response.root,
    rungs: response.rungs.map(({ workload, infra, ...slot }) => ({
      ...encodeSlot(slot),
      workload: encodeBase64url(workload.der),
      infra: encodeBase64url(infra.der),
    })),
  })
}

/**
 * Proves that `response` answers exactly `expected.request`: same slots, the requested keys, certificates of our two
 * profiles, signed by the expected root, valid for their slot and its margins, no serial twice.
 * Throws ZT-422-CEREMONY naming the check, ZT-412-LINT, or ZT-401-CERT for a signature of another algorithm.
 */
export function verifyLadderResponse(response: LadderResponse, expected: LadderExpectation): void {
  const { request, requestDigest, root } = expected
  const same =
    response.trustDomain === request.trustDomain &&
    response.hub === request.hub &&
    response.request === requestDigest &&
    response.previous === request.previous
  if (!same) throw broken('check-request', 'the response answers another request')
  if (response.root !== rootFingerprint(root)) throw broken('check-root', 'the response is of another root')
  if (response.rungs.length !== request.rungs.length)
    throw broken('check-count', 'the response has other rungs than were asked for')
  checkSlots(response.rungs)
  for (const [at, wanted] of request.rungs.entries()) checkRung(response.rungs[at], wanted, root)
  checkUniqueSerials(response.rungs)
}

/** Proves that every certificate of a response is signed by `root`: all that can be said of a previous response. */
export function verifySignedByRoot(response: LadderResponse, root: Certificate): void {
  if (response.root !== rootFingerprint(root)) throw broken('check-root', 'the response is of another root')
  checkSlots(response.rungs)
  for (const rung of response.rungs) for (const role of ROLES) checkSigned(rung[role], root, role)
}

function checkRung(found: SignedRung | undefined, wanted: RequestedRung, root: Certificate): void {
  if (
    found === undefined ||
    found.index !== wanted.index ||
    found.from !== wanted.from ||
    found.until !== wanted.until
  ) {
    throw broken('check-slots', `rung ${wanted.index} is not the one that was asked for`)
  }
  for (const role of ROLES) {
    const signed = found[role]
    if (Buffer.compare(signed.spki, wanted[role].spki) !== 0) {
      throw broken('check-keys', `rung ${wanted.index} is for another ${role} key`)
    }
    if (
      signed.notBefore !== found.from - RUNG_MARGIN_MS ||
      signed.notAfter !== found.until + RUNG_MARGIN_MS
    ) {
      throw broken(
        'check-validity',
        `rung ${wanted.index} is not valid for its slot and an hour beyond each end`,
      )
    }
    checkSigned(signed, root, role)
  }
}

function checkSigned(signed: Certificate, root: Certificate, role: Role): void {
  const [uri] = root.sans.uris
  const trustDomain = parseTrustDomain(uri?.slice('spiffe://'.length))
  // What the infra authority may name was decided in the ceremony, and only there.
  const constraints = role === 'workload' ? workloadConstraints(trustDomain) : signed.nameConstraints
  const profile = PROFILES[role === 'workload' ? 'workload-ca' : 'infra-ca']
  lintCertificate(
    signed,
    constraints === undefined ? { profile, trustDomain } : { profile, trustDomain, constraints },
  )
  if (signed.nameConstraints?.permitted.uris.join() !== trustDomain) {
    throw broken('check-constraints', 'an intermediate is not bound to its trust domain')
  }
  if (Buffer.compare(signed.issuerDer, root.subjectDer) !== 0 || !isSignedBy(signed, root)) {
    throw broken('check-signature', 'an intermediate is not signed by the root')
  }
}

function checkUniqueSerials(rungs: readonly SignedRung[]): void {
  const serials = rungs.flatMap((rung) => ROLES.map((role) => rung[role].serial))
  if (new Set(serials).size !== serials.length)
    throw broken('check-unique-serials', 'a serial number is used twice')
}
