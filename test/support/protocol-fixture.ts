// One small mesh of identities, and messages between them: sound by default, each test bends what it is about.
import { randomUUID } from 'node:crypto'
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import { svidSigner, type Identity } from '#shared/identity/identity.ts'
import { nodeNameOf } from '#shared/identity/spiffe-id.ts'
import { sealJwe } from '#shared/jose/jwe.ts'
import { signJws } from '#shared/jose/jws.ts'
import { generateX25519, type X25519KeyPair } from '#shared/jose/keys.ts'
import { detailFor } from '#shared/protocol/authorization.ts'
import { signCapability, type CapabilityClaims } from '#shared/protocol/capability.ts'
import { parseCommand, type Command, type SpawnCommand } from '#shared/protocol/command.ts'
import { DenyList } from '#shared/protocol/deny-list.ts'
import { encKeyId, type EncKey } from '#shared/protocol/enc-key.ts'
import {
  COMMAND_TYP,
  ENVELOPE_TYP,
  type AuthenticationContext,
  type EnvelopeRoute,
} from '#shared/protocol/envelope.ts'
import { commandSubject, inboxPrefix } from '#shared/protocol/subjects.ts'
import type { SvidValidator } from '#shared/x509/svid.ts'
import { createTestAuthority, TEST_NOW, type TestAuthority } from './test-authority.ts'

export const NOW_S: number = TEST_NOW / 1000
export const BOOT = '0b7c2f6e-5d1a-4c3b-9a8f-1e2d3c4b5a69'
export const FENCE = 7
export const PROC = 'p-abcdefghijklmnopqrst'

export interface ProtocolFixture {
  readonly authority: TestAuthority
  readonly trust: SvidValidator
  readonly hub: Identity
  readonly node: Identity
  readonly otherNode: Identity
  readonly operator: Identity
  readonly stranger: Identity
  /** the node's encryption key, both halves */
  readonly nodeKeys: X25519KeyPair
  readonly nodeEncKey: EncKey
  /** the operator's key for receipts and output */
  readonly callerKeys: X25519KeyPair
  /** where the node takes commands */
  readonly subject: string
}

export async function createProtocolFixture(): Promise<ProtocolFixture> {
  const authority = await createTestAuthority()
  const node = await authority.identity('/node/mac-mini')
  const nodeKeys = generateX25519()
  return {
    authority,
    trust: authority.validator(),
    hub: await authority.identity('/hub/h1'),
    node,
    otherNode: await authority.identity('/node/build-box'),
    operator: await authority.identity('/operator/ann'),
    stranger: await authority.identity('/operator/eve'),
    nodeKeys,
    nodeEncKey: encKey(node, nodeKeys),
    callerKeys: generateX25519(),
    subject: commandSubject(nodeNameOf(node.id)),
  }
}

export function encKey(owner: Identity, keys: X25519KeyPair): EncKey {
  return {
    owner: owner.id,
    kid: encKeyId(keys.publicKey),
    publicKey: keys.publicKey,
    expires: owner.notAfter,
  }
}

/** A spawn of `/usr/bin/node` on the fixture's node. */
export function spawnCommand(fixture: ProtocolFixture, changes: object = {}): SpawnCommand {
  const cmd = parseCommand({ ...spawnBody(fixture), ...changes })
  if (cmd.op !== 'process.spawn') throw new Error('not a spawn')
  return cmd
}

/** The same, before it is parsed. */
export function spawnBody(fixture: Pick<ProtocolFixture, 'node'>): Record<string, unknown> {
  return {
    v: 1,
    op: 'process.spawn',
    node: fixture.node.id,
    proc: PROC,
    exe: { path: '/usr/bin/node' },
    argv: ['node', '/srv/run.js'],
    cwd: '/srv',
    env: { ZT_TASK: '42' },
    sandbox: { profile: 'default@1', caps: ['network', 'read_anywhere', 'subprocess', 'workspace_rw'] },
    limits: { wall_s: 600 },
  }
}

/** Claims that allow `cmd` to the operator on the node for 15 s from TEST_NOW. */
export function capabilityClaims(
  fixture: ProtocolFixture,
  cmd: Command,
  changes: Partial<CapabilityClaims> = {},
): CapabilityClaims {
  return {
    iss: fixture.hub.id,
    aud: fixture.node.id,
    iat: NOW_S,
    exp: NOW_S + 15,
    jti: randomUUID(),
    txn: randomUUID(),
    sub: fixture.operator.id,
    cnf: { 'x5t#S256': fixture.operator.thumbprint },
    authorization_details: [detailFor(cmd)],
    use: { mode: 'single', scope: 'node' },
    node: { boot: BOOT, fence: FENCE },
    pol: {
      bundle: `sha-256:${sha256Text('policy')}`,
      ver: 1,
      min_ver: 1,
      decision: randomUUID(),
      reasons: ['default.operators-act'],
    },
    lvl: 1,
    chain: null,
    apr: [],
    ...changes,
  }
}

export function tokenFor(fixture: ProtocolFixture, cmd: Command): string {
  return signCapability(fixture.hub, capabilityClaims(fixture, cmd))
}

export function route(fixture: ProtocolFixture, changes: Partial<EnvelopeRoute> = {}): EnvelopeRoute {
  return {
    identity: fixture.operator,
    to: fixture.nodeEncKey,
    subject: fixture.subject,
    reply: `${inboxPrefix(fixture.operator.id)}.r1`,
    replyKey: fixture.callerKeys.publicKey,
    now: TEST_NOW,
    ...changes,
  }
}

/** The body of a sound command envelope, before it is signed. */
export function envelopeBody(fixture: ProtocolFixture): Record<string, unknown> {
  const cmd = spawnCommand(fixture)
  const tok = tokenFor(fixture, cmd)
  return {
    v: 1,
    iss: fixture.operator.id,
    aud: fixture.node.id,
    chan: `nats:${fixture.subject}`,
    reply: `${inboxPrefix(fixture.operator.id)}.r1`,
    replyKey: encodeBase64url(fixture.callerKeys.publicKey),
    jti: randomUUID(),
    nonce: randomUUID(),
    iat: NOW_S,
    exp: NOW_S + 30,
    cmd,
    tok,
    tth: sha256Text(tok),
    chain: [],
  }
}

/** Signs and seals any payload to the fixture's node, as soundly as a hostile but genuine caller can. */
export function sealAnything(
  fixture: ProtocolFixture,
  payload: unknown,
  signer: Identity = fixture.operator,
): string {
  const bytes = payload instanceof Uint8Array ? payload : canonicalBytes(payload)
  const inner = signJws({ typ: COMMAND_TYP, payload: bytes, signer: svidSigner(signer) })
  const { kid, publicKey } = fixture.nodeEncKey
  return sealJwe(Buffer.from(inner), { kid, publicKey, typ: ENVELOPE_TYP, cty: COMMAND_TYP })
}

/** What the node opens envelopes with. */
export function nodeContext(
  fixture: ProtocolFixture,
  changes: Partial<AuthenticationContext> = {},
): AuthenticationContext {
  return {
    typ: COMMAND_TYP,
    key: (kid) => (kid === fixture.nodeEncKey.kid ? fixture.nodeKeys.privateKey : undefined),
    trust: fixture.trust,
    deny: new DenyList(),
    now: TEST_NOW,
    ...changes,
  }
}
