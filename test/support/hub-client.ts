// Clients of a hub for tests, made of the shared protocol alone: they can be told to lie where the real ones cannot.
import { writeFileSync } from 'node:fs'
import { request, type RequestOptions } from 'node:https'
import { join } from 'node:path'
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import { fromWireError } from '#shared/errors/error.ts'
import type { Channel } from '#shared/host/channel.ts'
import { systemClock } from '#shared/host/clock.ts'
import { HubHttps } from '#shared/host/hub-https.ts'
import { silentLogger } from '#shared/host/logger.ts'
import { connectNats } from '#shared/host/nats-channel.ts'
import type { Identity } from '#shared/identity/identity.ts'
import { parseNodeName } from '#shared/identity/names.ts'
import { parseSpiffeId, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import {
  generateP256,
  generateX25519,
  thumbprint,
  type P256KeyPair,
  type X25519KeyPair,
} from '#shared/jose/keys.ts'
import { generateNkey, type Nkey } from '#shared/nats/nkeys.ts'
import type { Credentials } from '#shared/protocol/admission.ts'
import type { Command } from '#shared/protocol/command.ts'
import { openEncKey, type EncKey } from '#shared/protocol/enc-key.ts'
import { sealHubRequest, type SealedEnvelope } from '#shared/protocol/envelope.ts'
import { exchangeRequest, signIdToken, type ExchangeResponse } from '#shared/protocol/exchange.ts'
import { parseHubResult, type HubOp, type HubParams, type HubResults } from '#shared/protocol/hub-ops.ts'
import {
  loginFileContent,
  loginTranscript,
  parseLoginChallenge,
  parseLoginResponse,
  type LoginResponse,
} from '#shared/protocol/login.ts'
import { openReceipt, type Receipt } from '#shared/protocol/receipt.ts'
import { anchorSubject, hubSubject } from '#shared/protocol/subjects.ts'
import { createCsr } from '#shared/x509/csr.ts'
import { certificatesToPem } from '#shared/x509/pem.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import type { TestHub } from './hub.ts'

/** The keys of one admission or login. */
export interface FreshKeys {
  readonly svid: P256KeyPair
  readonly nats: Nkey
  readonly enc: X25519KeyPair
}

export const freshKeys = (): FreshKeys => ({
  svid: generateP256(),
  nats: generateNkey('user'),
  enc: generateX25519(),
})

export const httpsTo = (hub: TestHub): HubHttps =>
  new HubHttps({
    url: hub.url,
    hubId: parseSpiffeId(hub.id),
    trust: new SvidValidator(hub.bundle),
    clock: systemClock,
  })

export interface RawAnswer {
  readonly status: number
  readonly body: Record<string, unknown>
}

/** One request as it is, with nothing made right: for what the real clients cannot send. */
export function rawRequest(
  hub: TestHub,
  path: string,
  options: RequestOptions & { readonly body?: string } = {},
): Promise<RawAnswer> {
  const { body, ...rest } = options
  return new Promise((resolve, reject) => {
    const sent = request(
      `${hub.url}${path}`,
      { agent: false, rejectUnauthorized: false, ...rest },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString()
          const json = text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : { text }
          resolve({ status: response.statusCode ?? 0, body: json })
        })
      },
    )
    sent.on('error', reject)
    sent.end(body)
  })
}

export const JSON_POST = { method: 'POST', headers: { 'content-type': 'application/json' } } as const
export const FORM_POST = {
  method: 'POST',
  headers: { 'content-type': 'application/x-www-form-urlencoded' },
} as const

/** TLS options of a client that shows its SVID. */
export function certificateOf(identity: Identity): { readonly cert: string; readonly key: string } {
  const key = identity.key.export({ format: 'pem', type: 'pkcs8' }).toString()
  return { cert: certificatesToPem(identity.chain), key }
}

export function identityOf(id: SpiffeId, credentials: Credentials, keys: FreshKeys): Identity {
  const chain = credentials.svid.map((der) => decodeBase64url(der, 'svid'))
  return {
    id,
    chain,
    key: keys.svid.privateKey,
    notBefore: Date.now() - 1000,
    notAfter: credentials.expires,
    thumbprint: thumbprint(chain[0] ?? new Uint8Array()),
  }
}

/** A principal with an SVID, connected to NATS. */
export class TestClient {
  readonly hub: TestHub
  readonly id: SpiffeId
  readonly identity: Identity
  readonly keys: FreshKeys
  readonly credentials: Credentials
  readonly channel: Channel
  readonly trust: SvidValidator

  constructor(
    hub: TestHub,
    parts: { identity: Identity; keys: FreshKeys; credentials: Credentials; channel: Channel },
  ) {
    this.hub = hub
    this.id = parts.identity.id
    this.identity = parts.identity
    this.keys = parts.keys
    this.credentials = parts.credentials
    this.channel = parts.channel
    this.trust = new SvidValidator(hub.bundle)
  }

  static async connect(
    hub: TestHub,
    identity: Identity,
    given: { keys: FreshKeys; credentials: Credentials },
  ): Promise<TestClient> {
    const channel = await connectNats({
      servers: given.credentials.nats.servers.map((server) => server.replace('tls://', '')),
      identity,
      credentials: { jwt: given.credentials.nats_jwt, key: given.keys.nats },
      trust: new SvidValidator(hub.bundle),
      expectServer: given.credentials.nats.serverId,
      clock: systemClock,
      log: silentLogger,
    })
    return new TestClient(hub, { identity, ...given, channel })
  }

  get hubKey(): EncKey {
    return openEncKey(this.credentials.hub_key, {
      trust: this.trust,
      now: Date.now(),
      owner: parseSpiffeId(this.hub.id),
    })
  }

  /** Seals a request; `at` moves its time, `route` any other part of it. */
  async seal(
    content: { op: HubOp; params: unknown },
    change: { subject?: string; now?: number; identity?: Identity; lifeSeconds?: number; to?: EncKey } = {},
  ): Promise<{ sealed: SealedEnvelope; subject: string; replyKey: X25519KeyPair }> {
    const replyKey = generateX25519()
    const subject = change.subject ?? subjectOf(content.op, this.id)
    const sealed = await sealHubRequest(
      {
        identity: this.identity,
        to: this.hubKey,
        reply: this.channel.newInbox(),
        replyKey: replyKey.publicKey,
        now: Date.now(),
        ...change,
        subject,
      },
      content,
    )
    return { sealed, subject, replyKey }
  }

  /** Sends a sealed request and opens what comes back. */
  async send(
    { sealed, subject, replyKey }: Awaited<ReturnType<TestClient['seal']>>,
    timeoutMs = 5000,
  ): Promise<Receipt> {
    const answer = await this.channel.request(subject, Buffer.from(sealed.text), {
      timeoutMs,
      unreachable: 'ZT-503-HUB',
    })
    return openReceipt(Buffer.from(answer.data).toString('latin1'), {
      trust: this.trust,
      now: Date.now(),
      from: parseSpiffeId(this.hub.id),
      to: this.id,
      re: sealed.jti,
      key: replyKey.privateKey,
    })
  }

  /** The result of the operation, or the hub's refusal as an error. */
  async call<Op extends HubOp>(op: Op, params: HubParams[Op]): Promise<HubResults[Op]> {
    const receipt = await this.send(await this.seal({ op, params }))
    if (!receipt.ok) throw fromWireError(receipt.error)
    return parseHubResult(op, receipt.result)
  }

  idToken(): string {
    return signIdToken(this.identity, { hub: parseSpiffeId(this.hub.id), now: Date.now() })
  }

  /** Asks for a capability over NATS. */
  token(cmd: Command): Promise<ExchangeResponse> {
    return this.call('token', exchangeRequest(cmd, this.idToken()))
  }

  close(): Promise<void> {
    return this.channel.close()
  }
}

function subjectOf(op: HubOp, id: SpiffeId): string {
  return op === 'anchor' ? anchorSubject(parseNodeName(id.split('/').at(-1))) : hubSubject(op, id)
}

/** Logs this account in, as `ztctl login` does. */
export async function login(
  hub: TestHub,
  change: {
    uid?: number
    keys?: FreshKeys
    natsKey?: Nkey
    write?: (path: string, content: string) => void
  } = {},
): Promise<{ response: LoginResponse; keys: FreshKeys }> {
  const https = httpsTo(hub)
  const uid = change.uid ?? process.getuid?.() ?? 0
  const challenge = parseLoginChallenge(await https.post('/v1/login/challenge', { uid }), '')
  const keys = change.keys ?? freshKeys()
  const csr = createCsr(keys.svid)
  const write = change.write ?? ((path, content) => writeFileSync(path, content, { mode: 0o600, flag: 'wx' }))
  write(join(challenge.dir, challenge.file), loginFileContent(csr))
  const enc = encodeBase64url(keys.enc.publicKey)
  const transcript = loginTranscript({
    hub: parseSpiffeId(hub.id),
    session: challenge.session,
    nonce: challenge.nonce,
    uid,
    spki: sha256Text(keys.svid.spki),
    enc,
    nats: keys.nats.publicKey,
  })
  const proof = encodeBase64url((change.natsKey ?? keys.nats).sign(transcript))
  const response = parseLoginResponse(
    await https.post('/v1/login', {
      session: challenge.session,
      csr: encodeBase64url(csr),
      nats: { publicKey: keys.nats.publicKey, proof },
      enc_key: enc,
    }),
    '',
  )
  return { response, keys }
}

/** The operator of this account, connected. */
export async function operator(hub: TestHub): Promise<TestClient> {
  const { response, keys } = await login(hub)
  return TestClient.connect(hub, identityOf(response.id, response, keys), { keys, credentials: response })
}
