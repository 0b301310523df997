// Attack: read what the agent keeps (its keys, its log, its sockets) or what another process keeps, from inside. Tried
// with a keeper of root, and with one that runs as the very user that the workload runs as.
import assert from 'node:assert/strict'
import { chown, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { closedAncestor } from '#node-agent/sandbox/access.ts'
import { KeeperFixture, needsSandbox, RUN_AS, VISIBLE_PARENT } from '#test/support/keeper.ts'
import { ROOT } from '#test/support/sources.ts'

const asRoot = process.geteuid?.() === 0
const sourceOpen = closedAncestor(join(ROOT, 'x'), RUN_AS) === undefined

const WAYS: Record<string, { as?: typeof RUN_AS; skip: string | false }> = {
  'a keeper of another user': { skip: needsSandbox || (asRoot ? false : 'needs root') },
  'a keeper of the same user': {
    ...(asRoot ? { as: RUN_AS } : {}),
    skip: needsSandbox || (sourceOpen ? false : 'needs a checkout that nobody can enter'),
  },
}

for (const [way, { skip, ...options }] of Object.entries(WAYS)) {
  describe(`from inside, under ${way}`, { skip }, () => {
    let fixture: KeeperFixture
    before(async () => {
      fixture = await KeeperFixture.create({ parent: VISIBLE_PARENT, ...options })
      const secret = join(fixture.stateDir, 'device.key')
      await writeFile(secret, 'TOP SECRET', { mode: 0o600 })
      if (asRoot) await chown(secret, RUN_AS.uid, RUN_AS.gid)
    })
    after(() => fixture.end())

    it('the folder of the agent is not there to be read, listed or written to', async () => {
      const { stdout, stderr } = await fixture.sh(
        `cd ${fixture.stateDir} && ls -A; cat ${fixture.stateDir}/device.key; find ${fixture.dir} -type f;` +
          `echo x > ${fixture.stateDir}/planted && echo planted; ls ${fixture.stateDir}/keeper`,
      )
      assert.equal(stdout, '')
      assert.doesNotMatch(stderr, /TOP SECRET/)
    })

    it('the folder above it is, where the user may look: it is covered, and not merely missing', async () => {
      const { stdout } = await fixture.sh(`test -d ${fixture.stateDir} && echo there`)
      assert.equal(stdout, 'there\n')
    })

    it('no way through /proc leads to it', async () => {
      const { stdout } = await fixture.sh(
        `for p in /proc/[0-9]*; do cat $p/root${fixture.stateDir}/device.key $p/cwd/device.key; ` +
          'for f in $p/fd/*; do cat "$f/device.key" "$f/../device.key"; done; done',
      )
      assert.equal(stdout, '')
    })

    it("the keeper's socket cannot be reached", async () => {
      const path = join(fixture.stateDir, 'keeper/sock')
      const script = `use Socket; socket(S, AF_UNIX, SOCK_STREAM, 0) or print "no socket, ";
        print -e "${path}" ? "there" : "no: $!"`
      assert.match((await fixture.perl(script)).stdout, /^no socket, no: No such file/)
    })

    it('a socket that the host has below /run or /tmp cannot be reached', async (t) => {
      const path = `/tmp/zt-attack-${process.pid}-${way.length}.sock`
      const server = createServer((socket) => socket.end('host')).listen({ path, writableAll: true })
      await once(server, 'listening')
      t.after(() => server.close())
      const script = `use Socket; socket(S, AF_UNIX, SOCK_STREAM, 0); print connect(S, pack_sockaddr_un("${path}")) ? "in" : "out"`
      assert.equal((await fixture.perl(script)).stdout, 'out')
      assert.equal((await fixture.sh('find /run -type s')).stdout, '')
    })

    it('the workspace of another process is not there', async () => {
      await fixture.sh('echo mine > secret', { workspace: 'one' })
      const other = await fixture.sh(
        `cat ${fixture.workspaceRoot}/one/secret ../one/secret; ls ${fixture.workspaceRoot}`,
        {
          workspace: 'two',
        },
      )
      assert.equal(other.stdout, '')
    })

    it('a link in the workspace leads nowhere that the user could not go by itself', async () => {
      const { stdout } = await fixture.sh(
        `ln -s ${fixture.stateDir}/device.key key; ln -s ${fixture.stateDir} state; cat key state/device.key`,
      )
      assert.equal(stdout, '')
    })

    it('a program of the folder of the agent is not run, also by a link', async () => {
      await fixture.sh(`ln -sf ${fixture.stateDir}/device.key tool`)
      for (const path of [join(fixture.stateDir, 'device.key'), '/workspace/tool']) {
        await assert.rejects(fixture.run(['tool'], { path }), { code: 'ZT-403-EXE' })
      }
    })
  })
}
