// The offline side of a demonstration mesh: a SoftHSM token, three officers, the root ceremony, and ladder ceremonies. It all
// goes the way that people go, by the ceremony program itself; the PINs are random and live in 0600 files, never in argv.
import { createHash, randomInt } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { mustRun, programArgv, type Build, type Finished } from './programs.ts'

const MODULES = [
  '/usr/lib/softhsm/libsofthsm2.so',
  '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so',
]
const TOKEN = 'ztmesh-demo'
const KEY_LABEL = 'demo-root-1'
const YEAR_MS = 365 * 86_400_000

const sha256 = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex')
const pin = (): string => String(randomInt(10_000_000, 100_000_000))
const instant = (ms: number): string => new Date(ms).toISOString().replace(/\.\d{3}Z$/, 'Z')

function softhsmModule(): string {
  const found = MODULES.find(existsSync)
  if (found === undefined) throw new Error('SoftHSM 2 is not installed: run `make setup`')
  return found
}

export interface CeremonyDesk {
  readonly dir: string
  readonly trustDomain: string
  readonly build: Build
}

/** softhsm2-util asks for its PINs on a terminal only; `script` is one, so that no PIN is an argument. */
async function makeToken({ dir }: CeremonyDesk): Promise<void> {
  mkdirSync(join(dir, 'tokens'), { recursive: true, mode: 0o700 })
  const conf = join(dir, 'softhsm2.conf')
  writeFileSync(
    conf,
    `directories.tokendir = ${join(dir, 'tokens')}\nobjectstore.backend = file\nlog.level = ERROR\n`,
  )
  const userPin = pin()
  writeFileSync(join(dir, 'pin'), `${userPin}\n`, { mode: 0o600, flag: 'wx' })
  const soPin = pin()
  await mustRun(['script', '-qec', `softhsm2-util --init-token --free --label ${TOKEN}`, '/dev/null'], {
    input: [soPin, soPin, userPin, userPin, ''].join('\n'),
    env: { ...process.env, SOFTHSM2_CONF: conf },
  })
  const keystore = {
    type: 'pkcs11',
    module: softhsmModule(),
    token: TOKEN,
    pinFile: 'pin',
    softhsmConf: 'softhsm2.conf',
  }
  writeFileSync(join(dir, 'local.json'), JSON.stringify({ v: 1, keystore }, null, 2))
}

/** Officers of the demonstration; the first two approve. */
const OFFICERS = ['olga', 'omar', 'ona']
const APPROVERS = OFFICERS.slice(0, 2)
const PRESENT = 'rita, olga, omar'

const keyOf = ({ dir }: CeremonyDesk, officer: string): string => join(dir, `${officer}.key`)

/** The program is started a dozen times: Node keeps what it has compiled. A real ceremony runs what was measured. */
const environment = ({ dir }: CeremonyDesk): NodeJS.ProcessEnv => ({
  ...process.env,
  NODE_COMPILE_CACHE: join(dir, 'compiled'),
})

function ceremony(desk: CeremonyDesk, args: readonly string[]): Promise<Finished> {
  return mustRun([...programArgv(desk.build, 'ceremony'), ...args], { env: environment(desk) })
}

/** The ceremony itself runs without a network: in a namespace of its own, where it has nothing but a loopback. */
function offline(desk: CeremonyDesk, args: readonly string[]): Promise<Finished> {
  const isolated = ['bwrap', '--dev-bind', '/', '/', '--unshare-net', '--die-with-parent', '--']
  return mustRun([...isolated, ...programArgv(desk.build, 'ceremony'), ...args], { env: environment(desk) })
}

/** Keys without a passphrase, as nobody is there to type one. Answers the officers' public keys. */
async function makeOfficers(desk: CeremonyDesk): Promise<string[]> {
  const make = async (officer: string): Promise<string> => {
    const flags = ['--name', officer, '--plain']
    return (await ceremony(desk, ['key', keyOf(desk, officer), ...flags])).stdout.trim()
  }
  const [first = '', ...others] = OFFICERS
  // The first start compiles for all that come after it.
  const key = await make(first)
  return [key, ...(await Promise.all(others.map(make)))]
}

function answersFile(
  desk: CeremonyDesk,
  name: string,
  answers: readonly (readonly [string, string])[],
): string {
  const file = join(desk.dir, `${name}.answers.json`)
  const content = { v: 1, answers: answers.map(([ask, answer]) => ({ ask, answer })) }
  writeFileSync(file, JSON.stringify(content, null, 2), { flag: 'wx' })
  return file
}

/** A ceremony as people hold it: two officers approve the file, it runs offline, they sign the transcript. */
async function hold(desk: CeremonyDesk, name: string, { file, steps, transcript }: Held): Promise<void> {
  const path = join(desk.dir, `${name}.json`)
  writeFileSync(path, JSON.stringify(file, null, 2), { flag: 'wx' })
  const yes = answersFile(desk, `${name}-approve`, [['approve', 'approve']])
  const approvalOf = (officer: string): string => join(desk.dir, `${name}.${officer}.approval`)
  const approved = await Promise.all(
    APPROVERS.map((officer) => {
      const flags = ['--key', keyOf(desk, officer), '--out', approvalOf(officer), '--answers', yes]
      return ceremony(desk, ['approve', path, ...flags])
    }),
  )
  const words =
    /^words (.*)$/m
      .exec(approved[0]?.stdout ?? '')?.[1]
      ?.split(' ')
      .slice(0, 4)
      .join(' ') ?? ''
  const answers = answersFile(desk, name, [['words', words], ['present', PRESENT], ...steps])
  const approvals = APPROVERS.flatMap((officer) => ['--approval', approvalOf(officer)])
  const local = ['--local', join(desk.dir, 'local.json')]
  await offline(desk, ['run', path, ...local, ...approvals, '--answers', answers])
  const signing = answersFile(desk, `${name}-sign`, [['sign', 'sign']])
  for (const officer of APPROVERS) {
    const flags = ['--key', keyOf(desk, officer), '--answers', signing]
    await ceremony(desk, ['sign-transcript', join(desk.dir, transcript), ...flags])
  }
}

interface Held {
  readonly file: object
  /** what the ceremony asks besides the words and who is present */
  readonly steps: readonly (readonly [string, string])[]
  readonly transcript: string
}

const head = (desk: CeremonyDesk): object => ({
  v: 1,
  demo: true,
  trustDomain: desk.trustDomain,
  requester: 'rita',
  tool: null,
  window: { from: instant(Date.now() - 3_600_000), until: instant(Date.now() + 86_400_000) },
  keyLabel: KEY_LABEL,
})

const input = ({ dir }: CeremonyDesk, file: string): object => ({ file, sha256: sha256(join(dir, file)) })

/** Makes the token and the root in it; leaves root.pem, bundle.jws and a transcript in the desk's folder. */
export async function makeRoot(desk: CeremonyDesk): Promise<{ bundleFile: string; fingerprint: string }> {
  mkdirSync(desk.dir, { recursive: true, mode: 0o700 })
  const [officers] = await Promise.all([makeOfficers(desk), makeToken(desk)])
  const now = Date.now()
  await hold(desk, 'root-ceremony', {
    file: {
      ...head(desk),
      type: 'root',
      quorum: { threshold: 2, emergency: 3, officers },
      notBefore: instant(now - 3_600_000),
      notAfter: instant(now + 10 * YEAR_MS),
      bundle: { sequence: 1, refreshHint: 300 },
      outputs: {
        certificate: 'root.pem',
        bundle: 'bundle.jws',
        officers: 'officers.json',
        transcript: 'root.transcript',
      },
    },
    steps: [
      ['make-key', KEY_LABEL],
      ['sign', 'sign 2'],
    ],
    transcript: 'root.transcript',
  })
  const pem = readFileSync(join(desk.dir, 'root.pem'), 'utf8')
  const der = Buffer.from(pem.replaceAll(/-----[A-Z ]+-----|\s/g, ''), 'base64')
  return {
    bundleFile: join(desk.dir, 'bundle.jws'),
    fingerprint: createHash('sha256').update(der).digest('hex'),
  }
}

/** Signs a hub's ladder request that lies in the desk's folder; answers the response's file. */
export async function signLadder(desk: CeremonyDesk, request: string): Promise<string> {
  const { rungs } = JSON.parse(readFileSync(join(desk.dir, request), 'utf8')) as { rungs: unknown[] }
  await hold(desk, 'ladder-ceremony', {
    file: {
      ...head(desk),
      type: 'ladder',
      root: input(desk, 'root.pem'),
      officers: input(desk, 'officers.json'),
      after: input(desk, 'root.transcript'),
      request: input(desk, request),
      held: input(desk, 'bundle.jws'),
      previous: null,
      infra: { dns: ['localhost'], ips: ['127.0.0.1'] },
      outputs: { response: 'ladder-response.json', transcript: 'ladder.transcript' },
    },
    steps: [['sign', `sign ${2 * rungs.length}`]],
    transcript: 'ladder.transcript',
  })
  return join(desk.dir, 'ladder-response.json')
}
