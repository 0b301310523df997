// The sandbox on Linux: bubblewrap (bwrap) with argument arrays, own namespaces and a system-call filter. Trusts the
// kernel and the host's bwrap. What runs is bound by descriptor, so it is the inode that was hashed.
import { closeSync, mkdirSync, statSync } from 'node:fs'
import { geteuid } from 'node:process'
import { ZtError } from '#shared/errors/error.ts'
import { findBubblewrap, seccompArch, type BubblewrapTool } from './bubblewrap-tool.ts'
import { parseCapabilities, type Capability } from './capabilities.ts'
import { hostRoot, hostSystem, masks, resolver } from './host-tree.ts'
import { HostSockets } from './host-sockets.ts'
import { probeSandboxOf } from './probe.ts'
import { renderProfile, WORKLOAD_ENDPOINT, WORKSPACE, type Profile, type Step } from './profile.ts'
import {
  FIRST_PLAN_FD,
  GATE_FD,
  READY_FD,
  STATUS_FD,
  type Finding,
  type RunAs,
  type Sandbox,
  type SandboxPlan,
  type SandboxSpec,
} from './sandbox.ts'
import { seccompProgram } from './seccomp.ts'
import { openAgain, openUnnamed } from './unnamed-file.ts'

/** where the program finds what the plan passes on */
const Fd = {
  options: FIRST_PLAN_FD,
  filter: FIRST_PLAN_FD + 1,
  workspace: FIRST_PLAN_FD + 2,
  exe: FIRST_PLAN_FD + 3,
  interpreter: FIRST_PLAN_FD + 4,
} as const

/** `dir` is a folder that only we may enter: what bwrap reads from descriptors is written there, without a name. */
export function createBubblewrap(dir: string): Sandbox {
  const bubblewrap = new Bubblewrap(dir)
  return {
    name: 'bubblewrap',
    probe: async (runAs) => {
      const missing = missingTools()
      return missing.length > 0 ? missing : probeSandboxOf({ plan: (spec) => bubblewrap.plan(spec), runAs })
    },
    plan: (spec) => bubblewrap.plan(spec),
  }
}

function missingTools(): Finding[] {
  const tool = findBubblewrap()
  const arch = seccompArch()
  return [...('remedy' in tool ? [tool] : []), ...(typeof arch === 'string' ? [] : [arch])]
}

class Bubblewrap {
  readonly #dir: string
  readonly #sockets = new HostSockets()
  #tool: BubblewrapTool | undefined
  /** of each profile that was used: its rendering, and the filter as an open file */
  readonly #ready = new Map<string, { readonly profile: Profile; readonly filterFd: number }>()

  constructor(dir: string) {
    this.#dir = dir
  }

  plan(spec: SandboxSpec): SandboxPlan {
    const { profile, filterFd } = this.#prepare(parseCapabilities(spec.caps))
    if (profile.identity) this.#sockets.requireNone(spec.masks)
    const user = hostUser(spec.runAs)
    this.#tool ??= requireTool()
    const options = nulSeparated([
      ...isolation(profile),
      ...environment(spec, profile),
      ...(this.#tool.argv0 ? ['--argv0', spec.argv[0] ?? spec.exe.path] : []),
      ...profile.steps.flatMap((step) => render(step, spec)),
      ...channels(spec.cwd),
    ])
    const files = spec.interpreter === undefined ? [spec.exe] : [spec.exe, spec.interpreter]
    // Nothing can fail between these two and the plan that closes them.
    const own = [openUnnamed(this.#dir, options), openAgain(filterFd)]
    return {
      file: this.#tool.file,
      argv0: spec.label,
      args: ['--args', `${Fd.options}`, '--', spec.exe.path, ...spec.argv.slice(1)],
      fds: [...own, spec.workspaceFd, ...files.map(({ fd }) => fd), ...workloadFds(spec, profile)],
      user,
      profile,
      release: () => own.forEach((fd) => closeSync(fd)),
    }
  }

  #prepare(caps: ReadonlySet<Capability>): { profile: Profile; filterFd: number } {
    const key = [...caps].toSorted().join(' ')
    const known = this.#ready.get(key)
    if (known !== undefined) return known
    const arch = seccompArch()
    if (typeof arch !== 'string') throw unavailable(arch)
    const profile = renderProfile(caps)
    const { subprocess, identity: unixStreams } = profile
    mkdirSync(this.#dir, { recursive: true, mode: 0o700 })
    const filterFd = openUnnamed(this.#dir, seccompProgram({ arch, subprocess, unixStreams }))
    const ready = { profile, filterFd }
    this.#ready.set(key, ready)
    return ready
  }
}

function requireTool(): BubblewrapTool {
  const found = findBubblewrap()
  if ('remedy' in found) throw unavailable(found)
  return found
}

function unavailable({ what, remedy }: Finding): ZtError {
  return new ZtError('ZT-503-SANDBOX', `${what}: ${remedy}`)
}

/** Who bwrap is started as. Root itself never runs a workload: in its namespaces it would still own root's files. */
function hostUser(runAs: RunAs): RunAs | undefined {
  const own = geteuid?.()
  const allowed = runAs.uid !== 0 && (own === 0 || own === runAs.uid)
  if (!allowed) {
    throw new ZtError('ZT-412-FACT', 'this node cannot run a process as that user', {
      details: { fact: 'runAs' },
    })
  }
  return own === 0 ? runAs : undefined
}

function isolation(profile: Profile): string[] {
  // "try": the cgroup namespace only hides names, and not every kernel has it.
  const unshare = profile.namespaces.map((name) =>
    name === 'cgroup' ? '--unshare-cgroup-try' : `--unshare-${name}`,
  )
  return [...unshare, '--disable-userns', '--die-with-parent', '--new-session', '--cap-drop', 'ALL']
}

function channels(cwd: string): string[] {
  const status = ['--json-status-fd', `${STATUS_FD}`, '--block-fd', `${GATE_FD}`]
  // An empty file that nobody needs: to make it, bwrap reads and closes a descriptor, after all other mounts.
  const ready = ['--perms', '0444', '--file', `${READY_FD}`, '/run/.ready']
  return [...status, '--seccomp', `${Fd.filter}`, '--chdir', cwd, ...ready]
}

/** In the argument file, not in argv or bwrap's own environment: LD_PRELOAD there would load outside the sandbox. */
function environment(spec: SandboxSpec, { identity }: Profile): string[] {
  const values = new Map<string, string>([
    ['HOME', WORKSPACE],
    ['LANG', 'C.UTF-8'],
    ['PATH', spec.searchPath.join(':')],
    ['TMPDIR', '/tmp'],
    ...Object.entries(spec.env),
    // Whatever the command says: there is no other socket.
    ...(identity ? [['SPIFFE_ENDPOINT_SOCKET', WORKLOAD_ENDPOINT] as const] : []),
  ])
  return ['--clearenv', ...[...values].flatMap(([name, value]) => ['--setenv', name, value])]
}

function render(step: Step, spec: SandboxSpec): string[] {
  switch (step.kind) {
    case 'host-root':
      return hostRoot(spec.runAs)
    case 'host-system':
      return hostSystem(spec.runAs)
    case 'proc':
      return ['--proc', '/proc']
    case 'devices':
      return ['--dev', '/dev']
    case 'private':
      return privateFolder(step.path, step.bytes)
    case 'resolver':
      return resolver()
    case 'masks':
      return masks(spec.masks, spec.runAs)
    case 'workspace':
      return [step.writable ? '--bind-fd' : '--ro-bind-fd', `${Fd.workspace}`, step.path]
    case 'workload':
      return ['--ro-bind-fd', `${workloadFdOf(spec)}`, step.path]
    case 'executable':
      return executables(spec)
    case 'hide-init':
      return ['--tmpfs', '/proc/1', '--remount-ro', '/proc/1']
    case 'read-only':
      return ['--remount-ro', step.path]
  }
}

/** The last of the plan's descriptors, behind those of the program. */
function workloadFdOf({ interpreter }: SandboxSpec): number {
  return interpreter === undefined ? Fd.exe + 1 : Fd.interpreter + 1
}

function workloadFds({ workloadFd }: SandboxSpec, { identity }: Profile): number[] {
  if (!identity) return []
  if (workloadFd === undefined)
    throw new ZtError('ZT-500-INTERNAL', 'a process with an identity has no socket')
  return [workloadFd]
}

function privateFolder(path: string, bytes: number): string[] {
  // Below a read-only folder of the host only what exists there can be covered.
  const onHost = path !== '/var/tmp' || statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
  return onHost ? ['--perms', '1777', '--size', `${bytes}`, '--tmpfs', path] : []
}

function executables({ exe, interpreter }: SandboxSpec): string[] {
  const first = ['--ro-bind-fd', `${Fd.exe}`, exe.path]
  return interpreter === undefined ? first : [...first, '--ro-bind-fd', `${Fd.interpreter}`, interpreter.path]
}

function nulSeparated(options: readonly string[]): Uint8Array {
  if (options.some((option) => option.includes('\0'))) {
    throw new ZtError('ZT-412-FACT', 'a nul character cannot be part of an argument', {
      details: { fact: 'nul' },
    })
  }
  return Buffer.from(options.map((option) => `${option}\0`).join(''), 'utf8')
}
