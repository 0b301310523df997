// Attack: leave the sandbox, or reach into the kernel, by a system call that the filter is there for. Real calls, from
// inside, by their numbers.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { DENIED, INSPECTED, numberOf } from '#node-agent/sandbox/syscalls.ts'
import { staticProgram } from '#test/support/elf.ts'
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
    assert.deepEqual(
      found,
      requests.map(() => EPERM),
    )
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
    const { stdout } = await fixture.sh(
      'grep -E "^(NoNewPrivs|Seccomp):" /proc/self/status; su -c id root </dev/null; sudo -n id; true',
    )
    assert.match(stdout.replaceAll('\t', ' '), /^NoNewPrivs: 1\nSeccomp: 2\n$/)
  })

  // What an x86_64 process reaches by the old gate is the table of i386, where every number means another call.
  for (const name of process.arch === 'x64' ? ['the 32-bit gate of the processor'] : []) {
    it(`a process that calls by ${name} is ended`, async () => {
      const path = join(fixture.workspaceRoot, 'w/int80')
      await writeFile(path, staticProgram([0x31, 0xdb, 0x8d, 0x43, 0x01, 0xcd, 0x80]))
      await chmod(path, 0o755)
      const { record } = await fixture.run(['int80'], { path: '/workspace/int80' })
      // SIGSYS by the filter; SIGSEGV from a kernel that has no such gate. Had the call been made: exit(0).
      assert.ok([128 + 31, 128 + 11].includes(record.exit?.code ?? 0), JSON.stringify(record.exit))
    })
  }
})
