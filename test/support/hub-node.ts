// Nodes for tests of the hub: machines that join and attest as told, also wrongly, with a real log of their own.
import { generateKeyPairSync, sign } from 'node:crypto'
import { join } from 'node:path'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import { bootId } from '#shared/host/boot-id.ts'
import { systemClock } from '#shared/host/clock.ts'
import { openDurableLog, type DurableLog } from '#shared/host/durable-log.ts'
import { parseNodeName, parseTrustDomain, type ProcId } from '#shared/identity/names.ts'
import { nodeId, parseSpiffeId, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import { generateP256, type P256KeyPair } from '#shared/jose/keys.ts'
import { createNoteSigner, type NoteSigner } from '#shared/log/note.ts'
import type { Nkey } from '#shared/nats/nkeys.ts'
import {
  attestTranscript,
  parseAttestResponse,
  parseChallenge,
  parseJoinString,
  type AttestResponse,
  type Evidence,
  type LogIdentity,
} from '#shared/protocol/admission.ts'
import type { Command } from '#shared/protocol/command.ts'
import { signEncKey } from '#shared/protocol/enc-key.ts'
import type { HubResults } from '#shared/protocol/hub-ops.ts'
import { createCsr } from '#shared/x509/csr.ts'
import { freshKeys, httpsTo, identityOf, TestClient, type FreshKeys } from './hub-client.ts'
import type { TestHub } from './hub.ts'

/** A machine of its own: a device key, a log and a boot. */
export interface TestMachine {
  readonly name: string
  readonly device: P256KeyPair
  readonly logKey: NoteSigner
  readonly log: LogIdentity
  readonly boot: string
}

export function machine(
  name: string,
  change: { epoch?: number; boot?: string; origin?: string } = {},
): TestMachine {
  const origin = change.origin ?? `mesh.example/log/node/${name}/e${change.epoch ?? 1}`
  const logKey = createNoteSigner(origin, generateKeyPairSync('ed25519').privateKey)
  const boot = change.boot ?? 'boot-1'
  return { name, device: generateP256(), logKey, log: { origin, vkey: logKey.vkey }, boot }
}

export interface AttestChange {
  /** join string; the device key proves itself without one */
  readonly join?: string | undefined
  readonly keys?: FreshKeys
  readonly evidence?: (proof: string) => Evidence
  readonly node?: string
  readonly hub?: string
  readonly session?: string
  readonly nats?: Nkey
  readonly enc?: string
}

const deviceProof = (device: P256KeyPair, transcript: Uint8Array): string =>
  encodeBase64url(sign('sha256', transcript, { key: device.privateKey, dsaEncoding: 'ieee-p1363' }))

export interface Admitted {
  readonly response: AttestResponse
  readonly keys: FreshKeys
}

/** Joins with a join string, or attests with the device key; `change` bends what is sent. */
export async function attest(hub: TestHub, who: TestMachine, change: AttestChange = {}): Promise<Admitted> {
  const https = httpsTo(hub)
  const node = parseNodeName(change.node ?? who.name)
  const challenge = parseChallenge(await https.post('/v1/challenge', { node: parseNodeName(who.name) }), '')
  const keys = change.keys ?? freshKeys()
  const session = change.session ?? challenge.session
  const enc = encodeBase64url(keys.enc.publicKey)
  const transcript = attestTranscript({
    hub: parseSpiffeId(change.hub ?? hub.id),
    session,
    nonce: challenge.nonce,
    node,
    spki: sha256Text(keys.svid.spki),
    enc,
    nats: keys.nats.publicKey,
    log: who.log,
  })
  const proof = deviceProof(who.device, transcript)
  const answer = await https.post('/v1/attest', {
    session,
    node,
    evidence: (change.evidence ?? evidenceOf(who, change.join))(proof),
    csr: encodeBase64url(createCsr(keys.svid)),
    nats: {
      publicKey: keys.nats.publicKey,
      proof: encodeBase64url((change.nats ?? keys.nats).sign(transcript)),
    },
    enc_key: change.enc ?? enc,
    log: who.log,
    boot: who.boot,
  })
  return { response: parseAttestResponse(answer, ''), keys }
}

function evidenceOf(who: TestMachine, join: string | undefined): (proof: string) => Evidence {
  if (join === undefined) return (proof) => ({ type: 'device-key', proof })
  const { token } = parseJoinString(join)
  const spki = encodeBase64url(who.device.spki)
  return (proof) => ({ type: 'join-token', token, device: { spki, proof } })
}

/** A joined node, connected, with its encryption key known to the hub and its log on disk. */
export class TestNode {
  readonly client: TestClient
  readonly machine: TestMachine
  readonly log: DurableLog
  #confirmed = 0

  constructor(client: TestClient, who: TestMachine, log: DurableLog) {
    this.client = client
    this.machine = who
    this.log = log
  }

  get id(): SpiffeId {
    return this.client.id
  }

  async hello(): Promise<HubResults['hello']> {
    const { identity, keys } = this.client
    return this.client.call('hello', { enc_key: signEncKey(identity, keys.enc.publicKey, Date.now()) })
  }

  /** Anchors the newest head of its log. */
  async anchor(): Promise<HubResults['anchor']> {
    const { size, note } = this.log.checkpoint()
    const proof = this.#confirmed === 0 ? [] : this.log.proveConsistency(this.#confirmed, size)
    const result = await this.client.call('anchor', {
      checkpoint: note,
      old: this.#confirmed,
      proof: proof.map(encodeBase64url),
      hub_old: 0,
    })
    this.#confirmed = size
    return result
  }

  async close(): Promise<void> {
    await this.client.close()
    await this.log.close()
  }
}

/** Invites and joins a machine, says its key, and anchors its log: ready to be asked. */
export async function joinNode(
  hub: TestHub,
  by: TestClient,
  options: { name: string; ready?: boolean; machine?: TestMachine },
): Promise<TestNode> {
  const origin = `${hub.trustDomain}/log/node/${options.name}/e1`
  const who = options.machine ?? machine(options.name, { origin })
  const { join: text } = await by.call('node.join-token', { node: parseNodeName(options.name) })
  return connectNode(hub, who, { join: text, ready: options.ready ?? true })
}

/** Attests a machine and connects it. */
export async function connectNode(
  hub: TestHub,
  who: TestMachine,
  options: { join?: string; ready?: boolean } = {},
): Promise<TestNode> {
  const { response, keys } = await attest(hub, who, { join: options.join })
  const id = nodeId(parseTrustDomain(hub.trustDomain), parseNodeName(who.name))
  const client = await TestClient.connect(hub, identityOf(id, response, keys), {
    keys,
    credentials: response,
  })
  const log = openDurableLog({
    file: join(hub.dir, `${who.name}-${who.logKey.keyId}.db`),
    origin: who.log.origin,
    signer: who.logKey,
    clock: systemClock,
    boot: bootId(),
    ifMissing: 'create',
  })
  const node = new TestNode(client, who, log)
  if (options.ready === true) {
    await node.hello()
    await node.anchor()
  }
  return node
}

let procs = 0

/** A spawn that a default policy lets an operator do; every call has a process id of its own. */
export function spawnCommand(
  node: SpiffeId,
  change: Partial<Extract<Command, { op: 'process.spawn' }>> = {},
): Command {
  procs += 1
  return {
    v: 1,
    op: 'process.spawn',
    node,
    proc: procId(`${process.pid} ${procs}`),
    exe: { path: '/usr/bin/true' },
    argv: ['true'],
    env: {},
    sandbox: { profile: 'default@1', caps: ['network', 'read_anywhere'] },
    limits: {},
    ...change,
  }
}

/** A process id out of any text. */
export function procId(text: string): ProcId {
  const letters = 'abcdefghijklmnopqrstuvwxyz234567'
  const digest = Buffer.from(sha256Text(text))
  return `p-${[...digest.subarray(0, 20)].map((byte) => letters[byte % 32]).join('')}` as ProcId
}
