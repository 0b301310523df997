// An operator who is revoked is refused everywhere within a second, also with what he held before: certificate, private
// key, capabilities already granted, an output stream already open, and a connection to the broker that nobody can
// close. It stays so when hub and nodes start again.
import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { newProcId } from '#ops/ztctl/client/spawn-command.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import { parseNodeName } from '#shared/identity/names.ts'
import { principalTag } from '#shared/identity/principal-tag.ts'
import { parseSpiffeId, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import { generateX25519 } from '#shared/jose/keys.ts'
import { parseCommand, type Command } from '#shared/protocol/command.ts'
import { openEncKey } from '#shared/protocol/enc-key.ts'
import {
  sealCommand,
  sealHubRequest,
  type EnvelopeRoute,
  type SealedEnvelope,
} from '#shared/protocol/envelope.ts'
import { exchangeRequest, signIdToken, type ExchangeRequest } from '#shared/protocol/exchange.ts'
import { commandSubject, hubSubject } from '#shared/protocol/subjects.ts'
import { rowsOf } from '#test/support/audit-rows.ts'
import { BrokerThief } from '#test/support/broker-thief.ts'
import { eventually } from '#test/support/eventually.ts'
import { needsMesh, startTestMesh, type TestMesh } from '#test/support/mesh.ts'
import { processesOfArgv } from '#test/support/process-table.ts'
import { becomeOperator, keepSession, operatorsWhere } from '#test/support/two-operators.ts'
import type { Typed } from '#test/support/typed.ts'

const NODES = ['n1', 'n2'] as const
const REVOKED = { code: 'ZT-403-REVOKED' } as const
// What begins this long after the command that revoked has returned, must be refused.
const FELT_WITHIN_MS = 1_000
const COUNT_EVERY_MS = 20

interface Granted {
  readonly node: string
  readonly cmd: Command
  readonly token: string
  /** what the command is sealed to */
  readonly nodeKey: string
}

/** Who acts with a session over a connection that hears and may say everything. */
class Principal {
  readonly thief: BrokerThief
  readonly seconds = `${randomInt(100_000, 900_000)}.${randomInt(100_000, 900_000)}`

  constructor(thief: BrokerThief) {
    this.thief = thief
  }

  get running(): number {
    return processesOfArgv(['sleep', this.seconds]).length
  }

  async askForCapability(node: string): Promise<Granted> {
    const cmd = this.spawnOn(node)
    const { access_token: token, zt } = await this.thief.client().hub('token', this.tokenRequest(cmd))
    return { node, cmd, token, nodeKey: zt.node_key }
  }

  tokenRequest(cmd: Command): ExchangeRequest {
    const { session, options } = this.thief.stolen
    const subjectToken = signIdToken(session.identity, { hub: options.context.hubId, now: Date.now() })
    return exchangeRequest(cmd, subjectToken)
  }

  /** Sends the command with its capability; answers the digest by which the node's log names the message. */
  use({ node, cmd, token, nodeKey }: Granted): string {
    const route = this.#route(commandSubject(parseNodeName(node)), { statement: nodeKey, owner: cmd.node })
    return this.#send(route, sealCommand(route, { cmd, tok: token }))
  }

  /** Asks the hub and does not wait; answers the digest by which the hub's log names the message. */
  ask(op: 'token' | 'node.list', params: object): string {
    const { session, options } = this.thief.stolen
    const to = { statement: session.credentials.hub_key, owner: options.context.hubId }
    const route = this.#route(hubSubject(op), to)
    return this.#send(route, sealHubRequest(route, { op, params }))
  }

  #route(subject: string, to: { readonly statement: string; readonly owner: SpiffeId }): EnvelopeRoute {
    const { channel, stolen } = this.thief
    const now = Date.now()
    return {
      identity: stolen.session.identity,
      to: openEncKey(to.statement, { trust: stolen.trust, now, owner: to.owner }),
      subject,
      reply: channel.newInbox(),
      replyKey: generateX25519().publicKey,
      now,
    }
  }

  #send({ subject, reply }: EnvelopeRoute, { text }: SealedEnvelope): string {
    this.thief.channel.publish(subject, Buffer.from(text, 'latin1'), { replyTo: reply })
    return sha256Text(text)
  }

  spawnOn(node: string): Command {
    return parseCommand({
      v: 1,
      op: 'process.spawn',
      node: this.thief.client().nodeId(node),
      proc: newProcId(),
      exe: { path: 'sleep' },
      argv: ['sleep', this.seconds],
      env: {},
      sandbox: { profile: 'default@1', caps: ['read_anywhere', 'subprocess', 'workspace_rw'] },
      limits: {},
    })
  }
}

describe('a revoked operator', { skip: needsMesh }, () => {
  const granted: Granted[] = []
  let mesh: TestMesh
  let bobsTerminal: NodeJS.ProcessEnv
  let bob: Principal
  let follower: Typed
  let proc = ''
  let revokedAt = 0

  /** How a log says that the message was judged. */
  const judged = (file: string, digest: string): Promise<string> =>
    eventually('a message to be judged', () => {
      const row = rowsOf(file).find(({ req }) => req?.env === digest)
      return row?.type === 'cmd.accepted' ? 'accepted' : row?.code
    })
  const judgedBy = (node: string, digest: string): Promise<string> => judged(mesh.auditFile(node), digest)
  const judgedByHub = (digest: string): Promise<string> => judged(join(mesh.dir, 'hub', 'log.db'), digest)

  before(async () => {
    mesh = await startTestMesh({ nodes: [], hub: { operators: operatorsWhere('bob') } })
    bobsTerminal = keepSession(mesh)
    bob = new Principal(await BrokerThief.enter(mesh))
    await becomeOperator(mesh, 'alice')
    await mesh.programs.awaitHub()
    for (const node of NODES) await mesh.programs.addNode(node)

    const counter = `i=0; while :; do echo "$i"; i=$((i+1)); sleep ${COUNT_EVERY_MS / 1000}; done`
    const { stdout } = await mesh.ztctl(['spawn', '-q', '-n', 'n1', '--', 'sh', '-c', counter], {
      env: bobsTerminal,
    })
    proc = stdout.trim()
    follower = mesh.type(['logs', '-f', proc], bobsTerminal)
    await follower.printed('\n10\n')
    for (const node of NODES) {
      assert.equal(await judgedBy(node, bob.use(await bob.askForCapability(node))), 'accepted')
      granted.push(await bob.askForCapability(node))
    }
    await eventually('what was let in to run', () => (bob.running === NODES.length ? true : undefined))
    await mesh.out(['revoke', 'operator/bob', '--yes', '--reason', 'left'])
    revokedAt = performance.now()
  })
  after(async () => {
    await bob?.thief.leave()
    await mesh?.end()
  })

  // Not startNode(): with a thief who hears everything, the broker never says that nobody listens.
  const restarted = async (node: string): Promise<void> => {
    mesh.programs.launchNode(node)
    const args = ['ps', '-n', node, '--request-timeout', '500ms']
    await eventually(`${node} to answer`, async () =>
      (await mesh.ztctl(args)).code === 0 ? true : undefined,
    )
  }

  const inTime = (): void => {
    assert.ok(performance.now() - revokedAt < FELT_WITHIN_MS, 'all of it within a second')
  }

  it('runs nothing on any node with a capability from before, and gets no other one', async () => {
    const sent = granted.map((grant) => ({ node: grant.node, digest: bob.use(grant) }))
    const asked = [
      bob.ask('token', bob.tokenRequest(bob.spawnOn('n1'))),
      bob.ask('token', bob.tokenRequest(bob.spawnOn('n2'))),
      bob.ask('node.list', {}),
    ]
    for (const { node, digest } of sent) assert.equal(await judgedBy(node, digest), REVOKED.code)
    for (const digest of asked) assert.equal(await judgedByHub(digest), REVOKED.code)
    inTime()
    assert.equal(bob.running, NODES.length)
  })

  it('reads no further output of a process that he followed', async () => {
    const { code, stdout, stderr } = await follower.ended
    assert.notEqual(code, 0, stderr.toString())
    // The process goes on: somebody else reads what it writes for longer than a second from now.
    const last = Number(stdout.toString().trim().split('\n').at(-1))
    const other = mesh.type(['logs', '-f', proc])
    await other.printed(`\n${last + (1.5 * FELT_WITHIN_MS) / COUNT_EVERY_MS}\n`)
    const sentTo = (operator: string): number[] => {
      const tag = principalTag(parseSpiffeId(`spiffe://mesh.example/operator/${operator}`))
      const ours = bob.thief.heard.filter(({ subject }) =>
        subject.startsWith(`zt.node.n1.out.${proc}.${tag}.`),
      )
      return ours.map(({ atMs }) => atMs - revokedAt)
    }
    assert.ok(sentTo('bob').length > 0)
    assert.ok(sentTo('alice').some((atMs) => atMs > FELT_WITHIN_MS))
    assert.deepEqual(
      sentTo('bob').filter((atMs) => atMs > FELT_WITHIN_MS),
      [],
    )
  })

  it('is still refused by hub and nodes that were killed and started again', async () => {
    for (const node of NODES) await mesh.programs.kill(node)
    await mesh.programs.kill('hub')
    await mesh.programs.startHub()
    for (const node of NODES) await restarted(node)
    await eventually('the broker to be reached again', () => (bob.thief.channel.connected ? true : undefined))
    assert.equal(await judgedByHub(bob.ask('node.list', {})), REVOKED.code)
    const alice = new Principal(await BrokerThief.enter(mesh))
    for (const { node, cmd, token } of granted) {
      // The node has a new key, which the hub tells whoever gets a capability for it.
      const { nodeKey } = await alice.askForCapability(node)
      assert.equal(await judgedBy(node, bob.use({ node, cmd, token, nodeKey })), REVOKED.code)
    }
    await alice.thief.leave()
    assert.equal(bob.running, NODES.length)
  })

  it('is told so by every verb', async () => {
    await becomeOperator(mesh, 'bob')
    const refused = async (args: readonly string[], exit: number): Promise<void> => {
      const { code, stderr } = await mesh.ztctl(args, { env: bobsTerminal })
      assert.deepEqual([code, stderr.includes(`(${REVOKED.code})`)], [exit, true], stderr)
    }
    await eventually('the hub to answer', async () => {
      const { stderr } = await mesh.ztctl(['login'], { env: bobsTerminal })
      return stderr.includes('ZT-503') ? undefined : true
    })
    await refused(['login'], 4)
    await refused(['ps', '-n', 'n1'], 4)
    await refused(['node', 'ls'], 4)
    await refused(['allow', 'operator/bob'], 4)
    await refused(['run', '-n', 'n1', '--', 'true'], 125)
  })
})
