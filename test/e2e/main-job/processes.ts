// Processes by their names: listed, read, killed with everything that they started.
import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { describe, it } from 'node:test'
import { eventually } from '#test/support/eventually.ts'
import type { TestMesh } from '#test/support/mesh.ts'
import { processesOfArgv } from '#test/support/process-table.ts'

interface Listed {
  readonly items: readonly {
    readonly node: string
    readonly proc: string
    readonly state: string
    readonly exe: string
    readonly exit: { readonly code?: number; readonly signal?: string } | null
  }[]
}

/** A number of seconds that no other process of this machine sleeps for. */
const odd = (): string => `${randomInt(100_000, 900_000)}.${randomInt(100_000, 900_000)}`

/** The beginning `p-x` of two processes of n1 at least: started until there are two. */
async function sharedBeginning(mesh: TestMesh): Promise<string> {
  const seen = new Set<string>()
  for (;;) {
    const short = (await mesh.spawn('n1', ['true'])).slice(0, 3)
    if (seen.has(short)) return short
    seen.add(short)
  }
}

export function describeProcesses(mesh: () => TestMesh): void {
  describe('kill', () => {
    it('ends the whole tree: children in sessions of their own, and those whose parent is gone', async () => {
      const seconds = odd()
      const tree = [
        `sleep ${seconds} &`,
        `setsid sleep ${seconds} &`,
        `(setsid sh -c "trap '' TERM HUP; sleep ${seconds} & wait; sleep ${seconds}" &)`,
        'echo up; wait; sleep 600',
      ].join('\n')
      const proc = await mesh().spawn('n1', ['sh', '-c', tree])
      await eventually('the tree', () =>
        processesOfArgv(['sleep', seconds]).length === 3 ? true : undefined,
      )
      const killed = await mesh().json<Listed>(['kill', proc, '--grace', '200ms'])
      assert.equal(killed.items[0]?.state, 'exited')
      assert.deepEqual(processesOfArgv(['sleep', seconds]), [])
    })

    it('lets a process end in its own way while its grace lasts', async () => {
      const script = 'trap "echo tidy; exit 9" TERM; echo up; while :; do sleep 0.05; done'
      const proc = await mesh().spawn('n1', ['sh', '-c', script])
      const follower = mesh().type(['logs', '-f', proc])
      await follower.printed('up\n')
      await mesh().out(['kill', proc])
      const { code, stdout } = await follower.ended
      assert.deepEqual([code, stdout.toString()], [9, 'up\ntidy\n'])
    })

    it('kills what does not end in its grace', async () => {
      const proc = await mesh().spawn('n1', [
        'sh',
        '-c',
        'trap "" TERM; echo up; while :; do sleep 0.05; done',
      ])
      const follower = mesh().type(['logs', '-f', proc])
      await follower.printed('up\n')
      await mesh().out(['kill', proc, '--grace', '100ms'])
      assert.equal((await follower.ended).code, 137)
    })
  })

  describe('a process', () => {
    it('is named by its node and the beginning of its id, for logs and kill', async () => {
      const proc = await mesh().spawn('n1', ['sh', '-c', 'echo me; exec sleep 600'])
      const short = proc.slice(0, 10)
      const follower = mesh().type(['logs', '-f', `n1/${short}`])
      await follower.printed('me\n')
      await mesh().out(['kill', '-s', 'KILL', short.slice('p-'.length)])
      assert.equal((await follower.ended).code, 137)
    })

    it('is not guessed: a beginning that fits two is refused, and names them', async () => {
      const short = await sharedBeginning(mesh())
      const said = await mesh().refused(['kill', '-n', 'n1', short], { exit: 2, code: 'ZT-400-USAGE' })
      assert.match(said, new RegExp(`one of: n1/${short}[a-z2-7]{19}, n1/${short}`))
      await mesh().refused(['logs', '-n', 'n1', short], { exit: 2, code: 'ZT-400-USAGE' })
    })

    it('that nobody knows is said not to exist', async () => {
      await mesh().refused(['kill', 'p-22222222222222222222'], { exit: 3, code: 'ZT-404-PROC' })
    })

    it('is listed while it runs, and afterwards with -a and how it ended', async () => {
      const proc = await mesh().spawn('n1', ['sleep', '600'])
      const entryOf = async (args: readonly string[]): Promise<Listed['items'][number] | undefined> =>
        (await mesh().json<Listed>(args)).items.find((item) => item.proc === proc)
      const running = await entryOf(['ps'])
      assert.deepEqual([running?.node, running?.state, running?.exe], ['n1', 'running', '/usr/bin/sleep'])
      await mesh().out(['kill', '-s', 'KILL', proc])
      assert.equal(await entryOf(['ps']), undefined)
      const ended = await entryOf(['ps', '-a', '-n', 'n1'])
      assert.deepEqual([ended?.state, ended?.exit?.signal], ['exited', 'KILL'])
    })
  })

  describe('a node', () => {
    it('is named before the verb, after it, or by the environment', async () => {
      const command = ['--', 'printf', 'here']
      assert.equal(await mesh().out(['-n', 'n1', 'run', ...command]), 'here')
      assert.equal(await mesh().out(['--node', 'n1', 'run', ...command]), 'here')
      assert.equal(await mesh().out(['run', '--node=n1', ...command]), 'here')
      const { stdout } = await mesh().ztctl(['run', ...command], { env: { ZTMESH_NODE: 'n1' } })
      assert.equal(stdout, 'here')
    })

    it('must be named where something is started', async () => {
      await mesh().refused(['spawn', '--', 'true'], { exit: 2, code: 'ZT-400-USAGE' })
    })

    it('that nobody knows is said not to exist', async () => {
      await mesh().refused(['ps', '-n', 'n9'], { exit: 3, code: 'ZT-404-NODE' })
    })
  })
}
