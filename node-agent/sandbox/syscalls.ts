// The system calls that a sandboxed process never makes, with their numbers. A table and nothing else; a test holds
// it against the kernel's own headers.

export type SeccompArch = 'x86_64' | 'aarch64'

/** x86_64, aarch64; -1 where the architecture has no such call */
export type Numbers = readonly [number, number]

/** Refused with EPERM. */
export const DENIED: Readonly<Record<string, Numbers>> = {
  // The file tree is what it was when the process started.
  mount: [165, 40],
  umount2: [166, 39],
  pivot_root: [155, 41],
  chroot: [161, 51],
  open_tree: [428, 428],
  move_mount: [429, 429],
  fsopen: [430, 430],
  fsconfig: [431, 431],
  fsmount: [432, 432],
  fspick: [433, 433],
  mount_setattr: [442, 442],
  open_by_handle_at: [304, 265],
  name_to_handle_at: [303, 264],
  // Namespaces: a new user namespace is how most kernel bugs become reachable.
  unshare: [272, 97],
  setns: [308, 268],
  // Other processes' memory and descriptors; the namespace's own init has no filter.
  ptrace: [101, 117],
  process_vm_readv: [310, 270],
  process_vm_writev: [311, 271],
  process_madvise: [440, 440],
  pidfd_getfd: [438, 438],
  kcmp: [312, 272],
  // Kernel interfaces with a history, and no use here.
  keyctl: [250, 219],
  add_key: [248, 217],
  request_key: [249, 218],
  bpf: [321, 280],
  perf_event_open: [298, 241],
  userfaultfd: [323, 282],
  io_uring_setup: [425, 425],
  io_uring_enter: [426, 426],
  io_uring_register: [427, 427],
  fanotify_init: [300, 262],
  lookup_dcookie: [212, 18],
  nfsservctl: [180, 42],
  syslog: [103, 116],
  // The machine itself.
  kexec_load: [246, 104],
  kexec_file_load: [320, 294],
  init_module: [175, 105],
  finit_module: [313, 273],
  delete_module: [176, 106],
  swapon: [167, 224],
  swapoff: [168, 225],
  reboot: [169, 142],
  sethostname: [170, 161],
  setdomainname: [171, 162],
  settimeofday: [164, 170],
  clock_settime: [227, 112],
  acct: [163, 89],
  quotactl: [179, 60],
  quotactl_fd: [443, 443],
  vhangup: [153, 58],
  iopl: [172, -1],
  ioperm: [173, -1],
}

/** Refused with EPERM when processes may not make processes; clone() is looked at more closely. */
export const FORKS: Readonly<Record<string, Numbers>> = { fork: [57, -1], vfork: [58, -1] }

/** Calls whose arguments decide. */
export const INSPECTED: Readonly<Record<'clone' | 'clone3' | 'ioctl' | 'socket' | 'socketpair', Numbers>> = {
  clone: [56, 220],
  clone3: [435, 435],
  ioctl: [16, 29],
  socket: [41, 198],
  socketpair: [53, 199],
}

export function numberOf(numbers: Numbers, arch: SeccompArch): number {
  return numbers[arch === 'x86_64' ? 0 : 1]
}
