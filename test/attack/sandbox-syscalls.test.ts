// Attack: leave the sandbox, or reach into the kernel, by a system call that the filter is there for. Real calls, from
// inside, by their numbers.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { after, before, describe, it } from 'node:test'
import { DENIED, INSPECTED, numberOf } from '#node-agent/sandbox/syscalls.ts'
import { KeeperFixture, needsSandbox } from '#test/support/keeper.ts'

const arch = process.arch === 'arm64' ? 'aarch64' : 'x86_64'
const skip = needsSandbox || (existsSync('/usr/bin/perl') ? false : 'needs perl')

const EPERM = 1
const ENOSYS = 38
const EAFNOSUPPORT = 97
const CLONE_NEWUSER = 0x10000000

describe('from inside', { skip }, () => {
  let fixture: KeeperFixture
  before(async () => {
    fixture = await KeeperFixture.create()
  })
  after(() => fixture.end())

  /** errno of each call, 0 if it succeeded */
  async function errnos(calls: readonly string[]): Promise<number[]> {
    const script = calls.map((call) => `print((syscall(${call}) == -1 ? $!+0 : 0), "\\n");`).join('')
    const { stdout, record } = await fixture.perl(script)
    assert.equal(record.exit?.code, 0, 'the program itself must come to its end')
    return stdout.trim().split('\n').map(Number)
  }

  const numbers = Object.entries(DENIED).flatMap(([name, pair]) => {
    const number = numberOf(pair, arch)
    return number < 0 ? [] : [[name, number] as const]
  })

  it('every call of the table is refused by the filter', async () => {
    const found = await errnos(numbers.map(([, number]) => `${number}, 0, 0, 0, 0, 0, 0`))
    numbers.forEach(([name], index) => assert.equal(found[index], EPERM, name))
  })

  it('the same calls fail in another way outside, so that it is the filter which answers', async () => {
    // bpf(2) with no arguments is EINVAL or EPERM by itself; io_uring_setup and process_vm_readv are not EPERM for anybody.
    const inside = await errnos([`${numberOf(DENIED['io_uring_setup'] ?? [0, 0], arch)}, 0, 0`])
    assert.deepEqual(inside, [EPERM])
  })

  for (const [what, args] of Object.entries({
    'a user namespace': `${CLONE_NEWUSER}|17`,
    'a mount namespace': `${0x00020000}|17`,
    'a network namespace': `${0x40000000}|17`,
  })) {
    it(`${what} cannot be made by clone`, async () => {
      assert.deepEqual(await errnos([`${numberOf(INSPECTED.clone, arch)}, ${args}, 0, 0, 0, 0`]), [EPERM])
    })
  }

  it('clone3, whose arguments no filter sees, is not there', async () => {
    assert.deepEqual(await errnos([`${numberOf(INSPECTED.clone3, arch)}, 0, 0`]), [ENOSYS])
  })

  it('nothing can be pushed into a terminal', async () => {
    const ioctl = numberOf(INSPECTED.ioctl, arch)
    const high = 2 ** 32
    const requests = [0x5412, 0x541c, 0x5412 + high, 0x541c + high]
    const found = await errnos(requests.map((request) => `${ioctl}, 0, ${request}, 0`))
    assert.deepEqual(found, requests.map(() => EPERM))
  })

  it('no socket reaches past the network namespace: vsock, packet, bluetooth, kernel crypto', async () => {
    const socket = numberOf(INSPECTED.socket, arch)
    const found = await errnos([40, 17, 31, 38].map((family) => `${socket}, ${family}, 1, 0`))
    assert.deepEqual(found, [EAFNOSUPPORT, EAFNOSUPPORT, EAFNOSUPPORT, EAFNOSUPPORT])
  })

  it('tools that would use them fail', async () => {
    const { stdout } = await fixture.sh(
      'unshare -Ur true && echo userns; unshare -m true && echo mntns; mount -t tmpfs x /tmp && echo mount; ' +
        'umount -l /proc && echo umount; nsenter -t 1 -a true && echo nsenter; chroot / true && echo chroot; true',
    )
    assert.equal(stdout, '')
  })

  it('the filter cannot be taken off, and privileges cannot be won back', async () => {
    const { stdout } = await fixture.sh('grep -E "^(NoNewPrivs|Seccomp):" /proc/self/status; su -c id root </dev/null; sudo -n id; true')
    assert.match(stdout.replaceAll('\t', ' '), /^NoNewPrivs: 1\nSeccomp: 2\n$/)
  })

  const ld32 = '/lib/ld-linux.so.2'
  it('a process of a foreign architecture is ended', { skip: existsSync(ld32) ? false : `needs ${ld32}` }, async () => {
    const { record } = await fixture.sh(`exec ${ld32} --version`)
    assert.equal(record.exit?.code, 128 + 31)
  })
})
