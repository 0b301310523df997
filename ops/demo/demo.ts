// `make demo`: builds a mesh of real parts, does the main job on it, breaks a copy of the evidence, and takes it down.
import { spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { buildMesh, BUILD_STEPS, STATE_DIR } from './build-mesh.ts'
import { until, type Mesh } from './mesh.ts'
import { Narrator } from './narrator.ts'
import { run, type Finished } from './programs.ts'
import { copyLog, tamper } from './tamper.ts'

const DIR = join(STATE_DIR, 'demo')
const WORK = 'echo working; setsid sleep 300 & for i in 1 2 3 4 5; do echo "tick $i"; sleep 0.2; done; wait'
const narrator = new Narrator(BUILD_STEPS + 6)

function expectCode(finished: Finished, code: number, what: string): Finished {
  if (finished.code === code) return finished
  throw new Error(
    `${what}: exit code ${finished.code} instead of ${code}\n${finished.stdout}${finished.stderr}`,
  )
}

const both = ({ stdout, stderr }: Finished): string => `${stdout}${stderr}`

async function showLevels(mesh: Mesh): Promise<void> {
  const nodes = expectCode(await mesh.ztctl(['node', 'ls']), 0, 'node ls')
  narrator.typed('ztctl node ls', nodes.stdout)
  const inspected = expectCode(await mesh.ztctl(['node', 'inspect', 'mac-mini']), 0, 'node inspect')
  narrator.typed('ztctl node inspect mac-mini', inspected.stdout)
  if (!/^assurance +TPM$/m.test(inspected.stdout)) throw new Error('mac-mini is not attested by its TPM')
  if (!/^accepted by +set mac-mini-/m.test(inspected.stdout))
    throw new Error('mac-mini is accepted by no set of the PCR policy')
  narrator.say(
    "        (The TPM is a program here, and the demo hub's configuration names the local CA that certified it.\n" +
      "        No such CA is trusted anywhere else: a real hub names the vendors of its machines' TPMs.)",
  )
}

async function spawnAndFollow(mesh: Mesh): Promise<string> {
  const { stdout } = expectCode(
    await mesh.ztctl(['--node', 'mac-mini', 'spawn', '--', 'sh', '-c', WORK]),
    0,
    'spawn',
  )
  const proc = stdout.trim()
  narrator.typed(`ztctl --node mac-mini spawn -- sh -c '${WORK}'`, stdout)
  const followed = await follow(mesh, proc)
  narrator.typed(`ztctl logs -f ${proc}`, `${followed}^C`)
  return proc
}

/** Follows until the fifth tick is there; the process goes on, so following ends as its user would end it: with ^C. */
async function follow(mesh: Mesh, proc: string): Promise<string> {
  const [file = '', ...args] = mesh.ztctlArgv(['logs', '-f', proc])
  const child = spawn(file, args, { env: mesh.ztctlEnv(), stdio: ['ignore', 'pipe', 'inherit'] })
  let seen = ''
  for await (const chunk of child.stdout) {
    seen += String(chunk)
    if (seen.includes('tick 5\n')) child.kill('SIGINT')
  }
  return seen
}

async function killTree(mesh: Mesh, proc: string): Promise<void> {
  const killed = expectCode(await mesh.ztctl(['kill', proc, '--grace', '1s']), 0, 'kill')
  narrator.typed(`ztctl kill ${proc} --grace 1s`, both(killed))
  const left = await run(['pgrep', '-f', '^sleep 300$'])
  const all = expectCode(await mesh.ztctl(['ps', '-a', '-n', 'mac-mini']), 0, 'ps')
  narrator.typed('ztctl ps -a -n mac-mini', all.stdout)
  if (left.code === 0) throw new Error('something of the tree is left')
}

async function showDenial(mesh: Mesh): Promise<void> {
  const denied = expectCode(
    await mesh.ztctl(['run', '-n', 'build-box', '--', 'uname', '-a']),
    125,
    'a denied run',
  )
  narrator.typed('ztctl run -n build-box -- uname -a', both(denied))
  const offline = [
    'run',
    '-n',
    'build-box',
    '--cap',
    'read_anywhere',
    '--cap',
    'subprocess',
    '--cap',
    'workspace_rw',
  ]
  const allowed = expectCode(
    await mesh.ztctl([...offline, '--', 'uname', '-s']),
    0,
    'a run without the network',
  )
  narrator.typed(`ztctl ${offline.join(' ')} -- uname -s`, both(allowed))
}

interface Report {
  readonly items: readonly {
    readonly log: string
    readonly rows: number
    readonly anchored: { readonly size: number } | null
  }[]
}

/** Rows are anchored within five seconds: waits until those of the work above are. */
async function awaitAnchor(mesh: Mesh): Promise<void> {
  const verify = async (): Promise<Report> =>
    JSON.parse((await mesh.ztctl(['audit', 'verify', '-o', 'json'])).stdout) as Report
  const rows = new Map((await verify()).items.map((item) => [item.log, item.rows]))
  await until('the next anchors', async () => {
    const { items } = await verify()
    // The rows of the verification itself come after what it verified.
    const late = items.filter(
      ({ log, anchored }) => anchored !== null && anchored.size < (rows.get(log) ?? 0),
    )
    return late.length === 0 ? undefined : `${late.map(({ log }) => log).join(', ')} not anchored`
  })
}

async function verifyEvidence(mesh: Mesh): Promise<void> {
  await awaitAnchor(mesh)
  const verified = expectCode(
    await mesh.ztctl(['audit', 'verify', '--save', join(DIR, 'evidence')]),
    0,
    'audit verify',
  )
  narrator.typed('ztctl audit verify --save evidence', both(verified))
}

async function tamperWithCopy(mesh: Mesh): Promise<void> {
  const copy = join(DIR, 'copy.db')
  copyLog(join(mesh.nodeDir('mac-mini'), 'state', 'audit.db'), copy)
  const seq = tamper(copy, 'proc.started')
  const hubLog = join(DIR, 'evidence', 'hub.ztlog')
  const found = expectCode(
    await mesh.ztctl(['audit', 'verify', '--file', copy, '--hub-log', hubLog]),
    9,
    'the forged copy',
  )
  narrator.typed('ztctl audit verify --file copy.db --hub-log evidence/hub.ztlog', both(found))
  if (!both(found).includes(String(seq))) throw new Error(`the verifier does not name row ${seq}`)
}

async function tour(mesh: Mesh): Promise<void> {
  await narrator.show('two levels: a machine that proved its TPM, and one that had a token', () =>
    showLevels(mesh),
  )
  const proc = await narrator.show('a process spawned on mac-mini, its output followed', () =>
    spawnAndFollow(mesh),
  )
  await narrator.show('its whole tree killed, the detached child too', () => killTree(mesh, proc))
  await narrator.show('a request that policy denies, and one that it permits', () => showDenial(mesh))
  await narrator.show("both nodes' chains verified, and their anchors in the hub", () => verifyEvidence(mesh))
  await narrator.show('one row changed in a copy of a chain: the verifier names it', () =>
    tamperWithCopy(mesh),
  )
}

rmSync(DIR, { recursive: true, force: true })
let laid: Mesh | undefined
try {
  const mesh = await buildMesh(narrator, { dir: DIR }, (made) => {
    laid = made
  })
  await tour(mesh)
  narrator.say(`
Every part was real. State, logs and evidence are in .ztmesh/demo. Next:

  make up                                    the same mesh, left running
  ./ztctl node ls                            its nodes
  ./ztctl --node mac-mini run -- uname -a    run something
  ./ztctl audit verify                       check what was written about it
  make down                                  end it
`)
} finally {
  await laid?.stop()
}
