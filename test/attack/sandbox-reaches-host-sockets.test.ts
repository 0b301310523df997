// Attack: reach what listens on the host by unix sockets (a container engine, an agent of keys, a message bus): by a
// name of the network namespace that is shared, by a path that is shown, or by a pair of datagram sockets turned round.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, describe, it, type TestContext } from 'node:test'
import { KeeperFixture, needsSandbox, VISIBLE_PARENT } from '#test/support/keeper.ts'

const EAFNOSUPPORT = 97

describe('a service of the host that listens on a unix socket', { skip: needsSandbox }, () => {
  let fixture: KeeperFixture
  before(async () => {
    fixture = await KeeperFixture.create({ parent: VISIBLE_PARENT })
  })
  after(() => fixture.end())

  /** On the host. Says each message that it got; `address` is of unix(7), with \\0 as the first of an abstract one. */
  async function listen(
    t: TestContext,
    kind: 'STREAM' | 'DGRAM',
    address: string,
  ): Promise<{ heard: string[]; end: () => Promise<void> }> {
    const accept = kind === 'DGRAM' ? 'recv(S, $m, 99, 0)' : 'accept(C, S); sysread(C, $m, 99)'
    const script = `use Socket; $| = 1; umask 0; socket(S, AF_UNIX, SOCK_${kind}, 0) or die;
      bind(S, pack_sockaddr_un("${address}")) or die $!; ${kind === 'STREAM' ? 'listen(S, 9) or die;' : ''}
      print "ready\\n"; while (1) { ${accept}; print "$m\\n"; last if $m eq "end" }`
    const server = spawn('perl', ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
    t.after(() => server.kill('SIGKILL'))
    const heard: string[] = []
    const lines = createInterface(server.stdout)
    lines.on('line', (line) => heard.push(line))
    const closed = once(lines, 'close')
    await once(lines, 'line')
    return {
      heard,
      end: async () => {
        const connect = spawn('perl', ['-e', `${client(kind, address)} send(S, "end", 0) or die $!`])
        await once(connect, 'close')
        await closed
      },
    }
  }

  const client = (kind: string, address: string): string =>
    `use Socket; socket(S, AF_UNIX, SOCK_${kind}, 0) or print $!+0; connect(S, pack_sockaddr_un("${address}"));`

  const addresses: Record<string, () => string> = {
    'an abstract name': () => `\\0zt-attack-${process.pid}-`,
    'a path that is shown': () => join(fixture.dir, 'host-'),
  }
  for (const [what, address] of Object.entries(addresses)) {
    for (const kind of ['STREAM', 'DGRAM'] as const) {
      it(`is not reached by ${what} (${kind})`, async (t) => {
        const at = `${address()}${kind}`
        const { heard, end } = await listen(t, kind, at)
        const { stdout } = await fixture.perl(`${client(kind, at)} send(S, "inside", 0)`)
        await end()
        assert.deepEqual([stdout, heard], [String(EAFNOSUPPORT), ['ready', 'end']])
      })
    }

    for (const kind of ['SOCK_DGRAM', 'SOCK_RAW']) {
      it(`is not reached by ${what}, from one of a pair of sockets (${kind})`, async (t) => {
        const at = `${address()}${kind}`
        const { heard, end } = await listen(t, 'DGRAM', at)
        const { stdout } = await fixture.perl(
          `use Socket; socketpair(S, T, AF_UNIX, ${kind}, 0) or print $!+0;
          send(S, "inside", 0, pack_sockaddr_un("${at}")); connect(S, pack_sockaddr_un("${at}")); send(S, "inside", 0)`,
        )
        await end()
        assert.deepEqual([stdout, heard], [String(EAFNOSUPPORT), ['ready', 'end']])
      })
    }
  }

  for (const kind of ['SOCK_STREAM', 'SOCK_SEQPACKET']) {
    it(`a pair of sockets stays a pair (${kind})`, async (t) => {
      const at = `\\0zt-attack-${process.pid}-${kind}`
      const { heard, end } = await listen(t, 'STREAM', at)
      const { stdout } = await fixture.perl(
        `use Socket; socketpair(S, T, AF_UNIX, ${kind}, 0) or die $!; print connect(S, pack_sockaddr_un("${at}")) ? "in" : "out";
        send(S, " own", 0); sysread(T, $m, 9); print $m`,
      )
      await end()
      assert.deepEqual([stdout, heard], ['out own', ['ready', 'end']])
    })
  }

  for (const [what, command] of Object.entries({
    'names are resolved': 'getent hosts localhost && getent passwd root',
    'git works': 'git init -q g && git -C g status --short',
    'perl starts processes and talks to them':
      'perl -MSocket -e \'socketpair(A, B, AF_UNIX, SOCK_STREAM, 0) or die; if (fork) { sysread(A, $m, 9); print $m; wait } else { syswrite(B, "told") }\'',
    'python has loops and pairs':
      'python3 -c "import asyncio, socket; asyncio.run(asyncio.sleep(0)); print(socket.socketpair()[0])"',
  })) {
    it(`without them ${what}`, async () => {
      const found = await fixture.sh(command)
      assert.deepEqual([found.code, found.stderr], [0, ''])
    })
  }
})
