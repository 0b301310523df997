// The ladder ceremony: two intermediates for every slot of a hub's request, signed by the root's key.
import { sha256Text } from '#shared/encoding/digest.ts'
import { rootFingerprint, type TrustBundle } from '#shared/x509/bundle.ts'
import type { Certificate } from '#shared/x509/certificate.ts'
import { pathOf } from '#shared/identity/spiffe-id.ts'
import { infraConstraints, workloadConstraints } from '../../issuance/constraint.ts'
import {
  broken,
  fileDigest,
  parseLadderRequest,
  ROLES,
  type LadderRequest,
  type RequestedRung,
  type Role,
} from '../../issuance/ladder-request.ts'
import {
  encodeLadderResponse,
  parseLadderResponse,
  verifyLadderResponse,
  verifySignedByRoot,
  type LadderResponse,
  type SignedRung,
} from '../../issuance/ladder-response.ts'
import { PROFILES, RUNG_MARGIN_MS } from '../../issuance/profile.ts'
import { commonName } from '../../issuance/tbs.ts'
import type { CertificatePlan } from '../certify.ts'
import { day } from '../describe.ts'
import { refuse } from '../fields.ts'
import type { LadderCeremony } from '../file.ts'
import { heldBundle } from '../held.ts'
import type { Basis, Made, Work } from '../work.ts'

const DAY_MS = 86_400_000
/** How far ahead of a ceremony its last slot may end. */
const HORIZON_MS = 45 * DAY_MS

/** Throws ZT-422-CEREMONY naming the check that the request or the previous response does not pass. */
export function ladderWork(ceremony: LadderCeremony, basis: Basis): Work {
  const { inputs, root, now } = basis
  const content = inputs.bytes(ceremony.request)
  const request = parseLadderRequest(content)
  if (request.trustDomain !== ceremony.trustDomain)
    throw broken('check-domain', 'the request is of another trust domain')
  checkChain(request, ceremony, basis)
  checkTimes(request, root, now)
  const held = heldBundle(ceremony.held, basis)
  checkRevoked(request, held)
  const requestDigest = fileDigest(content)
  return {
    plan: [
      ...describe(request, ceremony),
      `bundle ${held.sequence} is in force and revokes ${held.revokedIntermediates.length} intermediates`,
    ],
    certificates: request.rungs.flatMap((rung) =>
      ROLES.map((role) => planOf({ request, ceremony, root }, rung, role)),
    ),
    outputs: (made) => {
      const encoded = encodeLadderResponse(responseOf(request, { requestDigest, root, made }))
      // As the hub will: from the bytes, against its own request.
      verifyLadderResponse(parseLadderResponse(encoded), { request, requestDigest, root })
      return new Map([[ceremony.outputs.response, encoded]])
    },
    read: (output) => {
      const { rungs } = parseLadderResponse(output(ceremony.outputs.response))
      return { certificates: rungs.flatMap((rung) => ROLES.map((role) => rung[role])) }
    },
  }
}

function describe(request: LadderRequest, { infra, keyLabel }: LadderCeremony): string[] {
  const [first, last] = [request.rungs[0], request.rungs.at(-1)]
  const names = [...infra.dns, ...infra.ips.map(ipText)]
  return [
    `sign ${request.rungs.length} rungs for ${request.hub} by "${keyLabel}"`,
    `numbers ${first?.index} to ${last?.index}, from ${day(first?.from ?? 0)} until ${day(last?.until ?? 0)}`,
    request.previous === null ? 'the ladder begins anew' : 'the ladder continues the response before it',
    `its infrastructure may be named ${names.length === 0 ? 'by nothing but SPIFFE IDs' : names.join(', ')}`,
  ]
}

function ipText(address: Uint8Array): string {
  if (address.length === 4) return address.join('.')
  const hex = Buffer.from(address).toString('hex')
  return hex.replaceAll(/(.{4})(?!$)/g, '$1:')
}

/** The request continues exactly what this root signed last, or both sides say that it begins anew. */
function checkChain(request: LadderRequest, ceremony: LadderCeremony, { inputs, root }: Basis): void {
  if ((request.previous === null) !== (ceremony.previous === null)) {
    throw broken('check-chain', 'the request and the ceremony file differ on whether the ladder begins anew')
  }
  if (ceremony.previous === null) return
  const content = inputs.bytes(ceremony.previous)
  const previous = parseLadderResponse(content)
  verifySignedByRoot(previous, root)
  const [last, first] = [previous.rungs.at(-1), request.rungs[0]]
  const continues =
    request.previous === fileDigest(content) &&
    request.hub === previous.hub &&
    request.trustDomain === previous.trustDomain
  if (!continues) throw broken('check-chain', 'the request does not continue the previous response')
  if (first?.from !== last?.until || first?.index !== (last?.index ?? 0) + 1) {
    throw broken('check-chain', 'the request leaves a gap after the previous response')
  }
  const used = previous.rungs.flatMap((rung) => ROLES.map((role) => Buffer.from(rung[role].spki)))
  const isUsed = (spki: Uint8Array): boolean => used.some((known) => known.equals(spki))
  if (request.rungs.some((rung) => ROLES.some((role) => isUsed(rung[role].spki)))) {
    throw broken('check-unique-keys', 'a key of the previous response is asked for again')
  }
}

function checkTimes(request: LadderRequest, root: Certificate, now: number): void {
  const [first, last] = [request.rungs[0], request.rungs.at(-1)]
  if (first === undefined || last === undefined) throw broken('check-count', 'the request has no rungs')
  if (last.until <= now || last.until > now + HORIZON_MS)
    throw broken('check-horizon', 'the last slot ends in the past or over 45 days ahead')
  if (request.previous === null && first.from < now - DAY_MS)
    throw broken('check-horizon', 'the first slot begins over a day ago')
  if (first.from - RUNG_MARGIN_MS < root.notBefore || last.until + RUNG_MARGIN_MS > root.notAfter) {
    throw broken('check-validity', 'a slot is outside of the life of the root')
  }
}

/** A key that was stolen is revoked by what it is, so an old request must not bring it back. */
function checkRevoked(request: LadderRequest, { revokedIntermediates }: TrustBundle): void {
  const revoked = new Set(revokedIntermediates)
  const asked = request.rungs.flatMap((rung) => ROLES.map((role) => sha256Text(rung[role].spki)))
  if (asked.some((keyId) => revoked.has(keyId)))
    throw broken('check-revoked', 'the request asks for a key that the bundle in force revokes')
}

interface Order {
  readonly request: LadderRequest
  readonly ceremony: LadderCeremony
  readonly root: Certificate
}

function planOf({ request, ceremony, root }: Order, rung: RequestedRung, role: Role): CertificatePlan {
  const { trustDomain } = ceremony
  const profile = PROFILES[role === 'workload' ? 'workload-ca' : 'infra-ca']
  const constraints =
    role === 'workload' ? workloadConstraints(trustDomain) : infraConstraints(trustDomain, ceremony.infra)
  const what = `${role} ${rung.index}`
  if (root.subjectKeyId === undefined) throw refuse('the root has no key identifier')
  const template = {
    profile,
    issuer: root.subjectDer,
    // Another name for every rung, so that chains can be told apart by eye.
    subject: commonName(`ztmesh ${role} ca ${pathOf(request.hub).slice(1)} ${rung.index}`),
    notBefore: rung.from - RUNG_MARGIN_MS,
    notAfter: rung.until + RUNG_MARGIN_MS,
    spki: rung[role].spki,
    names: { uri: `spiffe://${trustDomain}`, dns: [], ips: [] },
    constraints,
    issuerKeyId: root.subjectKeyId,
  }
  return { what, template, context: { profile, trustDomain, constraints } }
}

interface Signed {
  readonly requestDigest: string
  readonly root: Certificate
  readonly made: Made
}

function responseOf(request: LadderRequest, { requestDigest, root, made }: Signed): LadderResponse {
  const { trustDomain, hub, previous } = request
  return {
    trustDomain,
    hub,
    request: requestDigest,
    previous,
    root: rootFingerprint(root),
    rungs: request.rungs.map((rung, at) => signedRung(rung, made.certificates.slice(2 * at, 2 * at + 2))),
  }
}

function signedRung({ index, from, until }: RequestedRung, pair: readonly Certificate[]): SignedRung {
  const [workload, infra] = pair
  if (workload === undefined || infra === undefined)
    throw broken('check-count', `rung ${index} was not signed`)
  return { index, from, until, workload, infra }
}
