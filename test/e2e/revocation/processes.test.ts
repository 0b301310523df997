import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import { eventually } from '#test/support/eventually.ts'
import { needsMesh, startTestMesh, type TestMesh } from '#test/support/mesh.ts'
import { processesOfArgv } from '#test/support/process-table.ts'
import { becomeOperator, keepSession, operatorsWhere } from '#test/support/two-operators.ts'

/** A command that nobody else on this machine runs. */
const sleep = (): string[] => ['sleep', `${randomInt(100_000, 900_000)}.${randomInt(100_000, 900_000)}`]

describe('what a revoked operator has running', { skip: needsMesh }, () => {
  const [bobs, alices] = [sleep(), sleep()]
  let mesh: TestMesh
  const running = (argv: readonly string[]): number => processesOfArgv([...argv]).length

  before(async () => {
    mesh = await startTestMesh({ nodes: [], hub: { operators: operatorsWhere('bob') } })
    const env = keepSession(mesh)
    await becomeOperator(mesh, 'alice')
    await mesh.programs.awaitHub()
    for (const node of ['n1', 'n2']) await mesh.programs.addNode(node)
    for (const node of ['n1', 'n2']) {
      await mesh.out(['spawn', '-q', '-n', node, '--', ...bobs], { env })
      await mesh.out(['spawn', '-q', '-n', node, '--', ...alices])
    }
    await eventually('all of it to run', () => (running(bobs) + running(alices) === 4 ? true : undefined))
  })
  after(() => mesh?.end())

  interface Listed {
    readonly items: readonly { owner: string; quarantined: { reason: string } | null }[]
  }

  it('goes on, marked, unless its end is asked for', async () => {
    await mesh.out(['revoke', 'operator/bob', '--yes', '--reason', 'left'])
    assert.equal(running(bobs), 2)
    const { items } = await mesh.json<Listed>(['ps'])
    for (const { owner, quarantined } of items)
      assert.equal(quarantined?.reason, owner.endsWith('/bob') ? 'left' : undefined, owner)
  })

  it('is ended on every node when it is, and nobody else’s is', async () => {
    const { ended } = await mesh.json<{ ended: { node: string }[] }>([
      'revoke',
      'operator/bob',
      '--yes',
      '--kill',
    ])
    assert.deepEqual(ended.map(({ node }) => node).toSorted(), ['n1', 'n2'])
    await eventually('it to end', () => (running(bobs) === 0 ? true : undefined))
    assert.equal(running(alices), 2)
  })

  it('is named where a node does not answer: nobody may think that it has ended', async () => {
    await mesh.programs.kill('n2')
    const args = ['revoke', 'operator/bob', '--yes', '--kill', '--request-timeout', '1s']
    const { code, stderr } = await mesh.ztctl(args)
    assert.equal(code, 8)
    assert.match(stderr, /n2: /)
  })

  it('warns of a name that nobody has, for it may be mistyped', async () => {
    const { code, stderr } = await mesh.ztctl(['revoke', 'operator/bbo', '--yes'])
    assert.equal(code, 0, stderr)
    assert.match(stderr, /warning: no certificate of spiffe:\/\/[^/]+\/operator\/bbo is alive/)
  })
})
