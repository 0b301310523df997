// Attack: outlive a kill, or the end of the own program, by every way of leaving a process group.
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { hasEnded } from '#node-agent/keeper/process-tree.ts'
import type { TreeMember } from '#node-agent/keeper/protocol.ts'
import { KeeperFixture, needsSandbox, waitFor, type Spawned } from '#test/support/keeper.ts'

const DAEMON = `use POSIX;
  $SIG{$_} = 'IGNORE' for qw(TERM INT HUP QUIT USR1 USR2 PIPE);
  fork and exit; POSIX::setsid(); fork and exit; setpgrp(0, 0); open STDIN, '</dev/null';
  `

const SURVIVORS: Record<string, string> = {
  'forks twice and calls setsid': `${DAEMON} open STDOUT, '>/dev/null'; open STDERR, '>/dev/null'; sleep 1000`,
  'keeps the pipes of its output open': `${DAEMON} sleep 1000`,
  'closes everything': `${DAEMON} POSIX::close($_) for 0..255; sleep 1000`,
  'forks again whenever it is signalled': `${DAEMON} $SIG{TERM} = sub { fork }; sleep 1000 while 1`,
  'stops itself': `${DAEMON} kill 'STOP', $$; sleep 1000`,
}

describe('a process', { skip: needsSandbox }, () => {
  let fixture: KeeperFixture
  before(async () => {
    fixture = await KeeperFixture.create()
  })
  after(() => fixture.end())

  async function membersOnceBusy(spawned: Spawned): Promise<readonly TreeMember[]> {
    return waitFor(async () => {
      const { members } = await fixture.keeper.inspect(spawned.proc)
      return members.length >= 2 ? members : undefined
    }, 'the survivor to be there')
  }

  for (const [what, script] of Object.entries(SURVIVORS)) {
    it(`that ${what} does not outlive a kill`, async () => {
      const spawned = await fixture.spawn([
        'sh',
        '-c',
        `perl -e '${script.replaceAll("'", `'"'"'`)}'; sleep 1000`,
      ])
      const members = await membersOnceBusy(spawned)
      const { proc, started } = spawned
      const record = await fixture.keeper.kill({ proc, started, signal: 'TERM', graceMs: 100 })
      assert.equal(record.state, 'exited')
      for (const member of members) assert.ok(hasEnded(member.pid, member.started), member.comm)
      assert.ok(hasEnded(spawned.pid, started))
    })

    it(`that ${what} does not outlive its program`, async () => {
      const { record } = await fixture.perl(script)
      assert.equal(record.state, 'exited')
      assert.ok(hasEnded(record.pid ?? 0, record.started ?? ''))
      assert.deepEqual((await fixture.keeper.inspect(record.proc)).members, [])
    })
  }

  it('that forks as fast as it can does not outlive a kill', async () => {
    const spawned = await fixture.spawn([
      'perl',
      '-e',
      '$n = 0; while ($n++ < 200) { fork or do { sleep 1000 } } sleep 1000',
    ])
    await waitFor(
      async () => ((await fixture.keeper.inspect(spawned.proc)).members.length > 100 ? true : undefined),
      'forks',
    )
    const { proc, started } = spawned
    assert.equal((await fixture.keeper.kill({ proc, started, signal: 'TERM', graceMs: 50 })).state, 'exited')
    assert.deepEqual((await fixture.keeper.inspect(proc)).members, [])
  })
})
