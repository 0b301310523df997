// Attack: see, signal, trace or read the memory of a process outside, or of the init that runs without the filter.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { after, before, describe, it } from 'node:test'
import { KeeperFixture, needsSandbox, RUN_AS } from '#test/support/keeper.ts'

describe('from inside', { skip: needsSandbox }, () => {
  let fixture: KeeperFixture
  before(async () => {
    fixture = await KeeperFixture.create()
  })
  after(() => fixture.end())

  it('only the own processes are seen', async () => {
    const { stdout } = await fixture.sh('ls -d /proc/[0-9]* | wc -l; echo $$')
    const [count = '', self = ''] = stdout.trim().split('\n')
    assert.ok(Number(count) <= 5, `${count} processes`)
    assert.ok(Number(self) < 10, `pid ${self}`)
  })

  it('a process of the same user outside cannot be signalled', async (t) => {
    const asRoot = process.geteuid?.() === 0
    const victim = spawn('sleep', ['1000'], { stdio: 'ignore', ...(asRoot ? RUN_AS : {}) })
    t.after(() => victim.kill('SIGKILL'))
    await once(victim, 'spawn')
    const own = await fixture.sh(
      `kill -9 ${victim.pid}; kill -9 ${fixture.keeper.pid}; kill -9 -1; echo survived`,
    )
    assert.equal(victim.exitCode, null)
    assert.equal(victim.signalCode, null)
    // "-1" is every process that may be signalled: its own tree, and nothing outside.
    assert.notEqual(own.record.state, 'running')
    assert.equal((await fixture.sh('echo still here')).stdout, 'still here\n')
  })

  for (const path of [
    '/proc/1/mem',
    '/proc/1/task/1/mem',
    '/proc/1/root',
    '/proc/1/fd',
    '/proc/1/environ',
    '/proc/1/maps',
  ]) {
    it(`init, which runs without the filter, cannot be reached by ${path}`, async () => {
      const { stdout } = await fixture.perl(
        `print open(F, '+<', '${path}') || open(F, '<', '${path}') || opendir(D, '${path}') ? 'open' : 'no'`,
      )
      assert.equal(stdout, 'no')
    })
  }

  it('init is not uncovered by a way round its folder', async () => {
    const { stdout } = await fixture.sh(
      'for p in /proc/self/task/1 /proc/thread-self/../../1 /proc/self/root/proc/1 /proc/self/cwd/../proc/1; do ' +
        'test -e $p/mem && echo $p; done; umount /proc/1 2>/dev/null && echo uncovered; rmdir /proc/1 2>/dev/null && echo gone',
    )
    assert.equal(stdout, '')
  })

  it('init cannot be ended, stopped or traced', async () => {
    const script =
      'kill 9, 1; kill 19, 1; kill 15, 1; print syscall(101, 16, 1, 0, 0) == -1 ? "alive" : "traced"'
    const { stdout, record } = await fixture.perl(script)
    assert.deepEqual([stdout, record.exit?.code], ['alive', 0])
  })

  it('the environment and the arguments of the keeper are not to be seen', async () => {
    const { stdout } = await fixture.sh(
      'cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr "\\0" "\\n"',
    )
    assert.doesNotMatch(stdout, /state-dir|keeper\/main|--args/)
  })

  it('shared memory and message queues of the host are not there', async () => {
    const { stdout } = await fixture.sh('tail -q -n +2 /proc/sysvipc/shm /proc/sysvipc/sem /proc/sysvipc/msg')
    assert.equal(stdout, '')
  })
})
