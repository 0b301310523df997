// Attack: find something of the agent inside, in descriptors, environment or memory; or steer bubblewrap, which runs
// outside, by the environment of the command.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync, closeSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { keeperSocket } from '#node-agent/keeper/record.ts'
import { KEEPER_COMMAND, KeeperFixture, needsSandbox, openDir, waitFor } from '#test/support/keeper.ts'
import { existsSync } from 'node:fs'

describe('inside', { skip: needsSandbox }, () => {
  let fixture: KeeperFixture
  before(async () => {
    fixture = await KeeperFixture.create()
  })
  after(() => fixture.end())

  it('there are three descriptors, and none of them is a socket of the agent', async () => {
    const { stdout } = await fixture.perl(
      'opendir(D, "/proc/self/fd"); print join(" ", grep { -e "/proc/self/fd/$_" } sort grep { /^\\d+$/ } readdir D)',
    )
    // The fourth is the folder that is being listed.
    assert.equal(stdout, '0 1 2 3')
  })

  it('there are three descriptors also when whoever started the keeper left it some of his own', async (t) => {
    const dir = await openDir()
    await mkdir(join(dir, 'state'), { mode: 0o700 })
    const [program, ...args] = KEEPER_COMMAND
    const leaked = openSync('/etc/hostname', 'r')
    // Far above the others, where Node's own closing at start does not look.
    const stdio = Array.from({ length: 250 }, (_, fd): 'ignore' | number => (fd === 249 ? leaked : 'ignore'))
    const sparse = stdio.map((value, fd) => (fd < 3 || fd === 249 ? value : ('ignore' as const)))
    const keeper = spawn(program, [...args, '--state-dir', join(dir, 'state')], { stdio: sparse, env: {} })
    closeSync(leaked)
    const exited = once(keeper, 'exit')
    t.after(() => keeper.kill('SIGKILL'))
    await waitFor(() => (existsSync(keeperSocket(join(dir, 'state'))) ? true : undefined), 'the keeper')
    const other = await KeeperFixture.adopt(dir)
    const { stdout } = await other.sh('ls /proc/self/fd')
    assert.deepEqual(stdout.trim().split('\n'), ['0', '1', '2', '3'])
    await other.end()
    await exited
  })

  it('the environment of the agent and of the keeper is not there', async () => {
    const { stdout } = await fixture.sh('env')
    const names = stdout
      .trim()
      .split('\n')
      .map((line) => line.split('=')[0] ?? '')
    assert.deepEqual(names.toSorted(), ['HOME', 'LANG', 'PATH', 'PWD', 'TMPDIR'])
  })

  it('what the command sets for its loader acts inside, and not on bubblewrap outside', async () => {
    // The loader of every program that is started with this prints what it is given: it must be one program.
    const { stdout } = await fixture.run(['true'], { env: { LD_SHOW_AUXV: '1' } })
    assert.equal(stdout.match(/AT_SYSINFO_EHDR/g)?.length, 1)
  })

  it('what the command names for bubblewrap is an argument of the program, not an option', async () => {
    const { stdout } = await fixture.run(['echo', '--bind', '/', '/', '--', '--args', '3'])
    assert.equal(stdout, '--bind / / -- --args 3\n')
  })

  it('the host sees neither the environment of a command nor the folders of the agent in its process list', async () => {
    const spawned = await fixture.spawn(['sleep', '1000'], { env: { PASSWORD: 'hunter2hunter2' } })
    const listing = spawn('ps', ['-eo', 'args'], { stdio: ['ignore', 'pipe', 'inherit'] })
    let text = ''
    listing.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString()
    })
    await once(listing, 'close')
    assert.match(text, new RegExp(`^ztmesh:${spawned.proc} --args`, 'm'))
    assert.doesNotMatch(text, /hunter2hunter2|--setenv|--bind-fd/)
    const { proc, started } = spawned
    await fixture.keeper.kill({ proc, started, signal: 'KILL', graceMs: 0 })
  })
})
