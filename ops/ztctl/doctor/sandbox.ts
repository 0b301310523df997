// Whether a process can be confined here: a real sandbox is made, since the presence of a program proves little.
import { accessSync, constants, readFileSync, statfsSync } from 'node:fs'
import { ok, fail, warn, type Check } from './check.ts'
import { findProgram, runProgram } from './program.ts'

// statfs(2): CGROUP2_SUPER_MAGIC.
const CGROUP2 = 0x63677270
const NAMESPACES = ['--unshare-user', '--unshare-pid', '--unshare-ipc', '--unshare-uts', '--unshare-net']
const ARGUMENTS = [
  ...NAMESPACES,
  '--die-with-parent',
  '--ro-bind',
  '/',
  '/',
  '--proc',
  '/proc',
  '--dev',
  '/dev',
]

/** bubblewrap, and that it can make all the namespaces that a sandbox is made of. */
export const checkSandbox: Check = async ({ env }) => {
  const about = { name: 'sandbox', neededBy: 'node' }
  const path = findProgram('bwrap', env)
  if (path === undefined) return fail(about, 'bwrap is not installed', 'install the package bubblewrap')
  const outcome = await runProgram(path, [...ARGUMENTS, '--', '/bin/sh', '-c', 'exit 42'])
  if (outcome.code === 42) return ok(about, `bubblewrap confines a process (${path})`)
  const said = outcome.text.trim().split('\n')[0] ?? ''
  return fail(about, `bwrap cannot make a sandbox: ${said.slice(0, 160)}`, namespaceRemedy())
}

/** Whether ordinary users may make user namespaces: what bubblewrap needs when the agent is not root. */
export const checkUserNamespaces: Check = async () => {
  const about = { name: 'user namespaces', neededBy: 'node' }
  const most = readNumber('/proc/sys/user/max_user_namespaces')
  if (most === 0) return fail(about, 'user.max_user_namespaces is 0', 'sysctl user.max_user_namespaces=15000')
  if (readNumber('/proc/sys/kernel/unprivileged_userns_clone') === 0) {
    return fail(about, 'only root may make them', 'sysctl kernel.unprivileged_userns_clone=1')
  }
  if (readNumber('/proc/sys/kernel/apparmor_restrict_unprivileged_userns') === 1) {
    return warn(about, 'AppArmor restricts them', 'give bwrap an AppArmor profile with the rule `userns,`')
  }
  if (most === undefined) {
    return fail(about, 'this kernel has none', 'use a Linux kernel with CONFIG_USER_NS')
  }
  return ok(about, `allowed, at most ${most}`)
}

/** Which control groups there are: limits are exact with cgroup v2, and rlimits elsewhere. */
export const checkCgroup: Check = async () => {
  const about = { name: 'cgroup', neededBy: 'node' }
  if (!isCgroup2()) {
    return warn(
      about,
      'no cgroup v2: limits fall back to rlimits',
      'boot with systemd.unified_cgroup_hierarchy=1',
    )
  }
  if (!isWritable('/sys/fs/cgroup')) {
    return warn(
      about,
      'cgroup v2 is read-only here: limits fall back to rlimits',
      'run the node agent as a systemd unit with Delegate=yes',
    )
  }
  return ok(about, 'v2, writable')
}

function namespaceRemedy(): string {
  return readNumber('/proc/sys/kernel/apparmor_restrict_unprivileged_userns') === 1
    ? 'give bwrap an AppArmor profile with the rule `userns,`'
    : 'allow user namespaces, or run outside the container that forbids them; nothing runs without a sandbox'
}

function isCgroup2(): boolean {
  try {
    return statfsSync('/sys/fs/cgroup').type === CGROUP2
  } catch {
    return false
  }
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK)
    return true
  } catch {
    return false
  }
}

function readNumber(path: string): number | undefined {
  try {
    return Number(readFileSync(path, 'utf8').trim())
  } catch {
    return undefined
  }
}
