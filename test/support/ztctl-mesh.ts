// A mesh of one hub, one node and one operator, for the client's side of the protocol: hub and node are scripts that
// answer as the real ones must, with the real messages, so that a test can make them lie.
import { encodeBase64url, decodeBase64url } from '#shared/encoding/base64url.ts'
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import { toWireError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { ChannelMessage } from '#shared/host/channel.ts'
import type { Identity } from '#shared/identity/identity.ts'
import { nodeNameOf } from '#shared/identity/spiffe-id.ts'
import { principalTag } from '#shared/identity/principal-tag.ts'
import { generateX25519, type X25519KeyPair } from '#shared/jose/keys.ts'
import { generateNkey } from '#shared/nats/nkeys.ts'
import type { Command } from '#shared/protocol/command.ts'
import { DenyList } from '#shared/protocol/deny-list.ts'
import { encKeyId, signEncKey } from '#shared/protocol/enc-key.ts'
import {
  authenticate,
  COMMAND_TYP,
  HUB_TYP,
  readCommandEnvelope,
  readHubEnvelope,
  type EnvelopeHead,
  type InnerTyp,
} from '#shared/protocol/envelope.ts'
import { detailFor } from '#shared/protocol/authorization.ts'
import { CAPABILITY_TYPE } from '#shared/protocol/exchange.ts'
import { parseHubParams, type HubOp } from '#shared/protocol/hub-ops.ts'
import { deriveStreamKeys, FrameSealer, type Frame } from '#shared/protocol/output-frame.ts'
import { sealReceipt, type Outcome } from '#shared/protocol/receipt.ts'
import { commandSubject, inboxPrefix, outputSubject } from '#shared/protocol/subjects.ts'
import { Mesh } from '#ops/ztctl/client/mesh.ts'
import type { Session } from '#ops/ztctl/client/session.ts'
import { MemoryBroker } from '#test/fakes/memory-broker.ts'
import { createTestAuthority, TEST_NOW, type TestAuthority } from './test-authority.ts'

/** Answers one command; `stream` seals frames for the stream that the command asks for. */
export type NodeScript = (cmd: Command, stream: ScriptedStream | undefined) => unknown

export interface ScriptedStream {
  /** for the receipt */
  readonly grant: { readonly epk: string }
  send(frame: Frame): void
}

export interface ScriptedMesh {
  readonly broker: MemoryBroker
  readonly mesh: Mesh
  readonly node: Identity
  readonly authority: TestAuthority
  /** every command that the node has taken */
  readonly taken: Command[]
  /** who signs the node's receipts; the node itself unless a test says otherwise */
  signer: Identity
  /** what the hub says the node's key is */
  nodeKey: string
  onHub: (op: HubOp, params: unknown) => unknown
  onCommand: NodeScript
}

const NO_DENIALS = new DenyList()
const ROW = { log: 'mesh.example/log/node/mac-mini/e1', seq: 7, hash: 'A'.repeat(43) }

export async function scriptedMesh(clock: Clock): Promise<ScriptedMesh> {
  const authority = await createTestAuthority()
  const [hub, node, operator] = await Promise.all([
    authority.identity('/hub/h1'),
    authority.identity('/node/mac-mini'),
    authority.identity('/operator/ann'),
  ])
  const broker = new MemoryBroker()
  const [hubKeys, nodeKeys] = [generateX25519(), generateX25519()]
  const trust = authority.validator()
  const session = sessionOf(operator, signEncKey(hub, hubKeys.publicKey, TEST_NOW))
  const channel = broker.channel(inboxPrefix(operator.id))
  const context = {
    name: 'test',
    hub: 'https://127.0.0.1:1',
    hubId: hub.id,
    td: 'mesh.example',
    root: '00'.repeat(32),
  }
  const options = { context, place: { folder: '/nonexistent', uid: 0 }, clock, timeoutMs: 5_000 }
  const mesh: ScriptedMesh = {
    broker,
    mesh: new Mesh({ channel, session, trust }, options),
    node,
    authority,
    taken: [],
    signer: node,
    nodeKey: signEncKey(node, nodeKeys.publicKey, TEST_NOW),
    onHub: () => ({}),
    onCommand: () => ({}),
  }
  serveHub(mesh, { identity: hub, keys: hubKeys, trust })
  serveNode(mesh, { identity: node, keys: nodeKeys, trust })
  return mesh
}

interface Server {
  readonly identity: Identity
  readonly keys: X25519KeyPair
  readonly trust: ReturnType<TestAuthority['validator']>
}

function sessionOf(identity: Identity, hubKey: string): Session {
  return {
    identity,
    nats: generateNkey('user'),
    begun: TEST_NOW,
    credentials: {
      svid: [],
      nats_jwt: 'a.b.c',
      nats: { servers: ['tls://127.0.0.1:1'], serverId: identity.id },
      bundle: '',
      hub_key: hubKey,
      hub_log: { origin: 'mesh.example/log/hub/h1/e1', vkey: '' },
      expires: identity.notAfter,
    },
  }
}

function open(
  message: ChannelMessage,
  typ: InnerTyp,
  { keys, trust }: Server,
): ReturnType<typeof authenticate> {
  const kid = encKeyId(keys.publicKey)
  return authenticate(Buffer.from(message.data).toString('latin1'), {
    typ,
    key: (asked) => (asked === kid ? keys.privateKey : undefined),
    trust,
    deny: NO_DENIALS,
    now: TEST_NOW,
  })
}

function serveHub(mesh: ScriptedMesh, server: Server): void {
  mesh.broker.channel('zt.inbox.hub').subscribe('zt.hub.>', async (message) => {
    const envelope = readHubEnvelope(open(message, HUB_TYP, server).payload)
    const { op } = envelope
    await answer(message, { to: envelope, op, signer: server.identity, row: false }, () =>
      op === 'token'
        ? grant(parseHubParams('token', envelope.params), mesh.nodeKey)
        : mesh.onHub(op, envelope.params),
    )
  })
}

function grant(request: ReturnType<typeof parseHubParams<'token'>>, nodeKey: string): unknown {
  const [detail] = request.authorization_details
  if (detail === undefined) throw new TypeError('nothing asked for')
  return {
    access_token: 'granted.by.script',
    issued_token_type: CAPABILITY_TYPE,
    token_type: 'N_A',
    expires_in: 15,
    scope: detail.cmd.op,
    authorization_details: [detailFor(detail.cmd)],
    zt: { node_key: nodeKey },
  }
}

function serveNode(mesh: ScriptedMesh, server: Server): void {
  const subject = commandSubject(nodeNameOf(server.identity.id))
  const channel = mesh.broker.channel('zt.inbox.node')
  channel.subscribe(subject, async (message) => {
    const { payload, svid } = open(message, COMMAND_TYP, server)
    const envelope = readCommandEnvelope(payload)
    const { cmd, jti } = envelope
    mesh.taken.push(cmd)
    const send = (to: string, data: Uint8Array): void => channel.publish(to, data)
    const stream =
      'out' in cmd ? scriptStream({ cmd, jti, caller: svid, send, node: server.identity }) : undefined
    await answer(message, { to: envelope, op: cmd.op, signer: mesh.signer, row: true }, () =>
      mesh.onCommand(cmd, stream),
    )
  })
}

interface StreamScript {
  readonly cmd: Command
  readonly jti: string
  readonly caller: { readonly id: Identity['id']; readonly thumbprint: string }
  readonly node: Identity
  readonly send: (subject: string, data: Uint8Array) => void
}

function scriptStream({ cmd, jti, caller, node, send }: StreamScript): ScriptedStream | undefined {
  const out = 'out' in cmd ? cmd.out : undefined
  if (out === undefined) return undefined
  const proc = 'proc' in cmd ? cmd.proc : 'audit'
  const own = generateX25519()
  const subject = outputSubject({
    node: nodeNameOf(node.id),
    proc,
    tag: principalTag(caller.id),
    stream: out.stream,
  })
  const keys = deriveStreamKeys({
    privateKey: own.privateKey,
    peer: decodeBase64url(out.key, 'key'),
    jti,
    node: node.id,
    proc,
    caller: caller.thumbprint,
  })
  const sealer = new FrameSealer({ key: keys.toCaller, subject })
  return {
    grant: { epk: encodeBase64url(own.publicKey) },
    send: (frame) => send(subject, sealer.seal(frame)),
  }
}

interface Answering {
  readonly to: EnvelopeHead
  readonly op: string
  readonly signer: Identity
  readonly row: boolean
}

async function answer(
  message: ChannelMessage,
  { to, op, signer, row }: Answering,
  produce: () => unknown,
): Promise<void> {
  let outcome: Outcome
  try {
    const evidence = row ? { row: ROW, checkpoint: 'signed head' } : {}
    outcome = { op, ok: true, result: produce(), ...evidence }
  } catch (error) {
    outcome = { op, ok: false, error: toWireError(error, to.jti) }
  }
  message.respond(Buffer.from(await sealReceipt(signer, { to, outcome, now: TEST_NOW })))
}

export const text = (stream: 'stdout' | 'stderr', offset: number, data: string): Frame => ({
  kind: stream,
  offset,
  data: Buffer.from(data),
})

export const exit = (status: object): Frame => ({ kind: 'exit', offset: 0, data: canonicalBytes(status) })

export const END_OF_REPLAY: Frame = { kind: 'eof', offset: 0, data: new Uint8Array() }
