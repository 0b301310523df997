// What a sandbox is, before any machine is looked at: an ordered list of steps. The implementation carries out these
// steps and no others, and the digest over them is what an audit row names, so a row says what was enforced.
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import type { Capability } from './capabilities.ts'
import { seccompProgram } from './seccomp.ts'

export const PROFILE_NAME = 'default@1'
export const WORKSPACE = '/workspace'
export const WORKLOAD = '/run/ztmesh'
/** where a client of the SPIFFE Workload API looks for it (SPIFFE Workload Endpoint §4) */
export const WORKLOAD_ENDPOINT: string = `unix://${WORKLOAD}/workload.sock`

const MiB = 1024 * 1024

export type Step =
  /** every folder of the host's root, read-only, as far as the user may look */
  | { readonly kind: 'host-root' }
  /** only what programs need to start: /usr, /etc and what the root links into them */
  | { readonly kind: 'host-system' }
  | { readonly kind: 'proc' }
  | { readonly kind: 'devices' }
  | { readonly kind: 'private'; readonly path: string; readonly bytes: number }
  /** name resolution of a host that keeps its resolv.conf below /run */
  | { readonly kind: 'resolver' }
  /** the agent's own folders, under every path by which the host shows them */
  | { readonly kind: 'masks' }
  | { readonly kind: 'workspace'; readonly path: string; readonly writable: boolean }
  /** the folder with the one socket that answers this task; nothing runs where a socket of the host would show */
  | { readonly kind: 'workload'; readonly path: string }
  /** the very inodes that were hashed, over their paths */
  | { readonly kind: 'executable' }
  /** /proc/1 is bubblewrap's init, which runs without the filter: its memory must not be reachable */
  | { readonly kind: 'hide-init' }
  | { readonly kind: 'read-only'; readonly path: string }

/** The rendering of one set of capabilities. `sha256` is base64url over its canonical JSON. */
export interface Profile {
  readonly name: string
  readonly sha256: string
  readonly namespaces: readonly string[]
  readonly steps: readonly Step[]
  readonly subprocess: boolean
  /** the process has an identity, and so a socket */
  readonly identity: boolean
}

/** The same capabilities give the same profile on every machine of the same version. */
export function renderProfile(caps: ReadonlySet<Capability>): Profile {
  const subprocess = caps.has('subprocess')
  const identity = caps.has('identity')
  const namespaces = ['cgroup', 'ipc', ...(caps.has('network') ? [] : ['net']), 'pid', 'user', 'uts']
  const steps = stepsOf(caps)
  const canonical = canonicalBytes({
    name: PROFILE_NAME,
    caps: [...caps].toSorted(),
    namespaces,
    steps,
    privileges: ['cap-drop-all', 'no-new-privs', 'no-user-namespaces', 'new-session', 'die-with-keeper'],
    environment: ['HOME', 'LANG', 'PATH', ...(identity ? ['SPIFFE_ENDPOINT_SOCKET'] : []), 'TMPDIR'],
    seccomp: {
      aarch64: sha256Text(seccompProgram({ arch: 'aarch64', subprocess, unixStreams: identity })),
      x86_64: sha256Text(seccompProgram({ arch: 'x86_64', subprocess, unixStreams: identity })),
    },
  })
  return { name: PROFILE_NAME, sha256: sha256Text(canonical), namespaces, steps, subprocess, identity }
}

function stepsOf(caps: ReadonlySet<Capability>): Step[] {
  return [
    { kind: caps.has('read_anywhere') ? 'host-root' : 'host-system' },
    { kind: 'proc' },
    { kind: 'devices' },
    { kind: 'private', path: '/dev/shm', bytes: 512 * MiB },
    { kind: 'private', path: '/run', bytes: 16 * MiB },
    { kind: 'private', path: '/tmp', bytes: 1024 * MiB },
    { kind: 'private', path: '/var/tmp', bytes: 1024 * MiB },
    ...(caps.has('network') ? [{ kind: 'resolver' } as const] : []),
    // After everything of the host, before what is ours: nothing below may show a masked folder again.
    { kind: 'masks' },
    { kind: 'workspace', path: WORKSPACE, writable: caps.has('workspace_rw') },
    ...(caps.has('identity') ? [{ kind: 'workload', path: WORKLOAD } as const] : []),
    { kind: 'executable' },
    { kind: 'hide-init' },
    { kind: 'read-only', path: '/dev' },
    { kind: 'read-only', path: '/' },
  ]
}
