// The keeper as the agent sees it: a process runs once, is killed whole, and outlives the agent that started it.
import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, statSync } from 'node:fs'
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, describe, it, type TestContext } from 'node:test'
import { openOutput } from '#node-agent/keeper/output-log.ts'
import { hasEnded, readStat } from '#node-agent/keeper/process-tree.ts'
import { claimProc, keeperSocket, procDir, writeRecord, type ProcRecord } from '#node-agent/keeper/record.ts'
import { parseProcId, type ProcId } from '#shared/identity/names.ts'
import { DEFAULT_CAPABILITIES } from '#shared/protocol/sandbox-capability.ts'
import {
  KEEPER_COMMAND,
  KeeperFixture,
  needsSandbox,
  randomProc,
  RUN_AS,
  waitFor,
  type Spawned,
} from '#test/support/keeper.ts'
import { ROOT } from '#test/support/sources.ts'

const skip = needsSandbox
let shared: KeeperFixture

async function own(t: TestContext, args: readonly string[] = []): Promise<KeeperFixture> {
  const fixture = await KeeperFixture.create({ args })
  t.after(() => fixture.end())
  return fixture
}

interface Kill {
  readonly signal?: 'TERM' | 'HUP' | 'KILL'
  readonly graceMs?: number
}

/** KILL at once unless it is said otherwise. */
function kill(fixture: KeeperFixture, { proc, started }: Spawned, how: Kill = {}): Promise<ProcRecord> {
  return fixture.keeper.kill({ proc, started, signal: 'KILL', graceMs: 0, ...how })
}

before(async () => {
  if (skip === false) shared = await KeeperFixture.create()
})
after(() => shared?.end())

describe('a process of the keeper', { skip }, () => {
  it('leaves its output and its status', async () => {
    const { record, stdout, stderr } = await shared.sh('echo out; echo err >&2; exit 7')
    assert.deepEqual([record.state, record.exit, stdout, stderr], ['exited', { code: 7 }, 'out\n', 'err\n'])
    assert.deepEqual([record.output.stdout, record.output.stderr], [4, 4])
    assert.equal(record.reason, undefined)
  })

  it('is recorded with what ran and what confined it', async () => {
    const { record } = await shared.run(['true'])
    assert.equal(record.exe.realpath, '/usr/bin/true')
    assert.deepEqual(
      [record.exe.sha256.length, record.profile.name, record.profile.sha256.length],
      [43, 'default@1', 43],
    )
    assert.equal(record.boot, readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim())
  })

  it('is told of in order: started, its output, exited', async () => {
    const from = shared.events.length
    const { record } = await shared.sh('echo out')
    const told = shared.events.slice(from).flatMap((event) => {
      if (event.event === 'exited') return event.record.proc === record.proc ? ['exited'] : []
      return event.proc === record.proc ? [event.event] : []
    })
    assert.deepEqual([told[0], told.at(-1), told.includes('output')], ['started', 'exited', true])
  })

  it('gets its arguments as they are, whatever is in them', async () => {
    const argv = ['printf', '%s|', '', ' ', '--bind', '/', '--', '$(id)', '"', "'", '\n', 'ü', '*', '-']
    assert.equal((await shared.run(argv)).stdout, `${argv.slice(2).join('|')}|`)
  })

  it('can open its standard streams again, as scripts do', async () => {
    const { stdout, stderr } = await shared.sh(
      'echo a > /dev/stdout; echo b > /dev/stderr; echo c >> /proc/self/fd/1',
    )
    assert.deepEqual([stdout, stderr], ['a\nc\n', 'b\n'])
  })

  it('has nothing to read from standard input', async () => {
    assert.equal((await shared.sh('cat | wc -c')).stdout.trim(), '0')
  })

  it('that a signal ended by itself has the status that a shell would give', async () => {
    const { record } = await shared.sh('kill -SEGV $$')
    assert.deepEqual(record.exit, { code: 139 })
  })

  it('takes what it left in the background with it when it ends', async () => {
    const { record } = await shared.sh('sleep 1000 & setsid sleep 1000 & echo done')
    assert.equal(record.exit?.code, 0)
    assert.deepEqual((await shared.keeper.inspect(record.proc)).members, [])
  })

  it('is one of a tree that can be looked at', async () => {
    const spawned = await shared.spawn(['sh', '-c', 'sleep 1000 & sleep 1000 & echo ready; wait'])
    await shared.printed(spawned.proc, 'ready')
    // The shell says ready when it has two children, and each of them becomes the sleep that it was made for later.
    const { record } = await waitFor(async () => {
      const found = await shared.keeper.inspect(spawned.proc)
      return found.members.filter(({ comm }) => comm === 'sleep').length === 2 ? found : undefined
    }, 'both children to be asleep')
    assert.deepEqual([record.state, record.pid, record.started], ['running', spawned.pid, spawned.started])
    assert.ok((await shared.keeper.list(false)).some(({ proc }) => proc === spawned.proc))
    await kill(shared, spawned)
    assert.ok(!(await shared.keeper.list(false)).some(({ proc }) => proc === spawned.proc))
    assert.ok((await shared.keeper.list(true)).some(({ proc }) => proc === spawned.proc))
  })

  it('ends when its wall time is over, with that reason', async () => {
    const { record } = await shared.sh('echo ready; sleep 1000', { wallMs: 200 })
    assert.deepEqual(
      [record.state, record.reason, record.exit],
      ['exited', 'wall time limit', { code: 143, signal: 'TERM', limit: 'wall_s' }],
    )
  })
})

describe('a kill', { skip }, () => {
  it('lets a process end itself within its grace, and tells how it ended', async () => {
    const spawned = await shared.spawn([
      'sh',
      '-c',
      'trap "echo bye; exit 3" TERM; echo ready; while :; do sleep 0.01; done',
    ])
    await shared.printed(spawned.proc, 'ready')
    const record = await kill(shared, spawned, { signal: 'TERM', graceMs: 60_000 })
    assert.deepEqual([record.state, record.exit], ['exited', { code: 3 }])
    assert.match(await shared.output(spawned.proc, 'stdout'), /bye/)
  })

  it('ends what ignores it after the grace', async () => {
    const spawned = await shared.spawn([
      'sh',
      '-c',
      'trap "" TERM INT; echo ready; while :; do sleep 0.01; done',
    ])
    await shared.printed(spawned.proc, 'ready')
    const record = await kill(shared, spawned, { signal: 'TERM', graceMs: 50 })
    assert.deepEqual(record.exit, { code: 137, signal: 'KILL' })
  })

  it('reaches every process of the tree with the signal that was asked for', async () => {
    const child = 'trap "echo hup $0; exit 0" HUP; echo ready $0; while :; do sleep 0.01; done'
    const spawned = await shared.spawn([
      'sh',
      '-c',
      `trap : HUP; setsid sh -c '${child}' a & sh -c '${child}' b & wait; wait; wait`,
    ])
    await shared.printed(spawned.proc, 'ready a')
    await shared.printed(spawned.proc, 'ready b')
    await kill(shared, spawned, { signal: 'HUP', graceMs: 1000 })
    const output = await shared.output(spawned.proc, 'stdout')
    assert.match(output, /hup a/)
    assert.match(output, /hup b/)
  })

  it('without a grace time sends the signal, and nothing after it', async () => {
    const spawned = await shared.spawn([
      'sh',
      '-c',
      'trap "echo hup" HUP; echo ready; while :; do sleep 0.01; done',
    ])
    await shared.printed(spawned.proc, 'ready')
    const { proc, started } = spawned
    assert.equal((await shared.keeper.kill({ proc, started, signal: 'HUP' })).state, 'running')
    await shared.printed(proc, 'hup')
    await kill(shared, spawned)
  })

  it('ends a stopped process', async () => {
    const spawned = await shared.spawn(['sh', '-c', 'echo ready; kill -STOP $$'])
    await shared.printed(spawned.proc, 'ready')
    assert.equal((await kill(shared, spawned, { signal: 'TERM', graceMs: 50 })).state, 'exited')
  })

  it('works while nobody reads what a process writes', async () => {
    const spawned = await shared.spawn(['sh', '-c', 'yes'])
    await waitFor(
      async () => ((await shared.keeper.inspect(spawned.proc)).record.output.stdout > 1e6 ? true : undefined),
      'output',
    )
    assert.equal((await kill(shared, spawned, { signal: 'TERM', graceMs: 5000 })).state, 'exited')
  })

  it('of a process that has ended answers how it ended', async () => {
    const { record } = await shared.sh('exit 4')
    const { proc, started = '' } = record
    const answer = await shared.keeper.kill({ proc, started, signal: 'TERM', graceMs: 0 })
    assert.deepEqual(answer.exit, { code: 4 })
  })

  it('is refused for another start than that of the process', async () => {
    const spawned = await shared.spawn(['sleep', '1000'])
    const other = { ...spawned, started: String(Number(spawned.started) + 1) }
    await assert.rejects(kill(shared, other), { code: 'ZT-404-PROC' })
    assert.equal(hasEnded(spawned.pid, spawned.started), false)
    await kill(shared, spawned)
  })

  it('is refused for a process that is not known', async () => {
    const unknown = { proc: randomProc(), pid: 1, started: '1' }
    await assert.rejects(kill(shared, unknown), { code: 'ZT-404-PROC' })
  })
})

describe('a start', { skip }, () => {
  const prepare = (fixture: KeeperFixture, path = '/bin/sh') =>
    fixture.keeper.prepare({
      path,
      searchPath: [],
      runAs: RUN_AS,
      workspace: { root: fixture.workspaceRoot, name: 'w' },
    })
  const spec = (script: string) => ({
    argv: ['sh', '-c', script],
    env: {},
    caps: DEFAULT_CAPABILITIES,
    masks: [],
  })

  it('happens once for one process id, also while the first still runs and for 20 at once', async () => {
    const proc = randomProc()
    const handles = await Promise.all(Array.from({ length: 20 }, () => prepare(shared)))
    const tries = handles.map(({ handle }) => shared.keeper.start({ handle, proc, spec: spec('echo once') }))
    const results = await Promise.allSettled(tries)
    const refusals = results.flatMap((result) =>
      result.status === 'rejected' ? [result.reason.code as string] : [],
    )
    assert.deepEqual(
      refusals,
      Array.from({ length: 19 }, () => 'ZT-409-IDENTIFIER'),
    )
    await shared.ended(proc)
    assert.equal(await shared.output(proc, 'stdout'), 'once\n')
  })

  it('is refused for a process id of before, also after the keeper was killed and started again', async (t) => {
    const fixture = await own(t)
    const ended = (await fixture.sh('echo one')).record.proc
    const running = (await fixture.spawn(['sleep', '1000'])).proc
    await crash(fixture)
    for (const proc of [ended, running]) {
      await assert.rejects(fixture.spawn(['true'], { proc }), { code: 'ZT-409-IDENTIFIER' })
    }
  })

  it('is refused for an id of which nothing but the claim is left', async (t) => {
    const fixture = await own(t)
    const proc = randomProc()
    await crash(fixture, () => mkdir(procDir(fixture.stateDir, proc)))
    await assert.rejects(fixture.spawn(['true'], { proc }), { code: 'ZT-409-IDENTIFIER' })
  })

  it('is refused with a handle that was used, released, or is of another connection', async (t) => {
    const fixture = await own(t)
    const { handle: used } = await prepare(fixture)
    await fixture.keeper.start({ handle: used, proc: randomProc(), spec: spec('true') })
    const { handle: released } = await prepare(fixture)
    await fixture.keeper.release(released)
    const { handle: foreign } = await prepare(fixture)
    await fixture.reconnect()
    for (const handle of [used, released, foreign]) {
      await assert.rejects(fixture.keeper.start({ handle, proc: randomProc(), spec: spec('true') }), {
        code: 'ZT-412-FACT',
        details: { fact: 'handle' },
      })
    }
  })

  it('is refused beyond the number of processes that the node may run', async (t) => {
    const fixture = await own(t, ['--max-processes', '2'])
    const first = await fixture.spawn(['sleep', '1000'])
    await fixture.spawn(['sleep', '1000'])
    await assert.rejects(fixture.spawn(['true']), { code: 'ZT-412-FACT', details: { fact: 'processes' } })
    await kill(fixture, first)
    assert.equal((await fixture.run(['true'])).code, 0)
  })

  for (const [fact, change] of Object.entries({
    capability: { caps: ['network', 'pty'] },
    cwd: { cwd: '/etc' },
  })) {
    it(`is refused for a ${fact} that the node cannot give, and the process id stays free`, async () => {
      const proc = randomProc()
      await assert.rejects(shared.spawn(['true'], { proc, ...change }), { code: 'ZT-412-FACT' })
      assert.equal((await shared.run(['true'], { proc })).code, 0)
    })
  }

  it('that fails in the kernel is told as such: a program whose loader does not exist', async () => {
    const path = join(shared.dir, 'broken')
    const bytes = await readFile('/usr/bin/true', 'latin1')
    await writeFile(path, bytes.replace('/ld-linux', '/no-linux'), 'latin1')
    await chmod(path, 0o755)
    const proc = randomProc()
    await assert.rejects(shared.spawn(['broken'], { path, proc }), { code: 'ZT-403-EXE' })
    assert.equal((await shared.keeper.inspect(proc)).record.state, 'failed')
  })
})

describe('a script', { skip }, () => {
  it('of the workspace runs under its interpreter, and finds itself where it is', async () => {
    await shared.sh(`printf '#!/bin/sh -e\\necho "$0 $1"\\n' > script; chmod +x script`)
    const { record, stdout } = await shared.run(['script', 'x'], { path: '/workspace/script' })
    assert.equal(stdout, '/workspace/script x\n')
    assert.equal(record.exe.realpath, join(shared.workspaceRoot, 'w/script'))
    assert.match(record.interpreter?.realpath ?? '', /^\/usr\/bin\//)
  })

  it('without a first line runs under the shell', async () => {
    await shared.sh('echo "echo plain" > plain; chmod +x plain')
    assert.equal((await shared.run(['plain'], { path: '/workspace/plain' })).stdout, 'plain\n')
  })
})

describe('output', { skip }, () => {
  it('is bounded on disk, keeps the latest, and never stops the process', async (t) => {
    const fixture = await own(t, ['--max-output-bytes', '262144'])
    const { record, code } = await fixture.sh('head -c 3000000 /dev/zero | tr "\\0" x; echo end')
    assert.deepEqual([code, record.output.stdout], [0, 3_000_004])
    const reader = openOutput(fixture.stateDir, record.proc)
    t.after(() => reader.close())
    const first = await reader.read('stdout', 0, 1000)
    assert.deepEqual(first.gap, { from: 0, to: first.offset })
    assert.ok(first.offset >= 3_000_004 - 262_144 && first.offset < 3_000_004)
    assert.equal((await reader.read('stdout', 3_000_000, 1000)).data.toString(), 'end\n')
  })

  it('of many megabytes arrives whole', async () => {
    const { stdout, record } = await shared.sh('seq 1 1000000')
    assert.equal(record.output.stdout, stdout.length)
    assert.equal(stdout, `${Array.from({ length: 1_000_000 }, (_, at) => at + 1).join('\n')}\n`)
  })
})

describe('the agent', { skip }, () => {
  it('can be killed and come back: its process runs on, with all of its output and its status', async (t) => {
    const fixture = await own(t)
    const script = 'echo one; while [ ! -e go ]; do sleep 0.01; done; echo two; exit 5'
    const agent = spawn(
      process.execPath,
      [join(ROOT, 'test/support/agent-child.ts'), fixture.stateDir, fixture.workspaceRoot, script],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    const [line] = (await once(createInterface(agent.stdout), 'line')) as [string]
    const proc: ProcId = parseProcId(line)
    agent.kill('SIGKILL')
    await once(agent, 'exit')
    await fixture.reconnect()
    assert.equal((await fixture.keeper.inspect(proc)).record.state, 'running')
    await writeFile(join(fixture.workspaceRoot, 'w/go'), '')
    assert.deepEqual((await fixture.ended(proc)).exit, { code: 5 })
    assert.equal(await fixture.output(proc, 'stdout'), 'one\ntwo\n')
  })

  it('finds out that a process was lost with its keeper, which nothing survives', async (t) => {
    const fixture = await own(t)
    const spawned = await fixture.spawn(['sh', '-c', 'setsid sleep 1000 & echo ready; sleep 1000'])
    await fixture.printed(spawned.proc, 'ready')
    const { members } = await fixture.keeper.inspect(spawned.proc)
    assert.ok(members.length >= 2)
    await crash(fixture)
    const { record } = await fixture.keeper.inspect(spawned.proc)
    assert.deepEqual([record.state, record.exit, record.output.stdout], ['lost', undefined, 6])
    for (const { pid, started } of [...members, spawned]) assert.ok(hasEnded(pid, started), String(pid))
  })

  it('finds nothing left of a keeper that died while a process was being set up', async (t) => {
    const fixture = await own(t)
    const { record } = await fixture.run(['true'])
    const [left, foreign] = [randomProc(), randomProc()]
    const pretend = (proc: ProcId): ChildProcess =>
      spawn('sleep', ['1000'], { argv0: `ztmesh:${proc}`, stdio: 'ignore' })
    const [ours, theirs] = [pretend(left), pretend(foreign)]
    t.after(() => theirs.kill('SIGKILL'))
    const ended = once(ours, 'exit')
    await crash(fixture, () => {
      claimProc(fixture.stateDir, left)
      writeRecord(fixture.stateDir, { ...record, proc: left, state: 'starting' })
    })
    assert.deepEqual(await ended, [null, 'SIGKILL'])
    assert.equal((await fixture.keeper.inspect(left)).record.state, 'lost')
    assert.equal(theirs.signalCode, null)
  })

  it('meets one keeper for one folder, however many it starts', async (t) => {
    const fixture = await own(t)
    const second = spawn(KEEPER_COMMAND[0], [...KEEPER_COMMAND.slice(1), '--state-dir', fixture.stateDir], {
      stdio: 'ignore',
    })
    assert.deepEqual(await once(second, 'exit'), [0, null])
    const { pid } = fixture.keeper
    await fixture.reconnect()
    assert.equal(fixture.keeper.pid, pid)
  })

  it('loses its connection over a line that makes no sense, and no process', async (t) => {
    const fixture = await own(t)
    const spawned = await fixture.spawn(['sleep', '1000'])
    for (const line of ['not json\n', '{"id":1,"request":{"op":"exec"}}\n', `"${'x'.repeat(2_000_000)}`]) {
      const socket = createConnection(keeperSocket(fixture.stateDir))
      socket.on('error', () => socket.destroy())
      socket.resume()
      socket.write(line)
      await new Promise((resolve) => {
        socket.once('close', resolve)
      })
    }
    assert.equal((await fixture.keeper.inspect(spawned.proc)).record.state, 'running')
  })

  it('reaches the keeper by a socket and a folder that are closed to others', async () => {
    assert.equal(statSync(keeperSocket(shared.stateDir)).mode & 0o777, 0o600)
    assert.equal(statSync(join(shared.stateDir, 'keeper')).mode & 0o777, 0o700)
  })

  it('ends every process when it ends the keeper', async () => {
    const fixture = await KeeperFixture.create()
    const spawned = await fixture.spawn(['sh', '-c', 'trap "" TERM; sleep 1000'])
    const { pid } = fixture.keeper
    const { started } = readStat(pid) ?? { started: '' }
    await fixture.end()
    assert.ok(hasEnded(spawned.pid, spawned.started))
    await waitFor(() => (hasEnded(pid, started) ? true : undefined), 'the keeper to end')
  })
})

/** Kills the keeper, as a fault would; `meanwhile` runs before the next one is started. */
async function crash(fixture: KeeperFixture, meanwhile: () => unknown = () => undefined): Promise<void> {
  const { keeper } = fixture
  process.kill(keeper.pid, 'SIGKILL')
  await keeper.closed
  await meanwhile()
  await fixture.reconnect()
}
