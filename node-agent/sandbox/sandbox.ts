// The seam to the machine's own confinement. An implementation turns a checked spec into one program to start; it
// enforces every capability that is missing from the spec, or refuses. There is no way to ask it for less.
import type { Profile } from './profile.ts'

/** Who a process runs as on the host. */
export interface RunAs {
  readonly uid: number
  readonly gid: number
}

/** An open file and the path at which the sandbox shows exactly that inode, whatever the host has there by then. */
export interface BoundFile {
  readonly fd: number
  readonly path: string
}

export interface SandboxSpec {
  /** for people who look at the host's process list */
  readonly label: string
  readonly caps: readonly string[]
  readonly runAs: RunAs
  /** argv[0] reaches the program as the caller wrote it if the tool can do that; else it is the program's path */
  readonly argv: readonly string[]
  readonly exe: BoundFile
  /** the program that the first line of a script names */
  readonly interpreter: BoundFile | undefined
  /** an open directory: the one place that a process may write to */
  readonly workspaceFd: number
  /** an open directory with the socket of the process; needed where its capabilities have an identity */
  readonly workloadFd?: number
  /** absolute, inside /workspace */
  readonly cwd: string
  /** the command's own; PATH, HOME, TMPDIR and LANG have values already, which these may replace */
  readonly env: Readonly<Record<string, string>>
  readonly searchPath: readonly string[]
  /** host folders that no process may see, whatever its capabilities */
  readonly masks: readonly string[]
}

/** One program to start. Its descriptors: 3 tells its status, 4 is the gate, 5 is read when it is ready, then `fds`. */
export interface SandboxPlan {
  readonly file: string
  readonly argv0: string
  readonly args: readonly string[]
  readonly fds: readonly number[]
  /** undefined: the one that we run as already */
  readonly user: RunAs | undefined
  readonly profile: Profile
  /** closes what the plan itself opened; call once the program was started, or was not */
  release(): void
}

/** Something that this machine lacks, and what to do about it. */
export interface Finding {
  readonly what: string
  readonly remedy: string
}

export interface Sandbox {
  readonly name: string
  /** Runs a real, trivial sandbox. Empty: everything that is needed is there. */
  probe(runAs: RunAs): Promise<readonly Finding[]>
  /** Errors: ZT-412-FACT for a capability, user or path that it cannot enforce; ZT-503-SANDBOX without its tool. */
  plan(spec: SandboxSpec): SandboxPlan
}

export const STATUS_FD = 3
/** one byte read here, and the program is executed */
export const GATE_FD = 4
/** read to its end, and closed, when the sandbox is complete but for entering it */
export const READY_FD = 5
export const FIRST_PLAN_FD = 6
