// Attack: a second process on the same node, of the same user and the same principal, tries to reach the socket at which
// the first one is given its identity.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmodSync, chownSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { geteuid } from 'node:process'
import { after, before, describe, it, type TestContext } from 'node:test'
import type { ProcId } from '#shared/identity/names.ts'
import { closedAncestor } from '#node-agent/sandbox/access.ts'
import { makePlace, placeOf, socketOf } from '#node-agent/workload-api/place.ts'
import { KeeperFixture, needsSandbox, randomProc, RUN_AS, VISIBLE_PARENT } from '#test/support/keeper.ts'
import { ROOT } from '#test/support/sources.ts'

const INSIDE = '/run/ztmesh/workload.sock'
const IDENTITY = ['identity:reports', 'network', 'subprocess', 'workspace_rw']
const ANYBODY = ['network', 'read_anywhere', 'subprocess', 'workspace_rw']

const asRoot = geteuid?.() === 0
const sourceOpen = closedAncestor(join(ROOT, 'x'), RUN_AS) === undefined
const needsOneUser =
  needsSandbox || (!asRoot || sourceOpen ? false : 'needs a checkout that nobody can enter')
const CHANGES = `unlink "${INSIDE}" and print "gone"; rename "${INSIDE}", "/run/ztmesh/x" and print "moved";
  open(F, ">", "/run/ztmesh/y") and print "made"; chmod 0777, "/run/ztmesh" and print "opened"; print "kept"`

describe('the socket of a task, where agent and workloads are one user', { skip: needsOneUser }, () => {
  let fixture: KeeperFixture
  before(async () => {
    fixture = await KeeperFixture.create({ parent: VISIBLE_PARENT, ...(asRoot && { as: RUN_AS }) })
  })
  after(() => fixture.end())

  it('cannot be taken away by its own task either: the folder is shown read-only', async () => {
    const proc = randomProc()
    const place = placeOf(fixture.workspaceRoot, proc)
    mkdirSync(place, { recursive: true, mode: 0o711 })
    writeFileSync(socketOf(fixture.workspaceRoot, proc), '')
    for (const path of [dirname(place), place, socketOf(fixture.workspaceRoot, proc)])
      chownSync(path, RUN_AS.uid, RUN_AS.gid)
    const { stdout } = await fixture.perl(CHANGES, { proc, caps: IDENTITY })
    assert.equal(stdout, 'kept')
  })
})

describe('the socket of a task', { skip: needsSandbox }, () => {
  let fixture: KeeperFixture
  before(async () => {
    fixture = await KeeperFixture.create({ parent: VISIBLE_PARENT })
  })
  after(() => fixture.end())

  /** A task's folder with something that says whose it is. */
  async function serve(t: TestContext): Promise<ProcId> {
    const proc = randomProc()
    makePlace(fixture.workspaceRoot, proc)
    const path = socketOf(fixture.workspaceRoot, proc)
    const server = createServer((socket) => socket.end(proc))
    server.listen(path)
    await once(server, 'listening')
    t.after(() => server.close())
    chmodSync(path, 0o600)
    chownSync(path, RUN_AS.uid, RUN_AS.gid)
    return proc
  }

  const ask = (path: string): string =>
    `use Socket; socket(S, AF_UNIX, SOCK_STREAM, 0) or print "none";
    connect(S, pack_sockaddr_un("${path}")) ? print <S> : print "out";`

  it('answers the task for which it was made', async (t) => {
    const proc = await serve(t)
    const { stdout } = await fixture.perl(`${ask(INSIDE)} print " $ENV{SPIFFE_ENDPOINT_SOCKET}"`, {
      proc,
      caps: IDENTITY,
      env: { SPIFFE_ENDPOINT_SOCKET: 'unix:///elsewhere' },
    })
    assert.equal(stdout, `${proc} unix://${INSIDE}`)
  })

  it('is another one in every task', async (t) => {
    const [first, second] = [await serve(t), await serve(t)]
    const of = async (proc: ProcId): Promise<string> =>
      (await fixture.perl(ask(INSIDE), { proc, caps: IDENTITY })).stdout
    assert.deepEqual([await of(first), await of(second)], [first, second])
  })

  it('is not reached by the path that the host has it at, nor is its folder seen', async (t) => {
    const [first, second] = [await serve(t), await serve(t)]
    const path = socketOf(fixture.workspaceRoot, first)
    const script = `${ask(path)} opendir(D, "${fixture.workspaceRoot}"); print sort readdir D`
    const { stdout } = await fixture.perl(script, { proc: second, caps: IDENTITY })
    assert.equal(stdout, 'out...')
  })

  it('is not reached by a task without an identity, which is shown all of the host', async (t) => {
    const first = await serve(t)
    for (const path of [INSIDE, socketOf(fixture.workspaceRoot, first)]) {
      const { stdout } = await fixture.perl(ask(path), { caps: ANYBODY })
      assert.equal(stdout, 'noneout')
    }
    const { stdout } = await fixture.sh(`ls -A ${fixture.workspaceRoot} /run/ztmesh 2>&1`, { caps: ANYBODY })
    assert.ok(!stdout.includes('.workload') && !stdout.includes('workload.sock'), stdout)
  })

  it('cannot be taken away or put in place of by its own task', async (t) => {
    const proc = await serve(t)
    const path = socketOf(fixture.workspaceRoot, proc)
    const { ino } = statSync(path)
    const { stdout } = await fixture.perl(CHANGES, { proc, caps: IDENTITY })
    assert.equal(stdout, 'kept')
    assert.equal(statSync(path).ino, ino)
  })

  it('is in a folder that nobody but the agent may change, its own user included', async (t) => {
    const stat = statSync(placeOf(fixture.workspaceRoot, await serve(t)))
    assert.deepEqual([stat.mode & 0o777, stat.uid], [0o711, geteuid?.()])
  })

  it('is not shown to a task by a folder that others may change', async (t) => {
    const proc = await serve(t)
    chmodSync(placeOf(fixture.workspaceRoot, proc), 0o777)
    await assert.rejects(fixture.perl('print "ran"', { proc, caps: IDENTITY }), { code: 'ZT-412-FACT' })
  })

  it('must be there: without its folder the task is not started', async () => {
    await assert.rejects(fixture.perl('print "ran"', { caps: IDENTITY }), { code: 'ZT-412-FACT' })
  })
})
