// The offline side of a demonstration mesh: a SoftHSM token, the root ceremony, and ladder ceremonies. Everything runs
// through the ceremony program itself; the PINs are random and live in 0600 files, never in argv.
import { createHash, randomInt } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { mustRun, programArgv, type Build } from './programs.ts'

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

async function hold({ dir, build }: CeremonyDesk, name: string, file: object): Promise<void> {
  const path = join(dir, `${name}.json`)
  writeFileSync(path, JSON.stringify(file, null, 2), { flag: 'wx' })
  await mustRun([...programArgv(build, 'ceremony'), 'run', path, '--local', join(dir, 'local.json')])
}

const head = (desk: CeremonyDesk): object => ({
  v: 1,
  demo: true,
  trustDomain: desk.trustDomain,
  keyLabel: KEY_LABEL,
})

/** Makes the token and the root in it; leaves root.pem, bundle.jws and a transcript in the desk's folder. */
export async function makeRoot(desk: CeremonyDesk): Promise<{ bundleFile: string; fingerprint: string }> {
  mkdirSync(desk.dir, { recursive: true, mode: 0o700 })
  await makeToken(desk)
  const now = Date.now()
  await hold(desk, 'root-ceremony', {
    ...head(desk),
    type: 'root',
    notBefore: instant(now - 3_600_000),
    notAfter: instant(now + 10 * YEAR_MS),
    bundle: { sequence: 1, refreshHint: 300 },
    outputs: { certificate: 'root.pem', bundle: 'bundle.jws', transcript: 'root.transcript' },
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
  await hold(desk, 'ladder-ceremony', {
    ...head(desk),
    type: 'ladder',
    root: { file: 'root.pem', sha256: sha256(join(desk.dir, 'root.pem')) },
    request: { file: request, sha256: sha256(join(desk.dir, request)) },
    previous: null,
    infra: { dns: ['localhost'], ips: ['127.0.0.1'] },
    bundle: null,
    outputs: { response: 'ladder-response.json', transcript: 'ladder.transcript' },
  })
  return join(desk.dir, 'ladder-response.json')
}
