// What every Sandbox must do, whatever it is made of: run a program with what was granted, and without the rest.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFile, rm } from 'node:fs/promises'
import { closeSync, openSync, readFileSync, realpathSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { createBubblewrap } from '#node-agent/sandbox/bubblewrap.ts'
import { launchPlan } from '#node-agent/sandbox/launch.ts'
import type { Sandbox } from '#node-agent/sandbox/sandbox.ts'
import { openWorkspace, workingDirectory } from '#node-agent/sandbox/workspace.ts'
import { DEFAULT_CAPABILITIES } from '#shared/protocol/sandbox-capability.ts'
import { needsSandbox, openDir, RUN_AS } from '#test/support/keeper.ts'

interface Implementation {
  readonly name: string
  readonly skip: string | false
  readonly make: (dir: string) => Sandbox
}

const implementations: readonly Implementation[] = [
  { name: 'bubblewrap', skip: needsSandbox, make: (dir) => createBubblewrap(dir) },
]

interface Given {
  readonly caps?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly masks?: readonly string[]
  readonly cwd?: string
}

interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

const without = (name: string): readonly string[] => DEFAULT_CAPABILITIES.filter((other) => other !== name)

for (const { name, skip, make } of implementations) {
  describe(`sandbox: ${name}`, { skip }, () => {
    let dir = ''
    before(async () => {
      dir = await openDir()
    })
    after(() => rm(dir, { recursive: true, force: true }))

    /** Runs a shell script to its end. */
    async function sh(script: string, given: Given = {}): Promise<Outcome> {
      const sandbox = make(join(dir, 'state'))
      const workspace = openWorkspace({ root: join(dir, 'workspaces'), name: 'w' }, RUN_AS)
      const path = realpathSync('/bin/sh')
      const out = openSync(join(dir, 'stdout'), 'w')
      const err = openSync(join(dir, 'stderr'), 'w')
      const gate = openSync('/dev/zero', 'r')
      const exe = openSync(path, 'r')
      try {
        const plan = sandbox.plan({
          label: 'ztmesh:contract',
          caps: DEFAULT_CAPABILITIES,
          runAs: RUN_AS,
          argv: ['sh', '-c', script],
          exe: { fd: exe, path },
          interpreter: undefined,
          workspaceFd: workspace.fd,
          cwd: workingDirectory(given.cwd, workspace),
          env: {},
          searchPath: ['/usr/bin', '/bin'],
          masks: [],
          ...(given.caps === undefined ? {} : { caps: given.caps }),
          ...(given.env === undefined ? {} : { env: given.env }),
          ...(given.masks === undefined ? {} : { masks: given.masks }),
        })
        const { child, status } = launchPlan(plan, { stdout: out, stderr: err, gate })
        status.resume()
        const [code] = (await once(child, 'exit')) as [number | null]
        return {
          code,
          stdout: readFileSync(join(dir, 'stdout'), 'utf8'),
          stderr: readFileSync(join(dir, 'stderr'), 'utf8'),
        }
      } finally {
        for (const fd of [workspace.fd, out, err, gate, exe]) closeSync(fd)
      }
    }

    it('finds nothing missing on a machine where it works', async () => {
      assert.deepEqual(await make(join(dir, 'probe')).probe(RUN_AS), [])
    })

    it('says what is missing, and does not throw, for a user that it cannot run as', async () => {
      const findings = await make(join(dir, 'probe')).probe({ uid: 0, gid: 0 })
      assert.equal(findings.length, 1)
      assert.ok(findings[0]?.remedy)
    })

    it('runs the program, and ends with its status', async () => {
      assert.deepEqual(await sh('echo out; echo err >&2; exit 7'), {
        code: 7,
        stdout: 'out\n',
        stderr: 'err\n',
      })
    })

    it('gives exactly the environment that was asked for, and the four that every process needs', async () => {
      process.env['ZT_TEST_LEAK'] = 'leak'
      const { stdout } = await sh('env', { env: { FOO: 'a b=c', LANG: 'en_US.UTF-8' } })
      delete process.env['ZT_TEST_LEAK']
      assert.deepEqual(stdout.trim().split('\n').toSorted(), [
        'FOO=a b=c',
        'HOME=/workspace',
        'LANG=en_US.UTF-8',
        'PATH=/usr/bin:/bin',
        'PWD=/workspace',
        'TMPDIR=/tmp',
      ])
    })

    it('starts in the workspace, or in a folder of it', async () => {
      assert.equal((await sh('pwd; mkdir -p sub/dir')).stdout, '/workspace\n')
      assert.equal((await sh('pwd', { cwd: '/workspace/sub/dir' })).stdout, '/workspace/sub/dir\n')
    })

    it('runs as the user that it was told, with no privileges', async () => {
      const { stdout } = await sh(
        'id -u; id -G; grep -E "^(CapEff|CapPrm|CapBnd|CapAmb|NoNewPrivs|Seccomp):" /proc/self/status',
      )
      assert.equal(
        stdout.replaceAll(/[ \t]+/g, ' '),
        [
          RUN_AS.uid,
          RUN_AS.gid,
          'CapPrm: 0000000000000000',
          'CapEff: 0000000000000000',
          'CapBnd: 0000000000000000',
          'CapAmb: 0000000000000000',
          'NoNewPrivs: 1',
          'Seccomp: 2\n',
        ].join('\n'),
      )
    })

    describe('workspace_rw', () => {
      it('lets a process write to its workspace, and it stays', async () => {
        assert.equal((await sh('echo kept > file')).code, 0)
        assert.equal(await readFile(join(dir, 'workspaces/w/file'), 'utf8'), 'kept\n')
      })

      it('missing leaves the workspace readable only', async () => {
        await sh('echo kept > file')
        const { code, stdout } = await sh('cat file; echo changed > file || exit 9', {
          caps: without('workspace_rw'),
        })
        assert.deepEqual([code, stdout], [9, 'kept\n'])
      })
    })

    describe('read_anywhere', () => {
      it('lets a process read what its user may read on the host', async () => {
        assert.equal((await sh('test -d /var/lib && test -d /usr/share && test -r /etc/passwd')).code, 0)
      })

      it('missing leaves what programs need to start', async () => {
        const { stdout } = await sh('ls -A /', { caps: without('read_anywhere') })
        const allowed = new Set(
          'bin dev etc lib lib32 lib64 libx32 proc run sbin tmp usr var workspace'.split(' '),
        )
        const shown = stdout.trim().split('\n')
        assert.ok(shown.includes('usr') && shown.includes('workspace'))
        for (const entry of shown) assert.ok(allowed.has(entry), entry)
        assert.equal((await sh('ls -A /var', { caps: without('read_anywhere') })).stdout, 'tmp\n')
      })
    })

    describe('network', () => {
      it('lets a process reach what the host reaches', async () => {
        const server = createServer((socket) => socket.end('hello')).listen(0, '127.0.0.1')
        await once(server, 'listening')
        const address = server.address()
        const port = typeof address === 'object' ? (address?.port ?? 0) : 0
        try {
          const script = `exec 3<>/dev/tcp/127.0.0.1/${port}; cat <&3`
          const { stdout } = await sh(`bash -c '${script}'`)
          assert.equal(stdout, 'hello')
          const alone = await sh(`bash -c '${script}' || exit 9`, { caps: without('network') })
          assert.deepEqual([alone.code, alone.stdout], [9, ''])
        } finally {
          server.close()
        }
      })

      it('missing leaves no interface but a loopback of its own', async () => {
        const { stdout } = await sh('cat /proc/net/dev | tail -n +3 | cut -d: -f1', {
          caps: without('network'),
        })
        assert.equal(stdout.trim(), 'lo')
      })
    })

    describe('subprocess', () => {
      it('lets a process start others', async () => {
        assert.equal((await sh('/bin/echo one; (echo two) | cat')).stdout, 'one\ntwo\n')
      })

      it('missing lets a process become another one, and make none', async () => {
        const alone = { caps: without('subprocess') }
        assert.equal((await sh('exec /bin/echo one', alone)).stdout, 'one\n')
        const forked = await sh('/bin/echo one; /bin/echo two', alone)
        assert.equal(forked.stdout, '')
        assert.notEqual(forked.code, 0)
      })
    })

    it('gives a private /tmp, /var/tmp, /run and /dev/shm, which end with the process', async () => {
      await sh('for d in /tmp /var/tmp /run /dev/shm; do echo x > $d/left || exit 1; done')
      assert.equal((await sh('ls /tmp /var/tmp /run /dev/shm | grep left')).stdout, '')
    })

    it('gives the devices that programs need, and no other', async () => {
      const { stdout } = await sh('ls /dev')
      const allowed =
        'console core fd full null ptmx pts random shm stderr stdin stdout tty urandom zero'.split(' ')
      for (const device of stdout.trim().split('\n')) assert.ok(allowed.includes(device), device)
      assert.equal((await sh('echo x > /dev/null && head -c 3 /dev/zero | wc -c')).stdout.trim(), '3')
    })

    it('covers a masked folder, with what lies below it', async () => {
      const seen = await sh('ls -A /usr/share')
      assert.notEqual(seen.stdout, '')
      const masked = await sh('ls -A /usr/share; touch /usr/share/new || exit 9', { masks: ['/usr/share'] })
      assert.deepEqual([masked.code, masked.stdout], [9, ''])
    })

    it('binds the open file over its path, so what runs is what was opened', async () => {
      const { stdout } = await sh('grep -c " $(readlink -f /bin/sh) " /proc/self/mountinfo')
      assert.equal(stdout, '1\n')
    })

    it('refuses capabilities that it cannot enforce before anything runs', () => {
      const run = sh('echo ran', { caps: ['network', 'secret:db'] })
      return assert.rejects(run, { code: 'ZT-412-FACT' })
    })
  })
}
