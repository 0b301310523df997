// Attack: write anywhere but to the workspace and the private folders, or see it stay.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdtemp, chmod, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { KeeperFixture, needsSandbox, RUN_AS, VISIBLE_PARENT } from '#test/support/keeper.ts'

describe('from inside', { skip: needsSandbox }, () => {
  let fixture: KeeperFixture
  before(async () => {
    fixture = await KeeperFixture.create()
  })
  after(() => fixture.end())

  for (const folder of [
    '/',
    '/usr',
    '/usr/bin',
    '/etc',
    '/var',
    '/var/lib',
    '/home',
    '/opt',
    '/dev',
    '/proc',
    '/sys',
    '/bin/..',
  ]) {
    it(`nothing can be made in ${folder}`, async () => {
      const { stdout } = await fixture.sh(
        `touch ${folder}/zt-attack && echo file; mkdir ${folder}/zt-attack-d && echo folder; ln -s x ${folder}/zt-attack-l && echo link`,
      )
      assert.equal(stdout, '')
    })
  }

  it('a folder that everybody may write to on the host is read-only', async (t) => {
    const open = await mkdtemp(join(VISIBLE_PARENT, 'ztmesh-open-'))
    t.after(() => rm(open, { recursive: true }))
    await chmod(open, 0o777)
    const { stdout } = await fixture.sh(`touch ${open}/planted && echo written`)
    assert.equal(stdout, '')
    assert.equal(existsSync(join(open, 'planted')), false)
  })

  it('what is written to /tmp, /var/tmp, /run and /dev/shm is not on the host', async () => {
    const name = `zt-attack-${process.pid}`
    assert.equal(
      (await fixture.sh(`for d in /tmp /var/tmp /run /dev/shm; do echo x > $d/${name} || exit 1; done`)).code,
      0,
    )
    for (const folder of ['/tmp', '/var/tmp', '/run', '/dev/shm'])
      assert.equal(existsSync(join(folder, name)), false)
  })

  it('the program that runs cannot be changed, also in the workspace', async () => {
    await fixture.sh(
      `printf '#!/bin/sh\\necho changed > "$0"; rm -f "$0"; cat "$0"\\n' > tool; chmod +x tool`,
    )
    const { stdout } = await fixture.run(['tool'], { path: '/workspace/tool' })
    assert.match(stdout, /^#!/)
  })

  it('the private folders are bounded', async () => {
    const { stdout } = await fixture.sh('df -B1 --output=size /run | tail -1')
    assert.equal(Number(stdout.trim()), 16 * 1024 * 1024)
    assert.notEqual((await fixture.sh('head -c 20000000 /dev/zero > /run/big')).code, 0)
  })

  it("the kernel's switches cannot be turned", async () => {
    const { stdout } = await fixture.sh(
      'for f in /proc/sys/kernel/core_pattern /proc/sys/vm/drop_caches /proc/sysrq-trigger /proc/sys/user/max_user_namespaces; do ' +
        'echo 1 > $f && echo $f; done 2>/dev/null',
    )
    assert.equal(stdout, '')
  })

  it('a file of the workspace that is set-user-id gives nothing', async () => {
    await fixture.sh('cp /usr/bin/id id; chmod 4755 id')
    const { stdout } = await fixture.sh('./id -u; grep " /workspace " /proc/self/mountinfo | grep -c nosuid')
    assert.deepEqual(stdout.trim().split('\n'), [String(RUN_AS.uid), '1'])
  })
})
