// Attack: a process with an identity may make unix sockets, to reach its own; it uses that to reach what listens on the
// host: by a path, by an abstract name, or by a kind of socket that needs no connection.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { geteuid } from 'node:process'
import { after, before, describe, it, type TestContext } from 'node:test'
import { makePlace } from '#node-agent/workload-api/place.ts'
import { KeeperFixture, needsSandbox, randomProc, VISIBLE_PARENT, type Ran } from '#test/support/keeper.ts'

const EAFNOSUPPORT = '97'
const CAPS = ['identity:thief', 'subprocess', 'workspace_rw']

/** On the host, and open to everybody. */
async function listen(t: TestContext, address: string): Promise<() => number> {
  let met = 0
  const server: Server = createServer((socket) => {
    met += 1
    socket.destroy()
  })
  t.after(() => server.close())
  const everybody = !address.startsWith('\0')
  server.listen({ path: address, writableAll: everybody, readableAll: everybody })
  await once(server, 'listening')
  return () => met
}

describe('a socket of the host, for a process with an identity', { skip: needsSandbox }, () => {
  let fixture: KeeperFixture
  before(async () => {
    fixture = await KeeperFixture.create({ parent: VISIBLE_PARENT })
  })
  after(() => fixture.end())

  function perl(script: string, caps: readonly string[] = CAPS): Promise<Ran> {
    const proc = randomProc()
    makePlace(fixture.workspaceRoot, proc)
    return fixture.perl(`use Socket; ${script}`, { proc, caps })
  }

  const connect = (address: string): string =>
    `socket(S, AF_UNIX, SOCK_STREAM, 0) or die "no socket"; print connect(S, pack_sockaddr_un("${address}")) ? "in" : "out"`

  it('is not reached by a path that a process without one is shown', async (t) => {
    const path = join(fixture.dir, 'host.sock')
    const met = await listen(t, path)
    assert.equal((await perl(connect(path))).stdout, 'out')
    assert.equal(met(), 0)
  })

  it('is not reached by an abstract name without `network`', async (t) => {
    const name = `zt-attack-${process.pid}`
    const met = await listen(t, `\0${name}`)
    assert.equal((await perl(connect(`\\0${name}`))).stdout, 'out')
    assert.equal(met(), 0)
  })

  // ADR 13 and SECURITY.md say so: whoever grants both should know it. This fails on the day that it is closed.
  it('is reached by an abstract name with `network`, which is said to whoever grants both', async (t) => {
    const name = `zt-known-${process.pid}`
    const met = await listen(t, `\0${name}`)
    assert.equal((await perl(connect(`\\0${name}`), ['identity:thief', 'network'])).stdout, 'in')
    assert.equal(met(), 1)
  })

  for (const kind of ['SOCK_DGRAM', 'SOCK_SEQPACKET', 'SOCK_RAW'])
    it(`is not reached without a connection, or by ${kind}`, async () => {
      const { stdout } = await perl(`socket(S, AF_UNIX, ${kind}, 0) or print $!+0`)
      assert.equal(stdout, EAFNOSUPPORT)
    })

  it('is not shown by asking for all of the host beside the identity: then nothing is started', () =>
    assert.rejects(perl('print "ran"', ['identity:thief', 'read_anywhere']), { code: 'ZT-412-FACT' }))

  const rootOnly = geteuid?.() === 0 ? false : 'only root can put a socket into a system folder'
  it(
    'in a system folder keeps every process with an identity from starting',
    { skip: rootOnly },
    async (t) => {
      const dir = mkdtempSync('/usr/local/ztmesh-attack-')
      t.after(() => rmSync(dir, { recursive: true, force: true }))
      await listen(t, join(dir, 's'))
      await assert.rejects(perl('print "ran"'), {
        code: 'ZT-412-FACT',
        details: { fact: 'socket', path: join(dir, 's') },
      })
      const { stdout } = await fixture.perl('print "ran"')
      assert.equal(stdout, 'ran')
    },
  )

  it('in a system folder is found too where it was named from that folder', { skip: rootOnly }, async (t) => {
    const dir = mkdtempSync('/usr/local/ztmesh-attack-')
    t.after(() => rmSync(dir, { recursive: true, force: true }))
    const before = process.cwd()
    process.chdir(dir)
    try {
      await listen(t, 'named-from-here')
    } finally {
      process.chdir(before)
    }
    await assert.rejects(perl('print "ran"'), {
      code: 'ZT-412-FACT',
      details: { fact: 'socket', path: join(dir, 'named-from-here') },
    })
  })
})
