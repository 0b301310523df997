// An operator who is revoked is refused everywhere within a second, also with what he held before: certificate, private
// key, capabilities already granted, an output stream already open, and a connection to the broker that nobody can
// close. It stays so when hub and nodes start again.
import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import { principalTag } from '#shared/identity/principal-tag.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { judgementOf } from '#test/support/audit-rows.ts'
import { BrokerThief } from '#test/support/broker-thief.ts'
import { eventually } from '#test/support/eventually.ts'
import { needsMesh, startTestMesh, type TestMesh } from '#test/support/mesh.ts'
import type { Granted, Principal } from '#test/support/principal.ts'
import { processesOfArgv } from '#test/support/process-table.ts'
import { becomeOperator, keepSession, operatorsWhere } from '#test/support/two-operators.ts'
import type { Typed } from '#test/support/typed.ts'

const NODES = ['n1', 'n2'] as const
const REVOKED = { code: 'ZT-403-REVOKED' } as const
// What begins this long after the command that revoked has returned, must be refused.
const FELT_WITHIN_MS = 1_000
const COUNT_EVERY_MS = 20
/** A command that nobody else on this machine runs. */
const SLEEP = ['sleep', `${randomInt(100_000, 900_000)}.${randomInt(100_000, 900_000)}`]

describe('a revoked operator', { skip: needsMesh }, () => {
  const granted: Granted[] = []
  let mesh: TestMesh
  let bobsTerminal: NodeJS.ProcessEnv
  let thief: BrokerThief
  let bob: Principal
  let follower: Typed
  let proc = ''
  let revokedAt = 0

  const judgedBy = (node: string, digest: string): Promise<string> =>
    judgementOf(mesh.auditFile(node), digest)
  const judgedByHub = (digest: string): Promise<string> => judgementOf(mesh.hubLog, digest)
  const running = (): number => processesOfArgv(SLEEP).length

  before(async () => {
    mesh = await startTestMesh({ nodes: [], hub: { operators: operatorsWhere('bob') } })
    bobsTerminal = keepSession(mesh)
    thief = await BrokerThief.enter(mesh)
    bob = thief.principal()
    await becomeOperator(mesh, 'alice')
    await mesh.programs.awaitHub()
    for (const node of NODES) await mesh.programs.addNode(node)

    const counter = `i=0; while :; do echo "$i"; i=$((i+1)); sleep ${COUNT_EVERY_MS / 1000}; done`
    const spawned = await mesh.out(['spawn', '-q', '-n', 'n1', '--', 'sh', '-c', counter], {
      env: bobsTerminal,
    })
    proc = spawned.trim()
    follower = mesh.type(['logs', '-f', proc], bobsTerminal)
    await follower.printed('\n10\n')
    for (const node of NODES) {
      assert.equal(await judgedBy(node, await bob.command(await thief.capability(node, SLEEP))), 'accepted')
      granted.push(await thief.capability(node, SLEEP))
    }
    await eventually('what was let in to run', () => (running() === NODES.length ? true : undefined))
    await mesh.out(['revoke', 'operator/bob', '--yes', '--reason', 'left'])
    revokedAt = performance.now()
  })
  after(async () => {
    await thief?.leave()
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
    const sent = await Promise.all(
      granted.map(async (grant) => ({ node: grant.node, digest: await bob.command(grant) })),
    )
    const asked = await Promise.all([
      bob.ask('token', bob.tokenRequest(bob.spawnOn('n1', SLEEP))),
      bob.ask('token', bob.tokenRequest(bob.spawnOn('n2', SLEEP))),
      bob.ask('node.list', {}),
    ])
    for (const { node, digest } of sent) assert.equal(await judgedBy(node, digest), REVOKED.code)
    for (const digest of asked) assert.equal(await judgedByHub(digest), REVOKED.code)
    inTime()
    assert.equal(running(), NODES.length)
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
      const ours = thief.heard.filter(({ subject }) => subject.startsWith(`zt.node.n1.out.${proc}.${tag}.`))
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
    await eventually('the broker to be reached again', () => (thief.channel.connected ? true : undefined))
    assert.equal(await judgedByHub(await bob.ask('node.list', {})), REVOKED.code)
    const alice = await BrokerThief.enter(mesh)
    try {
      for (const { node, cmd, token } of granted) {
        // The node has a new key, which the hub tells whoever gets a capability for it.
        const { nodeKey } = await alice.capability(node, SLEEP)
        assert.equal(await judgedBy(node, await bob.command({ node, cmd, token, nodeKey })), REVOKED.code)
      }
    } finally {
      await alice.leave()
    }
    assert.equal(running(), NODES.length)
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
