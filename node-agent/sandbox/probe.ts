// Answers "would a process start here?" by starting one: the default profile around the machine's own `true`.
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  realpathSync,
  rmSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { geteuid } from 'node:process'
import { isZtError } from '#shared/errors/error.ts'
import { ENFORCED_CAPABILITIES } from './capabilities.ts'
import { launchPlan } from './launch.ts'
import { WORKSPACE } from './profile.ts'
import type { Finding, RunAs, SandboxPlan, SandboxSpec } from './sandbox.ts'

export interface ProbeSubject {
  readonly plan: (spec: SandboxSpec) => SandboxPlan
  readonly runAs: RunAs
}

// Switches by which distributions forbid what bubblewrap needs, with the value that forbids it.
const SWITCHES = [
  ['/proc/sys/kernel/unprivileged_userns_clone', '0', 'sysctl kernel.unprivileged_userns_clone=1'],
  ['/proc/sys/user/max_user_namespaces', '0', 'sysctl user.max_user_namespaces=16384'],
  [
    '/proc/sys/kernel/apparmor_restrict_unprivileged_userns',
    '1',
    'give /usr/bin/bwrap an AppArmor profile with "userns," (Ubuntu: package apparmor-profiles, bwrap-userns-restrict)',
  ],
] as const

/** Everything that stands in the way; empty if a process would start. Leaves nothing behind. */
export async function probeSandboxOf(subject: ProbeSubject): Promise<readonly Finding[]> {
  const dir = mkdtempSync(join(tmpdir(), 'ztmesh-probe-'))
  chmodSync(dir, 0o711)
  try {
    return await runTrivial(subject, dir)
  } catch (error) {
    if (!isZtError(error)) throw error
    return [{ what: error.message, remedy: 'correct this, then run `ztctl doctor` again' }]
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

async function runTrivial({ plan, runAs }: ProbeSubject, dir: string): Promise<readonly Finding[]> {
  const program = ['/usr/bin/true', '/bin/true'].find((path) => existsSync(path))
  if (program === undefined) return [{ what: 'there is no program "true"', remedy: 'install coreutils' }]
  const workspace = join(dir, 'workspace')
  mkdirSync(workspace, { mode: 0o700 })
  if (geteuid?.() === 0) chownSync(workspace, runAs.uid, runAs.gid)
  const path = realpathSync(program)
  const workspaceFd = openSync(workspace, 'r')
  const exeFd = openSync(path, 'r')
  const errors = openSync(join(dir, 'stderr'), 'w')
  const gate = openSync('/dev/zero', 'r')
  try {
    const { child, status } = launchPlan(
      plan({
        label: 'ztmesh:probe',
        caps: ENFORCED_CAPABILITIES,
        runAs,
        argv: ['true'],
        exe: { fd: exeFd, path },
        interpreter: undefined,
        workspaceFd,
        cwd: WORKSPACE,
        env: {},
        searchPath: ['/usr/bin', '/bin'],
        masks: [],
      }),
      { stdout: 'ignore', stderr: errors, gate },
    )
    status.resume()
    const [code] = (await once(child, 'exit')) as [number | null]
    return code === 0 ? [] : explain(readFileSync(join(dir, 'stderr'), 'utf8'))
  } finally {
    for (const fd of [workspaceFd, exeFd, errors, gate]) closeSync(fd)
  }
}

function explain(stderr: string): Finding[] {
  const what = `bubblewrap cannot make a sandbox: ${stderr.trim().slice(0, 200)}`
  const forbidden = SWITCHES.filter(
    ([file, value]) => existsSync(file) && readFileSync(file, 'utf8').trim() === value,
  )
  return forbidden.length === 0
    ? [
        {
          what,
          remedy: 'allow unprivileged user namespaces for bwrap (containers: also seccomp and masked /proc)',
        },
      ]
    : forbidden.map(([file, value, remedy]) => ({ what: `${what} (${file} is ${value})`, remedy }))
}
