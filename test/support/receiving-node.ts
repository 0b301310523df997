// A node's whole receive path in one process: real keys, real certificates, the real log in a real file; only the keeper
// is not real. And a caller who can send it anything, sound unless a test bends it.
import { generateKeyPairSync, randomUUID, type KeyObject } from 'node:crypto'
import { join } from 'node:path'
import { openNodeLog, type NodeLog } from '#node-agent/audit/node-log.ts'
import { Rejections } from '#node-agent/audit/rejections.ts'
import { createPreparer } from '#node-agent/commands/prepare.ts'
import { Receiver, type ReceiverParts } from '#node-agent/commands/receive.ts'
import { OutputSessions } from '#node-agent/output/sessions.ts'
import type { OutputSource } from '#node-agent/output/source.ts'
import { Processes } from '#node-agent/processes/processes.ts'
import { RateBucket, SenderRates } from '#node-agent/rate.ts'
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { silentLogger } from '#shared/host/logger.ts'
import { svidSigner, type Identity } from '#shared/identity/identity.ts'
import { sealJwe } from '#shared/jose/jwe.ts'
import { signJws } from '#shared/jose/jws.ts'
import { generateX25519, type X25519KeyPair } from '#shared/jose/keys.ts'
import type { NodeName } from '#shared/identity/names.ts'
import { detailFor } from '#shared/protocol/authorization.ts'
import { signCapability, type CapabilityClaims } from '#shared/protocol/capability.ts'
import { parseCommand, type Command, type SpawnCommand } from '#shared/protocol/command.ts'
import { DenyList } from '#shared/protocol/deny-list.ts'
import { encKeyId } from '#shared/protocol/enc-key.ts'
import { COMMAND_TYP, ENVELOPE_TYP } from '#shared/protocol/envelope.ts'
import { openReceipt, type Receipt } from '#shared/protocol/receipt.ts'
import { commandSubject, inboxPrefix } from '#shared/protocol/subjects.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { parseRow, type RowBody } from '#shared/log/row.ts'
import { FakeKeeper } from '#test/fakes/fake-keeper.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { randomProc } from './keeper.ts'
import { tempDir } from './temp-dir.ts'
import { makeTestPki, type TestPki } from './test-pki.ts'

export const BOOT = '0b7c2f6e-5d1a-4c3b-9a8f-1e2d3c4b5a69'
export const FENCE = 7
export const START_MS: number = Date.UTC(2026, 10, 22, 12)
const NODE = 'mac-mini' as NodeName
const ORIGIN = 'mesh.example/log/node/mac-mini/e1'

export interface Test {
  after(action: () => Promise<void>): void
}

/** What is said about a message; all of it sound unless changed. */
export interface MessageChanges {
  readonly signer?: Identity
  readonly claims?: Partial<CapabilityClaims>
  readonly hub?: Identity
  /** a token that was made before */
  readonly token?: string
  readonly head?: Readonly<Record<string, unknown>>
  readonly sealTo?: X25519KeyPair
}

export interface Message {
  readonly text: string
  readonly jti: string
  readonly replyTo: string
  readonly from: Identity
}

export interface NodeChanges {
  readonly pki?: TestPki
  readonly clock?: ManualClock
  /** what the receiver is made of, where it is not the usual */
  readonly parts?: Partial<ReceiverParts>
}

interface Made {
  readonly pki: TestPki
  readonly clock?: ManualClock
  readonly dir: string
  readonly changes?: Partial<ReceiverParts>
  /** of a log that exists */
  readonly logKey?: KeyObject
}

export interface Delivery {
  readonly subject?: string
  readonly replyTo?: string
}

/** A program's output that is never read. */
const NO_OUTPUT: OutputSource = {
  streams: ['stdout', 'stderr'],
  read: async (_stream, offset) => ({ data: new Uint8Array(), offset, end: false }),
  exit: () => new Promise(() => undefined),
  close: async () => undefined,
}

export class ReceivingNode {
  readonly clock: ManualClock
  readonly keeper: FakeKeeper = new FakeKeeper()
  readonly deny: DenyList = new DenyList()
  readonly keys: X25519KeyPair = generateX25519()
  readonly callerKeys: X25519KeyPair = generateX25519()
  readonly pki: TestPki
  readonly node: Identity
  readonly hub: Identity
  readonly operator: Identity
  readonly dir: string
  readonly logKey: KeyObject
  /** every message that was handed to the bus: subject and bytes */
  readonly published: { readonly subject: string; readonly data: Uint8Array }[] = []
  anchorAgeMs = 0
  anchorRequests = 0
  zeroTrustNs: bigint[] = []
  log: NodeLog
  receiver: Receiver
  processes: Processes
  rejections: Rejections
  sessions: OutputSessions
  readonly #changes: Partial<ReceiverParts>

  private constructor(made: Made) {
    this.pki = made.pki
    this.clock = made.clock ?? new ManualClock(START_MS)
    this.dir = made.dir
    this.#changes = made.changes ?? {}
    this.logKey = made.logKey ?? generateKeyPairSync('ed25519').privateKey
    this.node = made.pki.identity('/node/mac-mini')
    this.hub = made.pki.identity('/hub/h1')
    this.operator = made.pki.identity('/operator/ann')
    this.log = this.#openLog(made.logKey === undefined ? 'create' : 'refuse')
    ;({
      receiver: this.receiver,
      processes: this.processes,
      rejections: this.rejections,
      sessions: this.sessions,
    } = this.#assemble())
  }

  static async create(test: Test, changes: NodeChanges = {}): Promise<ReceivingNode> {
    const pki = changes.pki ?? (await makeTestPki({ now: START_MS }))
    const made = { pki, dir: await tempDir(test), changes: changes.parts ?? {} }
    const node = new ReceivingNode(changes.clock === undefined ? made : { ...made, clock: changes.clock })
    test.after(() => node.log.close())
    return node
  }

  /** The node of a folder that another process made, with certificates of its own. */
  static async reopen(made: { readonly dir: string; readonly logKey: KeyObject }): Promise<ReceivingNode> {
    return new ReceivingNode({ ...made, pki: await makeTestPki({ now: START_MS }) })
  }

  get subject(): string {
    return commandSubject(NODE)
  }

  /** As after a kill -9: what is in memory is gone, what is on disk is not. */
  async restart(): Promise<void> {
    await this.log.close()
    this.log = this.#openLog('refuse')
    const made = this.#assemble()
    this.receiver = made.receiver
    this.processes = made.processes
    this.rejections = made.rejections
    this.sessions = made.sessions
  }

  spawn(changes: Readonly<Record<string, unknown>> = {}): SpawnCommand {
    const cmd = this.parse({
      v: 1,
      op: 'process.spawn',
      node: this.node.id,
      proc: randomProc(),
      exe: { path: '/bin/true' },
      argv: ['true', 'a secret argument'],
      env: { SECRET: 'a secret value' },
      sandbox: { profile: 'default@1', caps: ['network', 'read_anywhere', 'subprocess', 'workspace_rw'] },
      limits: {},
      ...changes,
    })
    if (cmd.op !== 'process.spawn') throw new Error('not a spawn')
    return cmd
  }

  parse(value: object): Command {
    return parseCommand(value)
  }

  claims(cmd: Command, changes: Partial<CapabilityClaims> = {}): CapabilityClaims {
    const now = Math.floor(this.clock.now() / 1000)
    return {
      iss: this.hub.id,
      aud: this.node.id,
      iat: now,
      exp: now + 15,
      jti: randomUUID(),
      txn: randomUUID(),
      sub: this.operator.id,
      cnf: { 'x5t#S256': this.operator.thumbprint },
      authorization_details: [detailFor(cmd)],
      use: { mode: 'single', scope: 'node' },
      node: { boot: BOOT, fence: FENCE },
      pol: {
        bundle: `sha-256:${sha256Text('policy')}`,
        ver: 3,
        min_ver: 3,
        decision: randomUUID(),
        reasons: ['default.operators-act'],
      },
      lvl: 1,
      chain: null,
      apr: [],
      ...changes,
    }
  }

  token(cmd: Command, changes: Partial<CapabilityClaims> = {}, hub: Identity = this.hub): string {
    return signCapability(hub, this.claims(cmd, changes))
  }

  /** What ztctl signs, before it is signed. */
  body(cmd: Command, changes: MessageChanges = {}): Record<string, unknown> {
    const signer = changes.signer ?? this.operator
    const tok = changes.token ?? this.token(cmd, changes.claims, changes.hub)
    const now = Math.floor(this.clock.now() / 1000)
    return {
      v: 1,
      iss: signer.id,
      aud: this.node.id,
      chan: `nats:${this.subject}`,
      reply: `${inboxPrefix(signer.id)}.${randomUUID()}`,
      replyKey: encodeBase64url(this.callerKeys.publicKey),
      jti: randomUUID(),
      nonce: randomUUID(),
      iat: now,
      exp: now + 30,
      cmd,
      tok,
      tth: sha256Text(tok),
      chain: [],
      ...changes.head,
    }
  }

  /** Signed and sealed as ztctl does it. */
  message(cmd: Command, changes: MessageChanges = {}): Message {
    const from = changes.signer ?? this.operator
    const body = this.body(cmd, changes)
    const text = this.seal(body, from, changes.sealTo)
    return { text, jti: String(body['jti']), replyTo: String(body['reply']), from }
  }

  /** Any body, by anybody who has a key that a certificate names. */
  seal(body: unknown, signer: Identity = this.operator, to: X25519KeyPair = this.keys): string {
    const payload = body instanceof Uint8Array ? body : canonicalBytes(body)
    const inner = signJws({ typ: COMMAND_TYP, payload, signer: svidSigner(signer) })
    const kid = encKeyId(to.publicKey)
    return sealJwe(Buffer.from(inner), { kid, publicKey: to.publicKey, typ: ENVELOPE_TYP, cty: COMMAND_TYP })
  }

  /** Delivers bytes as the broker would; the receipt, opened, or undefined if there was none. */
  async deliver(message: Message, how: Delivery = {}): Promise<Receipt | undefined> {
    const answers: Uint8Array[] = []
    await this.receiver.receive({
      subject: how.subject ?? this.subject,
      replyTo: how.replyTo ?? message.replyTo,
      data: Buffer.from(message.text, 'latin1'),
      respond: (data) => void answers.push(data),
    })
    const [answer] = answers
    if (answer === undefined) return undefined
    return openReceipt(Buffer.from(answer).toString('latin1'), {
      trust: new SvidValidator(this.pki.bundle),
      now: this.clock.now(),
      from: this.node.id,
      to: message.from.id,
      re: message.jti,
      key: this.callerKeys.privateKey,
    })
  }

  /** Sends a sound command, bent by `changes`. */
  send(cmd: Command, changes: MessageChanges = {}): Promise<Receipt | undefined> {
    return this.deliver(this.message(cmd, changes))
  }

  /** The code of a refusal that was answered. */
  async refusal(message: Message, how: Delivery = {}): Promise<string | undefined> {
    const receipt = await this.deliver(message, how)
    return receipt?.ok === false ? receipt.error.code : undefined
  }

  rows(type?: RowBody['type']): RowBody[] {
    const rows = [...this.log.durable.rows()].map(({ body }) => parseRow(body))
    return type === undefined ? rows : rows.filter((row) => row.type === type)
  }

  /** Code and check of the newest refusal on record, and the rule of a certificate chain that it was about. */
  lastRejection(): { code?: string; check?: unknown; reason?: unknown } | undefined {
    const row = this.rows('cmd.rejected').at(-1)
    if (row === undefined) return undefined
    const { code = '', obj = {} } = row
    const found = { code, check: obj['check'] }
    return code === 'ZT-401-CERT' ? { ...found, reason: obj['reason'] } : found
  }

  #openLog(ifMissing: 'create' | 'refuse'): NodeLog {
    const { clock, logKey: key } = this
    return openNodeLog({
      file: join(this.dir, 'audit.db'),
      origin: ORIGIN,
      key,
      clock,
      boot: BOOT,
      ifMissing,
    })
  }

  #assemble(): Pick<ReceivingNode, 'receiver' | 'processes' | 'rejections' | 'sessions'> {
    const { clock, keeper, log, node } = this
    const trust = new SvidValidator(this.pki.bundle)
    const rejections = new Rejections({
      clock,
      append: (draft) => log.append(draft),
      failed: () => undefined,
      limits: { rows: { burst: 1000, perSecond: 1000 }, flushAfterMs: 10_000 },
    })
    const bus = {
      publish: async (subject: string, data: Uint8Array) => void this.published.push({ subject, data }),
    }
    const sessions = new OutputSessions({
      node: NODE,
      me: node.id,
      bus,
      clock,
      logger: silentLogger,
      maxSessions: 4,
    })
    const processes = new Processes({ log, keeper, clock, logger: silentLogger, news: () => sessions.wake() })
    const prepare = createPreparer({
      log,
      keeper,
      processes,
      sessions,
      clock,
      workspaceRoot: '/srv/workspaces',
      searchPath: ['/usr/bin', '/bin'],
      runAs: { uid: 65_534, gid: 65_534 },
      masks: [],
      sockets: { begin: async () => undefined, ended: async () => undefined },
      outputOf: () => NO_OUTPUT,
      observe: (ns) => void this.zeroTrustNs.push(ns),
    })
    const receiver = new Receiver({
      me: node.id,
      clock,
      trust,
      deny: this.deny,
      consumed: log.consumed,
      marks: log.marks,
      rates: new SenderRates(clock, { burst: 1000, perSecond: 1000 }),
      key: (kid) => (kid === encKeyId(this.keys.publicKey) ? this.keys.privateKey : undefined),
      policy: {
        capabilities: ['network', 'read_anywhere', 'subprocess', 'workspace_rw'],
        callers: undefined,
      },
      boot: BOOT,
      fence: () => FENCE,
      log,
      rejections,
      logger: silentLogger,
      load: new RateBucket(clock, { burst: 10_000, perSecond: 10_000 }),
      maxUnderway: 1000,
      anchor: {
        requiredFor: 'privileged-spawns',
        maxAgeMs: 60_000,
        ageMs: () => this.anchorAgeMs,
        anchorSoon: () => {
          this.anchorRequests += 1
        },
      },
      ready: async () => undefined,
      identity: () => node,
      signing: () => ({ isLost: false, waiting: 0 }),
      prepare,
      ...this.#changes,
    })
    return { receiver, processes, rejections, sessions }
  }
}

/** The parts of a compact token, and the same token with one field of its payload changed. */
export function withPayload(token: string, change: (claims: Record<string, unknown>) => object): string {
  const [header = '', payload = '', signature = ''] = token.split('.')
  const claims = parseStrictJson(decodeBase64url(payload, 'payload'), { maxBytes: 65_536 })
  const changed = canonicalBytes(change({ ...(claims as Record<string, unknown>) }))
  return `${header}.${encodeBase64url(changed)}.${signature}`
}
