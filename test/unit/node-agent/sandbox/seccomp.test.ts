import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { seccompProgram } from '#node-agent/sandbox/seccomp.ts'
import { DENIED, FORKS, INSPECTED, numberOf, type SeccompArch } from '#node-agent/sandbox/syscalls.ts'

const AUDIT_ARCH = { x86_64: 0xc000003e, aarch64: 0xc00000b7 } as const
const I386 = 0x40000003
const ALLOW = 0x7fff0000
const KILL = 0x80000000
const EPERM = 0x00050001
const ENOSYS = 0x00050026
const EAFNOSUPPORT = 0x00050061

interface Call {
  readonly arch: number
  readonly nr: number
  readonly args?: readonly bigint[]
}

/** Runs a classic BPF program as the kernel would, over struct seccomp_data. */
function decide(program: Uint8Array, { arch, nr, args = [] }: Call): number {
  const data = Buffer.alloc(64)
  data.writeUInt32LE(nr, 0)
  data.writeUInt32LE(arch, 4)
  args.forEach((value, index) => data.writeBigUInt64LE(BigInt.asUintN(64, value), 16 + index * 8))
  const code = Buffer.from(program)
  let accumulator = 0
  for (let pc = 0; pc * 8 < code.length; pc += 1) {
    const [jt, jf] = [code.readUInt8(pc * 8 + 2), code.readUInt8(pc * 8 + 3)]
    const k = code.readUInt32LE(pc * 8 + 4)
    const jump = (holds: boolean): void => {
      pc += holds ? jt : jf
    }
    switch (code.readUInt16LE(pc * 8)) {
      case 0x20:
        accumulator = data.readUInt32LE(k)
        break
      case 0x15:
        jump(accumulator === k)
        break
      case 0x35:
        jump(accumulator >= k)
        break
      case 0x45:
        jump((accumulator & k) !== 0)
        break
      case 0x54:
        accumulator = (accumulator & k) >>> 0
        break
      case 0x06:
        return k
      default:
        throw new Error(`unknown instruction at ${pc}`)
    }
  }
  throw new Error('the program has no end')
}

for (const arch of ['x86_64', 'aarch64'] as const) {
  describe(`system-call filter of ${arch}`, () => {
    const program = seccompProgram({ arch, subprocess: true, unixStreams: false })
    const alone = seccompProgram({ arch, subprocess: false, unixStreams: false })
    const call = (nr: number, ...args: bigint[]): number =>
      decide(program, { arch: AUDIT_ARCH[arch], nr, args })
    const callAlone = (nr: number, ...args: bigint[]): number =>
      decide(alone, { arch: AUDIT_ARCH[arch], nr, args })
    const nr = (name: keyof typeof INSPECTED): number => numberOf(INSPECTED[name], arch)

    for (const [name, numbers] of Object.entries(DENIED)) {
      const number = numberOf(numbers, arch)
      if (number >= 0) it(`refuses ${name}`, () => assert.equal(call(number), EPERM))
    }

    it('ends a process that calls by a foreign architecture', () => {
      for (const foreign of [I386, AUDIT_ARCH[arch === 'x86_64' ? 'aarch64' : 'x86_64'], 0]) {
        assert.equal(decide(program, { arch: foreign, nr: 0 }), KILL)
      }
    })

    it('answers clone3 as a kernel that does not know it, so that libc uses clone', () => {
      assert.equal(call(nr('clone3')), ENOSYS)
    })

    for (const [flag, bit] of Object.entries({
      CLONE_NEWNS: 0x00020000n,
      CLONE_NEWCGROUP: 0x02000000n,
      CLONE_NEWUTS: 0x04000000n,
      CLONE_NEWIPC: 0x08000000n,
      CLONE_NEWUSER: 0x10000000n,
      CLONE_NEWPID: 0x20000000n,
      CLONE_NEWNET: 0x40000000n,
    })) {
      it(`refuses clone with ${flag}`, () => {
        assert.equal(call(nr('clone'), bit | 17n), EPERM)
        assert.equal(call(nr('clone'), bit | 0x00010000n), EPERM)
      })
    }

    it('lets a process fork and make threads', () => {
      assert.equal(call(nr('clone'), 0x01200011n), ALLOW)
      assert.equal(call(nr('clone'), 0x003d0f00n), ALLOW)
    })

    it('lets a process without "subprocess" make threads and no process', () => {
      assert.equal(callAlone(nr('clone'), 0x003d0f00n), ALLOW)
      assert.equal(callAlone(nr('clone'), 0x01200011n), EPERM)
      assert.equal(callAlone(nr('clone'), 0x4111n), EPERM)
      assert.equal(callAlone(nr('clone'), 0x003d0f00n | 0x10000000n), EPERM)
      for (const numbers of Object.values(FORKS)) {
        const number = numberOf(numbers, arch)
        if (number >= 0) assert.equal(callAlone(number), EPERM)
      }
    })

    it('refuses to push characters into a terminal, whatever the high bits of the request are', () => {
      for (const request of [0x5412n, 0x541cn]) {
        assert.equal(call(nr('ioctl'), 0n, request), EPERM)
        assert.equal(call(nr('ioctl'), 0n, request | (1n << 32n)), EPERM)
      }
      assert.equal(call(nr('ioctl'), 0n, 0x5401n), ALLOW)
      assert.equal(call(nr('ioctl'), 0x5412n, 0x5401n), ALLOW)
    })

    it('knows the usual families of sockets, and no other', () => {
      for (const family of [2n, 10n, 16n]) assert.equal(call(nr('socket'), family), ALLOW)
      for (const family of [0n, 1n, 17n, 38n, 40n, 44n, 99n])
        assert.equal(call(nr('socket'), family), EAFNOSUPPORT)
    })

    it('lets a process with an identity make streams of AF_UNIX, and nothing else of it', () => {
      const own = seccompProgram({ arch, subprocess: true, unixStreams: true })
      const socket = (...args: bigint[]): number =>
        decide(own, { arch: AUDIT_ARCH[arch], nr: nr('socket'), args })
      for (const flags of [0n, 0o2004000n]) assert.equal(socket(1n, 1n | flags), ALLOW)
      for (const type of [0n, 2n, 3n, 4n, 5n, 0o2004002n, 0o2004005n])
        assert.equal(socket(1n, type), EAFNOSUPPORT)
      for (const family of [2n, 10n, 16n]) assert.equal(socket(family, 2n), ALLOW)
      for (const family of [0n, 17n, 38n, 40n, 44n, 99n]) assert.equal(socket(family, 1n), EAFNOSUPPORT)
    })

    it('lets a process have pairs of sockets that nothing else can be reached by', () => {
      const flags = 0o2004000n
      for (const type of [1n, 5n]) {
        assert.equal(call(nr('socketpair'), 1n, type), ALLOW)
        assert.equal(call(nr('socketpair'), 1n, type | flags), ALLOW)
      }
      // SOCK_RAW of AF_UNIX is SOCK_DGRAM by another name.
      for (const type of [0n, 2n, 3n, 2n | flags, 4n, 7n, 15n])
        assert.equal(call(nr('socketpair'), 1n, type), EAFNOSUPPORT)
    })

    it('lets through what a program lives on', () => {
      const usual =
        arch === 'x86_64' ? [0, 1, 2, 9, 59, 60, 202, 231, 257, 317] : [63, 64, 56, 222, 221, 93, 98, 94, 277]
      for (const number of usual) assert.equal(call(number), ALLOW)
    })

    it('is shorter than the kernel takes', () => {
      assert.ok(program.length / 8 <= 4096)
      assert.ok(alone.length > program.length)
    })
  })
}

it('ends an x86_64 process that calls by the x32 numbers', () => {
  const program = seccompProgram({ arch: 'x86_64', subprocess: true, unixStreams: false })
  assert.equal(decide(program, { arch: AUDIT_ARCH.x86_64, nr: 0x40000000 + 165 }), KILL)
  assert.equal(decide(program, { arch: AUDIT_ARCH.x86_64, nr: 0xffffffff }), KILL)
})

const HEADERS: Readonly<Record<SeccompArch, string>> = {
  x86_64: '/usr/include/x86_64-linux-gnu/asm/unistd_64.h',
  aarch64: '/usr/include/asm-generic/unistd.h',
}

for (const [arch, header] of Object.entries(HEADERS) as [SeccompArch, string][]) {
  it(
    `has the numbers that the kernel's headers give for ${arch}`,
    { skip: existsSync(header) ? false : `needs ${header}` },
    () => {
      const text = readFileSync(header, 'utf8')
      const known = new Map(
        [...text.matchAll(/^#define __NR(?:3264)?_(\w+) (\d+)$/gm)].map(([, name, nr]) => [name, Number(nr)]),
      )
      assert.ok(known.size > 200)
      for (const [name, numbers] of Object.entries({ ...DENIED, ...FORKS, ...INSPECTED })) {
        const number = numberOf(numbers, arch)
        // Headers older than a call do not name it; then nobody else may have its number.
        if (known.has(name)) assert.equal(number, known.get(name), name)
        else assert.ok(number < 0 || ![...known.values()].includes(number), name)
      }
    },
  )
}
