// Finds bubblewrap and what it can do. Looked up at fixed places: nothing in the environment chooses it.
import { spawnSync } from 'node:child_process'
import { statSync } from 'node:fs'
import type { Finding } from './sandbox.ts'
import type { SeccompArch } from './syscalls.ts'

export interface BubblewrapTool {
  readonly file: string
  /** argv[0] can differ from the path of the program: bubblewrap 0.9 and later */
  readonly argv0: boolean
}

const PLACES = ['/usr/bin/bwrap', '/bin/bwrap', '/usr/local/bin/bwrap', '/run/current-system/sw/bin/bwrap']
// --ro-bind-fd is what makes "the inode that was hashed" true; an older bubblewrap is refused, not worked around.
const NEEDED = [
  '--args',
  '--bind-fd',
  '--block-fd',
  '--cap-drop',
  '--clearenv',
  '--die-with-parent',
  '--disable-userns',
  '--json-status-fd',
  '--new-session',
  '--perms',
  '--remount-ro',
  '--ro-bind-fd',
  '--ro-bind-try',
  '--seccomp',
  '--size',
]

/** The tool, or what is missing and the remedy. */
export function findBubblewrap(): BubblewrapTool | Finding {
  const file = PLACES.find((place) => statSync(place, { throwIfNoEntry: false })?.isFile())
  if (file === undefined) {
    return { what: 'bubblewrap is not installed', remedy: 'install the package "bubblewrap"' }
  }
  if ((statSync(file).mode & 0o4000) !== 0) {
    return {
      what: `${file} is setuid root`,
      remedy: `chmod u-s ${file}, and allow unprivileged user namespaces`,
    }
  }
  const help = spawnSync(file, ['--help'], { encoding: 'utf8', env: {}, timeout: 5000 })
  const options = new Set(`${help.stdout}${help.stderr}`.split(/\s+/))
  const missing = NEEDED.filter((option) => !options.has(option))
  if (missing.length > 0) {
    return {
      what: `${file} does not know ${missing.join(', ')}`,
      remedy: 'install bubblewrap 0.10 or later, or 0.8.0-2+deb12u1 of Debian 12',
    }
  }
  return { file, argv0: options.has('--argv0') }
}

/** The architectures for which there is a system-call filter. */
export function seccompArch(): SeccompArch | Finding {
  if (process.arch === 'x64') return 'x86_64'
  if (process.arch === 'arm64') return 'aarch64'
  return {
    what: `there is no system-call filter for ${process.arch}`,
    remedy: 'run the node on x86_64 or aarch64',
  }
}
