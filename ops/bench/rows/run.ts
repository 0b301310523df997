// What a person waits for: `ztctl run -- true` from nothing, beside ssh from nothing; and from a client that is
// connected already, beside bubblewrap alone (the sandbox that cannot be avoided) and ssh over its open connection.
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Mesh } from '#ops/demo/mesh.ts'
import { ROOT } from '#ops/demo/programs.ts'
import { withMesh, type LiveMesh } from '#ops/ztctl/client/live-mesh.ts'
import { runProcess } from '#ops/ztctl/client/run-process.ts'
import { parseCommandLine } from '#ops/ztctl/grammar/parse.ts'
import type { Io } from '#ops/ztctl/io.ts'
import { systemClock } from '#shared/host/clock.ts'
import { timePair, type BenchRow, type Pair } from '../measure.ts'
import { startSshPeer, type SshPeer } from '../sshd.ts'

const RUNS = 40
const OPTIONS = { runs: RUNS, warmUp: 3 }
const NODE = 'bench-node'
const COMMAND = ['run', '-n', NODE, '--', 'true']
const BARE = [
  '--unshare-all',
  '--share-net',
  '--die-with-parent',
  '--ro-bind',
  '/',
  '/',
  '--proc',
  '/proc',
  '--dev',
  '/dev',
]

const exec = promisify(execFile)
const argvRun = (
  [file = '', ...args]: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<unknown> => exec(file, args, { env })

async function cold(mesh: Mesh, ssh: SshPeer): Promise<BenchRow> {
  // The launcher of `make dist`, as its user has it.
  const argv = [join(ROOT, 'dist', 'ztctl'), ...COMMAND]
  const env = { ...mesh.ztctlEnv(), XDG_CACHE_HOME: join(mesh.dir, 'cache') }
  const pair = await timePair(
    () => argvRun(argv, env),
    () => argvRun(ssh.cold(['true'])),
    OPTIONS,
  )
  const named = { name: 'ztctl run -- true, cold, sandboxed', what: 'ssh host true, cold' }
  return row({ ...named, goal: '<= 0.6 x', met: pair.ratio <= 0.6 }, pair)
}

type Named = Pick<BenchRow, 'name' | 'goal' | 'met'> & { readonly what: string }

function row({ name, what, goal, met }: Named, pair: Pair): BenchRow {
  return { name, unit: 'ms', ours: pair.ours, beside: { ...pair.beside, what }, ratio: pair.ratio, goal, met }
}

const nowhere = { write: (_: unknown, done?: () => void) => (done?.(), true) }

async function runOnce(live: LiveMesh, io: Io): Promise<void> {
  const call = parseCommandLine(COMMAND, io.env)
  const { ending } = await runProcess(live, { call, io }, () => undefined)
  if (ending.kind !== 'exit') throw new Error('the process did not end')
}

async function warm(mesh: Mesh, ssh: SshPeer): Promise<BenchRow[]> {
  const env = mesh.ztctlEnv()
  const io: Io = {
    env,
    clock: systemClock,
    stdout: nowhere,
    stderr: nowhere,
    onSignal: () => () => undefined,
  }
  const call = parseCommandLine(COMMAND, env)
  return withMesh({ call, io }, async (live) => {
    const bare = await timePair(
      () => runOnce(live, io),
      () => argvRun(['bwrap', ...BARE, 'true']),
      OPTIONS,
    )
    const limit = 1.5 * bare.beside.median + 3
    const muxed = await timePair(
      () => runOnce(live, io),
      () => argvRun(ssh.warm(['true'])),
      OPTIONS,
    )
    const name = 'connected client, sandboxed spawn to exit'
    const goal = `<= 1.5 x bubblewrap + 3 ms = ${limit.toFixed(1)} ms`
    return [
      row({ name, what: 'bubblewrap alone', goal, met: bare.ours.median <= limit }, bare),
      row({ name, what: 'ssh with ControlMaster', goal, met: muxed.ours.median <= limit }, muxed),
    ]
  })
}

export async function run(): Promise<BenchRow[]> {
  const dir = mkdtempSync(join(tmpdir(), 'zt-bench-mesh-'))
  const ssh = await startSshPeer()
  let mesh: Mesh | undefined
  try {
    mesh = await Mesh.lay({ dir, build: 'dist' })
    await mesh.startHub()
    await mesh.addNode(NODE)
    return [await cold(mesh, ssh), ...(await warm(mesh, ssh))]
  } finally {
    await mesh?.stop()
    await ssh.close()
    rmSync(dir, { recursive: true, force: true })
  }
}
