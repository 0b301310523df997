// The ladder ceremony: two intermediates for every slot of a hub's request, signed by the root's key.
import { infraConstraints, workloadConstraints } from '../issuance/constraint.ts'
import {
  broken,
  fileDigest,
  parseLadderRequest,
  ROLES,
  type LadderRequest,
  type RequestedRung,
  type Role,
} from '../issuance/ladder-request.ts'
import {
  encodeLadderResponse,
  parseLadderResponse,
  verifyLadderResponse,
  verifySignedByRoot,
  type LadderResponse,
  type SignedRung,
} from '../issuance/ladder-response.ts'
import { PROFILES, RUNG_MARGIN_MS } from '../issuance/profile.ts'
import { commonName } from '../issuance/tbs.ts'
import { requireKey, type StoredKey } from '../keystore/keystore.ts'
import { openBundle, rootFingerprint } from '#shared/x509/bundle.ts'
import { parseCertificate, type Certificate } from '#shared/x509/certificate.ts'
import { requireTime } from '#shared/x509/path.ts'
import { certificatesFromPem } from '#shared/x509/pem.ts'
import { pathOf } from '#shared/identity/spiffe-id.ts'
import { bundleOf } from './bundle.ts'
import { certify, type CertificatePlan } from './certify.ts'
import { refuse, type LadderCeremony } from './file.ts'
import type { Desk } from './root.ts'

const DAY_MS = 86_400_000
/** How far ahead of a ceremony its last slot may end. */
const HORIZON_MS = 45 * DAY_MS

interface Root {
  readonly certificate: Certificate
  readonly key: StoredKey
}

/** Throws ZT-422-CEREMONY naming the check that the request, the previous response or the root does not pass. */
export async function runLadder(ceremony: LadderCeremony, desk: Desk): Promise<void> {
  const { folder, transcript } = desk
  const root = await openRoot(ceremony, desk)
  const content = await folder.read(ceremony.request)
  const request = parseLadderRequest(content)
  if (request.trustDomain !== ceremony.trustDomain)
    throw broken('check-domain', 'the request is of another trust domain')
  await checkChain(request, ceremony, { desk, root: root.certificate })
  checkTimes(request, root.certificate, desk.now)
  await transcript.write('checked request', { hub: request.hub, rungs: String(request.rungs.length) })
  const response: LadderResponse = {
    trustDomain: request.trustDomain,
    hub: request.hub,
    request: fileDigest(content),
    previous: request.previous,
    root: rootFingerprint(root.certificate),
    rungs: await signRungs(request, ceremony, { root, desk }),
  }
  const encoded = encodeLadderResponse(response)
  // As the hub will: from the bytes, against its own request.
  const expected = { request, requestDigest: response.request, root: root.certificate }
  verifyLadderResponse(parseLadderResponse(encoded), expected)
  const bundle = await signBundle(ceremony, root, desk)
  await folder.write(ceremony.outputs.response, encoded)
  if (bundle !== undefined) await folder.write(bundle.file, bundle.text)
}

/** C6: the key in the token is the key of the certificate that we are about to issue under. */
async function openRoot(ceremony: LadderCeremony, desk: Desk): Promise<Root> {
  const pem = Buffer.from(await desk.folder.read(ceremony.root)).toString('latin1')
  const [der, second] = certificatesFromPem(pem)
  if (der === undefined || second !== undefined) throw refuse('field "root" does not name one certificate')
  const certificate = parseCertificate(der)
  const key = await requireKey(desk.keys, ceremony.keyLabel)
  if (Buffer.compare(key.spki, certificate.spki) !== 0)
    throw refuse('the key of that label is not the key of the root')
  if (certificate.sans.uris.join() !== `spiffe://${ceremony.trustDomain}`) {
    throw refuse('the root is of another trust domain')
  }
  requireTime(certificate, desk.now)
  return { certificate, key }
}

/** The request continues exactly what this root signed last, or both sides say that it begins anew. */
async function checkChain(
  request: LadderRequest,
  ceremony: LadderCeremony,
  { desk, root }: { desk: Desk; root: Certificate },
): Promise<void> {
  if ((request.previous === null) !== (ceremony.previous === null)) {
    throw broken('check-chain', 'the request and the ceremony file differ on whether the ladder begins anew')
  }
  if (ceremony.previous === null) return
  const content = await desk.folder.read(ceremony.previous)
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

async function signRungs(
  request: LadderRequest,
  ceremony: LadderCeremony,
  { root, desk }: { root: Root; desk: Desk },
): Promise<SignedRung[]> {
  const signed: SignedRung[] = []
  for (const rung of request.rungs) {
    const sign = (role: Role): Promise<Certificate> =>
      certify(planOf({ request, ceremony, root: root.certificate }, rung, role), { ...desk, key: root.key })
    const { index, from, until } = rung
    // One after the other: a token signs one thing at a time, and the transcript is in order.
    signed.push({ index, from, until, workload: await sign('workload'), infra: await sign('infra') })
  }
  return signed
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

/** A newer bundle with the same roots: what is revoked changes here, who is trusted does not. */
async function signBundle(
  ceremony: LadderCeremony,
  { certificate, key }: Root,
  desk: Desk,
): Promise<{ file: string; text: string } | undefined> {
  const { bundle: wish, outputs } = ceremony
  if (wish === null || outputs.bundle === undefined) return undefined
  const { held: heldFile, ...change } = wish
  const text = Buffer.from(await desk.folder.read(heldFile)).toString('latin1')
  const held = openBundle(text, { pinnedRoot: rootFingerprint(certificate) }, desk.now)
  if (change.sequence <= held.sequence)
    throw refuse('field "bundle.sequence" is not above that of the held bundle')
  const bundle = { ...change, trustDomain: held.trustDomain, roots: held.roots }
  const signed = await bundleOf(bundle, { root: certificate, key, now: desk.now })
  await desk.transcript.write('signed bundle', {
    sequence: String(bundle.sequence),
    revoked: String(bundle.revokedIntermediates.length),
  })
  return { file: outputs.bundle, text: signed }
}
