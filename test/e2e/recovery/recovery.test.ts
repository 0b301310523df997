import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { rowsOf } from '#test/support/audit-rows.ts'
import { eventually } from '#test/support/eventually.ts'
import { needsMesh, startTestMesh, type TestMesh } from '#test/support/mesh.ts'
import { familyOf, incarnationOf, isAlive, processesOfArgv } from '#test/support/process-table.ts'
import type { Typed } from '#test/support/typed.ts'

const NODES = ['n1', 'n2'] as const
/** Counts until it is told to end. */
const COUNTER = 'trap "exit 7" USR1; i=0; while :; do echo "$i"; i=$((i+1)); sleep 0.02; done'
// What a caller may be told of a command that was under way: the part does not answer, or nobody knows.
const SAID_SO = /\(ZT-(?:503-[A-Z]+|504-OUTCOME-UNKNOWN|504-TIMEOUT|401-TOKEN|408-STALE|400-KID)\)/

const isKeeper = (commandLine: string): boolean => / \S*\/keeper(?:\.js|\/main\.ts) /.test(commandLine)

/** How far the counter came. Fails unless each number is there once, in order. */
function countedTo(output: string): number {
  const numbers = output.trim().split('\n').map(Number)
  assert.deepEqual(
    numbers,
    numbers.map((_, at) => at),
  )
  return numbers.length - 1
}

describe('recovery', { skip: needsMesh }, () => {
  let mesh: TestMesh
  let counter = ''
  let follower: Typed
  let attempts = 0
  const succeeded = new Set<number>()

  before(async () => {
    mesh = await startTestMesh({ nodes: NODES })
    counter = await mesh.spawn('n1', ['sh', '-c', COUNTER])
    follower = mesh.type(['logs', '-f', counter])
    await follower.printed('\n20\n')
  })
  after(() => mesh?.end())

  const startedOn = (node: string): number =>
    rowsOf(mesh.auditFile(node)).filter(({ type }) => type === 'proc.started').length

  /** A program that leaves a line; what its caller is told must be true. */
  const attempt = async (number: number): Promise<void> => {
    const command = ['--', 'sh', '-c', `echo ${number} >> lines`]
    const { code, stderr } = await mesh.ztctl(['run', '-n', 'n1', '--request-timeout', '2s', ...command])
    if (code === 0) succeeded.add(number)
    else assert.match(stderr, SAID_SO)
  }

  /** Starts five such programs, and while they are under way does `crash`, and then `restart`. */
  const amidst = async (crash: () => Promise<void>, restart?: () => Promise<void>): Promise<void> => {
    const before = startedOn('n1')
    const underWay = Array.from({ length: 5 }, () => {
      attempts += 1
      return attempt(attempts)
    })
    await eventually('one to be under way', () => (startedOn('n1') > before ? true : undefined))
    await crash()
    await restart?.()
    await Promise.all(underWay)
  }

  const verifyAll = async (): Promise<void> => {
    const before = countedTo(follower.stdout.toString())
    for (const node of NODES)
      await eventually(`${node} to run programs`, async () => {
        const { code, stdout } = await mesh.ztctl(['run', '-n', node, '--', 'printf', 'back'])
        return code === 0 && stdout === 'back' ? true : undefined
      })
    assert.ok(countedTo(await mesh.out(['logs', counter])) > before, 'the counter goes on')
    const ran = (await mesh.out(['run', '-n', 'n1', '--', 'cat', 'lines'])).trim().split('\n').map(Number)
    assert.equal(new Set(ran).size, ran.length, 'nothing ran twice')
    for (const number of succeeded) assert.ok(ran.includes(number), `${number} was said to have run`)
    await mesh.out(['audit', 'verify'])
  }

  it('from kill -9 of a node agent', async () => {
    await amidst(
      () => mesh.programs.kill('n1'),
      () => mesh.programs.startNode('n1'),
    )
    await verifyAll()
    assert.ok(rowsOf(mesh.auditFile('n1')).some((row) => row.type === 'log.recovered'))
  })

  it('from kill -9 of nats-server, which the hub starts again', async () => {
    const pidFile = join(mesh.dir, 'hub', 'nats', 'nats-server.pid')
    const broker = incarnationOf(Number(readFileSync(pidFile, 'utf8'))) ?? assert.fail('no broker')
    await amidst(async () => {
      process.kill(broker.pid, 'SIGKILL')
      await eventually('it to be gone', () => (isAlive(broker) ? undefined : true))
    })
    await verifyAll()
    assert.notEqual(Number(readFileSync(pidFile, 'utf8')), broker.pid)
  })

  it('from kill -9 of the hub, which finds the nats-server that it left', async () => {
    await amidst(
      () => mesh.programs.kill('hub'),
      () => mesh.programs.startHub(),
    )
    await verifyAll()
    assert.ok(rowsOf(mesh.hubLog).some((row) => row.type === 'log.recovered'))
  })

  it('of an exit code that no agent was there to see', async () => {
    const nap = ['sleep', `1.${randomInt(100_000, 900_000)}`]
    const proc = await mesh.spawn('n2', ['sh', '-c', `echo up; ${nap.join(' ')}; echo last; exit 5`])
    await eventually('it to be asleep', () => (processesOfArgv(nap).length === 1 ? true : undefined))
    await mesh.programs.kill('n2')
    await eventually('it to wake', () => (processesOfArgv(nap).length === 0 ? true : undefined))
    await mesh.programs.startNode('n2')
    const { code, stdout } = await mesh.type(['logs', '-f', proc]).ended
    assert.deepEqual([code, stdout.toString()], [5, 'up\nlast\n'])
  })

  it('from kill -9 of a keeper: its processes end with it, and the log says that nobody saw how', async () => {
    const nap = ['sleep', `60.${randomInt(100_000, 900_000)}`]
    const proc = await mesh.spawn('n2', nap)
    await eventually('it to be asleep', () => (processesOfArgv(nap).length === 1 ? true : undefined))
    const keeper = familyOf(mesh.programs.nodeDir('n2')).find(({ commandLine }) => isKeeper(commandLine))
    process.kill(keeper?.pid ?? assert.fail('no keeper'), 'SIGKILL')
    await eventually('the process to be gone', () => (processesOfArgv(nap).length === 0 ? true : undefined))
    const { code, stderr } = await mesh.type(['logs', '-f', proc]).ended
    assert.notEqual(code, 0, stderr.toString())
    await eventually('its end to be on record', () =>
      rowsOf(mesh.auditFile('n2')).some(
        ({ type, obj }) => type === 'cmd.outcome_unknown' && obj?.['proc'] === proc,
      )
        ? true
        : undefined,
    )
    await verifyAll()
  })

  it('of the one who followed all the way through', async () => {
    await mesh.out(['kill', '-s', 'USR1', counter])
    const { code, stdout, stderr } = await follower.ended
    assert.equal(code, 7, stderr.toString())
    const last = countedTo(stdout.toString())
    assert.equal(countedTo(await mesh.out(['logs', counter])), last)
  })
})
