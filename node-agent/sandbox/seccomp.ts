// The system-call filter, as classic BPF for seccomp(2). It is a second line behind namespaces: calls by which a
// process could leave them, or that reach much kernel for little use, fail; a foreign architecture ends the process.
// It trusts the kernel's seccomp_data and nothing else.
import { DENIED, FORKS, INSPECTED, numberOf, type SeccompArch } from './syscalls.ts'

export interface SeccompOptions {
  readonly arch: SeccompArch
  /** without it a process has threads, and no children */
  readonly subprocess: boolean
  /** stream sockets of AF_UNIX: a filter cannot see to which name they connect */
  readonly unixStreams: boolean
}

interface Instruction {
  readonly code: number
  readonly jt: number
  readonly jf: number
  readonly k: number
}

// linux/bpf_common.h and linux/filter.h
const LOAD = 0x20
const JUMP_EQUAL = 0x15
const JUMP_AT_LEAST = 0x35
const JUMP_ANY_BIT = 0x45
const AND = 0x54
const RETURN = 0x06
// linux/seccomp.h: struct seccomp_data; both architectures are little-endian, so an argument's low half comes first.
const NR = 0
const ARCH = 4
const LOW_OF_ARG = (index: number): number => 16 + 8 * index
const ALLOW = 0x7fff0000
const KILL_PROCESS = 0x80000000
const ERRNO = (errno: number): number => 0x00050000 | errno
const EPERM = 1
const ENOSYS = 38
const EAFNOSUPPORT = 97

const AUDIT_ARCH: Readonly<Record<SeccompArch, number>> = { x86_64: 0xc000003e, aarch64: 0xc00000b7 }
// The x32 calls of an x86_64 kernel have the same AUDIT_ARCH and this bit in their number.
const X32_BIT = 0x40000000
const CLONE_THREAD = 0x00010000
// CLONE_NEWNS NEWCGROUP NEWUTS NEWIPC NEWUSER NEWPID NEWNET; NEWTIME exists only for clone3 and unshare.
const CLONE_NEW_ANY = 0x7e020000
const TIOCSTI = 0x5412
const TIOCLINUX = 0x541c
// AF_INET AF_INET6 AF_NETLINK. Not AF_VSOCK: it ignores network namespaces and reaches the machine's host. Not AF_UNIX:
// its names are those of the host's files and network, and behind them listen what starts programs and holds keys. Who
// has a socket of its own may make streams of that family; what it is shown of the host is made small instead.
const SOCKET_FAMILIES = [2, 10, 16] as const
const AF_UNIX = 1
// linux/net.h: SOCK_TYPE_MASK; above it are flags. SOCK_STREAM SOCK_SEQPACKET: one end of such a pair stays bound to
// the other, while one of datagrams can be sent, or connected, to any name.
const SOCKET_TYPE_MASK = 0xf
const SOCK_STREAM = 1
const PAIR_TYPES = [SOCK_STREAM, 5] as const

const load = (offset: number): Instruction => ({ code: LOAD, jt: 0, jf: 0, k: offset })
const answer = (value: number): Instruction => ({ code: RETURN, jt: 0, jf: 0, k: value })

/** Answers `value` if the loaded number is `k`; else goes on behind. */
const answerIf = (k: number, value: number): Instruction[] => [
  { code: JUMP_EQUAL, jt: 0, jf: 1, k },
  answer(value),
]

/** Runs `body`, which must end in an answer, if the loaded number is `nr`. */
const onCall = (nr: number, body: readonly Instruction[]): Instruction[] => [
  { code: JUMP_EQUAL, jt: 0, jf: body.length, k: nr },
  ...body,
]

/** The filter as the bytes that bubblewrap's --seccomp reads. */
export function seccompProgram(options: SeccompOptions): Uint8Array {
  return assemble([...guardArch(options.arch), ...denials(options), ...inspections(options), answer(ALLOW)])
}

function guardArch(arch: SeccompArch): Instruction[] {
  const guard = [
    load(ARCH),
    { code: JUMP_EQUAL, jt: 1, jf: 0, k: AUDIT_ARCH[arch] },
    answer(KILL_PROCESS),
    load(NR),
  ]
  if (arch === 'aarch64') return guard
  return [...guard, { code: JUMP_AT_LEAST, jt: 0, jf: 1, k: X32_BIT }, answer(KILL_PROCESS)]
}

function denials({ arch, subprocess }: SeccompOptions): Instruction[] {
  const tables = subprocess ? [DENIED] : [DENIED, FORKS]
  return tables
    .flatMap((table) => Object.values(table))
    .map((numbers) => numberOf(numbers, arch))
    .filter((nr) => nr >= 0)
    .flatMap((nr) => answerIf(nr, ERRNO(EPERM)))
}

function inspections({ arch, subprocess, unixStreams }: SeccompOptions): Instruction[] {
  return [
    // Its flags are in memory, where a filter cannot look; with ENOSYS every libc falls back to clone().
    ...answerIf(numberOf(INSPECTED.clone3, arch), ERRNO(ENOSYS)),
    ...onCall(numberOf(INSPECTED.clone, arch), [
      load(LOW_OF_ARG(0)),
      { code: JUMP_ANY_BIT, jt: 0, jf: 1, k: CLONE_NEW_ANY },
      answer(ERRNO(EPERM)),
      ...(subprocess ? [] : [{ code: JUMP_ANY_BIT, jt: 1, jf: 0, k: CLONE_THREAD }, answer(ERRNO(EPERM))]),
      answer(ALLOW),
    ]),
    // The kernel looks at the low 32 bits of the request only, so high bits must not hide it.
    ...onCall(numberOf(INSPECTED.ioctl, arch), [
      load(LOW_OF_ARG(1)),
      ...answerIf(TIOCSTI, ERRNO(EPERM)),
      ...answerIf(TIOCLINUX, ERRNO(EPERM)),
      answer(ALLOW),
    ]),
    ...onCall(numberOf(INSPECTED.socket, arch), [
      load(LOW_OF_ARG(0)),
      ...SOCKET_FAMILIES.flatMap((family) => answerIf(family, ALLOW)),
      ...(unixStreams ? onCall(AF_UNIX, streamAlone()) : []),
      answer(ERRNO(EAFNOSUPPORT)),
    ]),
    ...onCall(numberOf(INSPECTED.socketpair, arch), [
      load(LOW_OF_ARG(1)),
      { code: AND, jt: 0, jf: 0, k: SOCKET_TYPE_MASK },
      ...PAIR_TYPES.flatMap((type) => answerIf(type, ALLOW)),
      answer(ERRNO(EAFNOSUPPORT)),
    ]),
  ]
}

/** Decides over the type of a socket. */
function streamAlone(): Instruction[] {
  return [
    load(LOW_OF_ARG(1)),
    { code: AND, jt: 0, jf: 0, k: SOCKET_TYPE_MASK },
    ...answerIf(SOCK_STREAM, ALLOW),
    answer(ERRNO(EAFNOSUPPORT)),
  ]
}

function assemble(instructions: readonly Instruction[]): Uint8Array {
  const bytes = Buffer.alloc(instructions.length * 8)
  instructions.forEach(({ code, jt, jf, k }, index) => {
    bytes.writeUInt16LE(code, index * 8)
    bytes.writeUInt8(jt, index * 8 + 2)
    bytes.writeUInt8(jf, index * 8 + 3)
    bytes.writeUInt32LE(k, index * 8 + 4)
  })
  return bytes
}
