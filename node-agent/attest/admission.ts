// One admission: fresh keys, a challenge, evidence, and an answer of which every part is checked before it is used.
// The keys of NATS, of encryption and of the connection never leave memory, and that of the SVID never its TPM. Where no TPM
// keeps it, the key of the SVID is in memory too, and is that of the connection.
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { NatsCredentials } from '#shared/host/nats-channel.ts'
import type { HeldIdentity, Identity } from '#shared/identity/identity.ts'
import type { NodeName } from '#shared/identity/names.ts'
import { linkId, trustDomainOf, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import {
  generateP256,
  generateX25519,
  spkiOf,
  type P256KeyPair,
  type X25519KeyPair,
} from '#shared/jose/keys.ts'
import { generateNkey, type Nkey } from '#shared/nats/nkeys.ts'
import {
  attestTranscript,
  parseAttestResponse,
  parseChallenge,
  type AttestRequest,
  type AttestResponse,
  type Challenge,
  type LogIdentity,
  type NatsAccess,
} from '#shared/protocol/admission.ts'
import { decodeBase64url } from '#shared/encoding/base64url.ts'
import { openEncKey, type EncKey } from '#shared/protocol/enc-key.ts'
import { openBundle, type TrustBundle } from '#shared/x509/bundle.ts'
import { createCsr, createCsrWith } from '#shared/x509/csr.ts'
import type { SvidValidator } from '#shared/x509/svid.ts'
import type { HubHttps } from '#shared/host/hub-https.ts'
import type { Attestor } from './attestor.ts'
import type { SigningState, TpmSvidKey } from './tpm-svid-key.ts'

export interface AdmissionParts {
  readonly https: Pick<HubHttps, 'post'>
  readonly attestor: Attestor
  readonly trust: SvidValidator
  readonly clock: Clock
  readonly hubId: SpiffeId
  readonly node: NodeName
  /** what the SVID must say */
  readonly nodeId: SpiffeId
  readonly log: LogIdentity
  readonly boot: string
  /** Keeps a newer bundle, before anything is proved with it. */
  readonly keepBundle: (text: string, bundle: TrustBundle) => void
}

/** What the node is until its SVID ends. */
export interface Admission {
  readonly identity: Identity | HeldIdentity
  /** what TLS shows to the broker: the identity's own, or that of the link where TLS cannot use that */
  readonly link: Pick<Identity, 'chain' | 'key'>
  /** of an identity whose key is in the TPM */
  readonly signing?: SigningState & { readonly lost: Promise<void> }
  readonly credentials: NatsCredentials
  readonly nats: NatsAccess
  readonly encKey: X25519KeyPair
  readonly hubKey: EncKey
  readonly hubLog: LogIdentity
  readonly policyVersion: number
  readonly fence: number
  readonly lvl: number
  /** zt-deny+jws, not opened yet */
  readonly deny: string
}

/** The key of the SVID in memory, or in the TPM beside one in memory for the connection. */
type SvidKeys = { readonly memory: P256KeyPair } | { readonly tpm: TpmSvidKey; readonly link: P256KeyPair }

interface FreshKeys {
  readonly svid: SvidKeys
  readonly nats: Nkey
  readonly enc: X25519KeyPair
}

/**
 * Errors: those of HubHttps; the hub's own refusal (ZT-401-EVIDENCE, ZT-403-JOIN, ZT-403-REVOKED and so on); ZT-401-CERT
 * if the SVID is not for this name and this key; ZT-401-BUNDLE for a bundle that a trusted root did not sign.
 */
export async function admit(parts: AdmissionParts): Promise<Admission> {
  const hello = await parts.attestor.hello?.()
  const wish = { node: parts.node, ...(hello !== undefined && { tpm: hello }) }
  const challenge = parseChallenge(await parts.https.post('/v1/challenge', wish), '')
  // After the challenge: a node whose hub is away makes no key of its TPM's time.
  const keys = {
    svid: await svidKeys(parts.attestor),
    nats: generateNkey('user'),
    enc: generateX25519(),
  }
  const request = await answerChallenge(parts, challenge, keys)
  const response = parseAttestResponse(await parts.https.post('/v1/attest', request), '')
  return accept(parts, response, keys)
}

async function svidKeys(attestor: Attestor): Promise<SvidKeys> {
  const tpm = await attestor.createKey?.()
  return tpm === undefined ? { memory: generateP256() } : { tpm, link: generateP256() }
}

async function answerChallenge(
  parts: AdmissionParts,
  challenge: Challenge,
  keys: FreshKeys,
): Promise<AttestRequest> {
  const { session, nonce } = challenge
  const enc = encodeBase64url(keys.enc.publicKey)
  const { svid } = keys
  const [tpm, link] = 'tpm' in svid ? [svid.tpm, svid.link] : []
  const transcript = attestTranscript({
    hub: parts.hubId,
    session,
    nonce,
    node: parts.node,
    spki: sha256Text(spkiOfKeys(svid)),
    ...(link !== undefined && { link: sha256Text(link.spki) }),
    enc,
    nats: keys.nats.publicKey,
    log: parts.log,
  })
  return {
    session,
    node: parts.node,
    evidence: await parts.attestor.attest(transcript, challenge, tpm),
    csr: encodeBase64url(await requestOf(svid)),
    ...(link !== undefined && { link: encodeBase64url(createCsr(link)) }),
    nats: { publicKey: keys.nats.publicKey, proof: encodeBase64url(keys.nats.sign(transcript)) },
    enc_key: enc,
    log: parts.log,
    boot: parts.boot,
  }
}

function accept(parts: AdmissionParts, response: AttestResponse, keys: FreshKeys): Admission {
  const { trust, clock, hubId } = parts
  const now = clock.now()
  // First the bundle: the new SVID may stand below a root that only the new bundle names.
  const bundle = openBundle(response.bundle, { trusted: trust.bundle }, now)
  if (bundle.sequence > trust.bundle.sequence) {
    parts.keepBundle(response.bundle, bundle)
    trust.replaceBundle(bundle)
  }
  return {
    ...identityOf(parts, response, keys.svid),
    credentials: { jwt: response.nats_jwt, key: keys.nats },
    nats: response.nats,
    encKey: keys.enc,
    hubKey: openEncKey(response.hub_key, { owner: hubId, trust, now }),
    hubLog: response.hub_log,
    policyVersion: response.policy.ver,
    fence: response.fence,
    lvl: response.lvl,
    deny: response.deny,
  }
}

function identityOf(
  parts: AdmissionParts,
  response: AttestResponse,
  keys: SvidKeys,
): Pick<Admission, 'identity' | 'link' | 'signing'> {
  const own = proveSvid(parts, response.svid, { id: parts.nodeId, spki: spkiOfKeys(keys) })
  if ('memory' in keys) {
    const identity = { ...own, key: keys.memory.privateKey }
    return { identity, link: identity }
  }
  if (response.link === undefined) throw refuse('of the connection is missing')
  const id = linkId(trustDomainOf(parts.nodeId), parts.node)
  const { chain } = proveSvid(parts, response.link, { id, spki: keys.link.spki })
  const { tpm } = keys
  const identity = { ...own, sign: (data: Uint8Array) => tpm.sign(data) }
  return { identity, link: { chain, key: keys.link.privateKey }, signing: tpm }
}

/** A hub may only ever give us our own name for our own key. */
function proveSvid(
  { trust, clock }: AdmissionParts,
  chain: readonly string[],
  own: { readonly id: SpiffeId; readonly spki: Uint8Array },
): Omit<Identity, 'key'> {
  const svid = trust.validate(
    chain.map((der) => decodeBase64url(der, 'svid')),
    clock.now(),
  )
  if (svid.id !== own.id) throw refuse('is for another name')
  if (Buffer.compare(spkiOf(svid.publicKey), own.spki) !== 0) throw refuse('is for another key')
  const { id, notBefore, notAfter, thumbprint } = svid
  return { id, chain: svid.chain, notBefore, notAfter, thumbprint }
}

function spkiOfKeys(keys: SvidKeys): Uint8Array {
  return 'tpm' in keys ? keys.tpm.spki : keys.memory.spki
}

async function requestOf(keys: SvidKeys): Promise<Uint8Array> {
  return 'tpm' in keys
    ? createCsrWith(keys.tpm.spki, (data) => keys.tpm.signRequest(data))
    : createCsr(keys.memory)
}

function refuse(what: string): ZtError {
  return new ZtError('ZT-401-CERT', `the certificate from the hub ${what}`, { details: { reason: 'issued' } })
}
