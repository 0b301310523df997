// Logging in by the operating system's word: a file that only our uid can have made, whose content binds the key that
// gets the SVID. The hub is known by the pinned root and its exact SPIFFE ID before anything is sent to it.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import { pinnedBundle as provenBundle, withCatchUp } from '#shared/host/catch-up.ts'
import { HubHttps } from '#shared/host/hub-https.ts'
import { generateP256, generateX25519, spkiOf, type P256KeyPair } from '#shared/jose/keys.ts'
import { generateNkey, type Nkey } from '#shared/nats/nkeys.ts'
import { openEncKey } from '#shared/protocol/enc-key.ts'
import {
  loginFileContent,
  loginTranscript,
  parseLoginChallenge,
  parseLoginResponse,
  type LoginChallenge,
  type LoginRequest,
  type LoginResponse,
} from '#shared/protocol/login.ts'
import { openBundle, type TrustBundle } from '#shared/x509/bundle.ts'
import { createCsr } from '#shared/x509/csr.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import type { Context } from './contexts.ts'
import { writeNew } from './owned-files.ts'
import type { Session } from './session.ts'

export interface LoginOptions {
  readonly context: Context
  readonly uid: number
  readonly clock: Clock
  /** the bundle of the session that is renewed: without one, the pinned root decides */
  readonly held?: TrustBundle
}

interface NewKeys {
  readonly svid: P256KeyPair
  readonly nats: Nkey
  /** base64url raw X25519 */
  readonly encKey: string
  /** DER */
  readonly csr: Uint8Array
}

/**
 * A new session. Errors: ZT-401-BUNDLE (the hub shows another root), ZT-401-CERT (it is not the hub), ZT-503-HUB,
 * ZT-401-LOGIN (this uid is nobody to the hub), ZT-401-EVIDENCE and others that the hub answers.
 */
export async function login(options: LoginOptions): Promise<Session> {
  const { context, clock } = options
  const trust = new SvidValidator(options.held ?? (await pinnedBundle(context, clock)))
  // A session that is older than a rotation of the root holds a bundle that knows nothing of it.
  return withCatchUp({ url: context.hub, clock, trust }, () => logIn(options, trust))
}

async function logIn(options: LoginOptions, trust: SvidValidator): Promise<Session> {
  const { context, clock, uid } = options
  const hub = new HubHttps({ url: context.hub, hubId: context.hubId, trust, clock })
  const challenge = parseLoginChallenge(await hub.post('/v1/login/challenge', { uid }), '')
  const keys = newKeys()
  const path = proveUid(challenge, keys.csr)
  try {
    const request = loginRequest(options, challenge, keys)
    const response = parseLoginResponse(await hub.post('/v1/login', request), '')
    return accept({ response, keys, trust }, options)
  } finally {
    // The hub has removed it already, unless it never got that far.
    rmSync(path, { force: true })
  }
}

/** The bundle as the pinned root vouches for it. Errors: ZT-401-BUNDLE, ZT-503-HUB. */
export async function pinnedBundle(context: Context, clock: Clock): Promise<TrustBundle> {
  const { bundle } = await provenBundle({ url: context.hub, clock }, context.root)
  if (bundle.trustDomain !== context.td) {
    throw new ZtError('ZT-401-BUNDLE', 'the trust bundle is of another trust domain than the context')
  }
  return bundle
}

function newKeys(): NewKeys {
  const svid = generateP256()
  const encKey = encodeBase64url(generateX25519().publicKey)
  return { svid, nats: generateNkey('user'), encKey, csr: createCsr(svid) }
}

function proveUid({ dir, file }: LoginChallenge, csr: Uint8Array): string {
  const path = join(dir, file)
  try {
    writeNew(path, loginFileContent(csr))
    return path
  } catch (cause) {
    throw new ZtError('ZT-401-LOGIN', `the proof cannot be written to ${dir}`, {
      cause,
      details: { hint: 'this way of logging in works on the machine of the hub only, where that folder is' },
    })
  }
}

function loginRequest(
  { context, uid }: LoginOptions,
  challenge: LoginChallenge,
  keys: NewKeys,
): LoginRequest {
  const { session, nonce } = challenge
  const { publicKey } = keys.nats
  const spki = sha256Text(keys.svid.spki)
  const transcript = { hub: context.hubId, session, nonce, uid, spki, enc: keys.encKey, nats: publicKey }
  const proof = encodeBase64url(keys.nats.sign(loginTranscript(transcript)))
  return { session, csr: encodeBase64url(keys.csr), nats: { publicKey, proof }, enc_key: keys.encKey }
}

interface Given {
  readonly response: LoginResponse
  readonly keys: NewKeys
  readonly trust: SvidValidator
}

/** Believes nothing of the answer that does not prove itself: chain, key, identity, bundle and the hub's own key. */
function accept({ response, keys, trust }: Given, { context, clock }: LoginOptions): Session {
  const now = clock.now()
  const bundle = openBundle(response.bundle, { trusted: trust.bundle }, now)
  const renewed = new SvidValidator(bundle)
  const svid = renewed.validate(
    response.svid.map((text) => decodeBase64url(text, 'svid')),
    now,
  )
  if (svid.id !== response.id) throw wrongAnswer('svid is of another identity than the answer says')
  if (!Buffer.from(spkiOf(svid.publicKey)).equals(keys.svid.spki))
    throw wrongAnswer('svid is for another key')
  openEncKey(response.hub_key, { trust: renewed, now, owner: context.hubId })
  const { id, chain, notBefore, notAfter, thumbprint } = svid
  const { id: _id, ...credentials } = response
  const identity = { id, chain, key: keys.svid.privateKey, notBefore, notAfter, thumbprint }
  return { identity, nats: keys.nats, credentials, begun: now }
}

function wrongAnswer(what: string): ZtError {
  return new ZtError('ZT-401-LOGIN', `the hub's ${what}`)
}
