// A TPM in software, manufactured for one test: swtpm with endorsement certificates of a certificate authority of its own, on
// two loopback ports. Nothing of it is in the machine's own folders.
import { execFile, execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { freePort } from '#ops/demo/free-port.ts'
import { openTpm, type TpmDevice } from '#shared/host/tpm/device.ts'
import { eventually } from './eventually.ts'
import { tempDir } from './temp-dir.ts'

const run = promisify(execFile)

export interface SwtpmOptions {
  /** another TPM's `caDir`: that authority certifies this TPM too */
  readonly caDir?: string
  /** also an endorsement key on P-256 with its certificate, which swtpm_setup does not make */
  readonly eccP256?: boolean
  /** of the RSA endorsement key, 2048 unless given */
  readonly rsaBits?: 2048 | 3072
  /** `none` leaves TPM2_Startup to the first user */
  readonly startup?: 'none'
  /** folder for everything, a temporary one unless given */
  readonly dir?: string
}

export interface Swtpm {
  /** what openTpm() takes */
  readonly device: { readonly host: string; readonly port: number }
  /** what tpm2-tools take as TPM2TOOLS_TCTI */
  readonly tcti: string
  readonly stateDir: string
  /** swtpm-localca-rootca-cert.pem (the root) and issuercert.pem (the intermediate), with their keys */
  readonly caDir: string
  open(): TpmDevice
  /** Switches the TPM off and on. `unclean` leaves the shutdown command out, so that its clock is not safe afterwards. */
  reset(how?: 'unclean'): Promise<void>
  stop(): Promise<void>
  /** Runs one of tpm2-tools on this TPM, in `dir`; resolves to what it prints. */
  readonly tool: (args: readonly [string, ...string[]]) => Promise<string>
  /** where `tool` runs, and the other folders are */
  readonly dir: string
}

interface TestLike {
  after(action: () => Promise<void>): void
}

const TPM2_SHUTDOWN_CLEAR = Buffer.from('80010000000c000001450000', 'hex')

/** Manufactures and starts a TPM, stopped and removed after `test`. Takes about a second. */
export async function startSwtpm(test: TestLike, options: SwtpmOptions = {}): Promise<Swtpm> {
  const dir = options.dir ?? (await tempDir(test))
  const paths = { dir, stateDir: join(dir, 'state'), caDir: options.caDir ?? join(dir, 'ca') }
  await manufacture(paths, options)
  const tpm = await powered({ ...paths, startup: options.startup ?? 'clear' })
  test.after(() => tpm.stop())
  if (options.eccP256 === true) await certifyP256(tpm)
  return tpm
}

interface Paths {
  readonly dir: string
  readonly stateDir: string
  readonly caDir: string
}

interface Power extends Paths {
  readonly startup: 'clear' | 'none'
}

async function manufacture({ dir, stateDir, caDir }: Paths, options: SwtpmOptions): Promise<void> {
  await mkdir(stateDir, { recursive: true, mode: 0o700 })
  await mkdir(caDir, { recursive: true, mode: 0o700 })
  const conf = join(dir, 'setup.conf')
  await writeFile(
    conf,
    `create_certs_tool = /usr/bin/swtpm_localca\ncreate_certs_tool_config = ${join(dir, 'localca.conf')}\n` +
      `create_certs_tool_options = ${join(dir, 'localca.options')}\n`,
  )
  await writeFile(
    join(dir, 'localca.conf'),
    `statedir = ${caDir}\nsigningkey = ${join(caDir, 'signkey.pem')}\n` +
      `issuercert = ${join(caDir, 'issuercert.pem')}\ncertserial = ${join(caDir, 'certserial')}\n`,
  )
  await writeFile(join(dir, 'localca.options'), '')
  const what = ['--tpm2', '--create-ek-cert', '--pcr-banks', 'sha1,sha256,sha384']
  const size = options.rsaBits === undefined ? [] : ['--rsa-keysize', String(options.rsaBits)]
  await run('swtpm_setup', [...what, ...size, '--tpmstate', stateDir, '--config', conf])
}

async function powered(paths: Power): Promise<Swtpm> {
  const port = await freePortPair()
  let child = await powerOn(paths, port)
  const kill = (): boolean => child.kill('SIGKILL')
  process.once('exit', kill)
  const device = { host: '127.0.0.1', port }
  const off = async (how?: 'unclean'): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return
    if (how === undefined) await shutdown(device)
    const exit = once(child, 'exit')
    child.kill(how === undefined ? 'SIGTERM' : 'SIGKILL')
    await exit
  }
  const tcti = `swtpm:host=127.0.0.1,port=${port}`
  return {
    dir: paths.dir,
    stateDir: paths.stateDir,
    caDir: paths.caDir,
    device,
    tcti,
    open: () => openTpm(device),
    async reset(how) {
      await off(how)
      child = await powerOn(paths, port)
    },
    async stop() {
      await off()
      process.removeListener('exit', kill)
    },
    async tool([program, ...args]) {
      const env = { ...process.env, TPM2TOOLS_TCTI: tcti }
      const { stdout } = await run(program, args, { cwd: paths.dir, env })
      return stdout
    },
  }
}

async function powerOn({ dir, stateDir, startup }: Power, port: number): Promise<ChildProcess> {
  const args = [
    'socket',
    '--tpm2',
    '--tpmstate',
    `dir=${stateDir}`,
    '--flags',
    `not-need-init,startup-${startup}`,
  ]
  const ports = ['--server', `type=tcp,port=${port}`, '--ctrl', `type=tcp,port=${port + 1}`]
  const log = ['--log', `file=${join(dir, 'swtpm.log')}`]
  const child = spawn('swtpm', [...args, ...ports, ...log], { stdio: 'ignore' })
  await eventually('swtpm answers', async () => {
    if (child.exitCode !== null) throw new Error(await readFile(join(dir, 'swtpm.log'), 'utf8'))
    return answers(port)
  })
  return child
}

async function answers(port: number): Promise<true | undefined> {
  const device = openTpm({ host: '127.0.0.1', port, timeoutMs: 5000 })
  // TPM2_GetRandom of one byte: harmless, whatever the TPM's state.
  const command = Buffer.from('80010000000c0000017b0001', 'hex')
  return device.send(command).then(
    () => true,
    () => undefined,
  )
}

async function shutdown(device: { host: string; port: number }): Promise<void> {
  const tpm = openTpm({ ...device, timeoutMs: 5000 })
  await tpm.send(TPM2_SHUTDOWN_CLEAR)
  await tpm.close()
}

/** The first of two neighbouring ports that are free: tpm2-tools expect the control channel on the second. */
async function freePortPair(): Promise<number> {
  for (;;) {
    const port = await freePort()
    try {
      await freePort(port + 1)
      return port
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    }
  }
}

/** An endorsement key of template L-2, certified by the TPM's authority as swtpm_setup does it, in its usual place. */
async function certifyP256({ dir, tool }: Swtpm): Promise<void> {
  await tool(['tpm2_createek', '-c', 'ek.ctx', '-G', 'ecc', '-u', 'ek.pub', '-f', 'tss'])
  await tool(['tpm2_flushcontext', '-t'])
  // TPM2B_PUBLIC ends with two TPM2B of 32 bytes.
  const area = await readFile(join(dir, 'ek.pub'))
  const x = area.subarray(-66, -34).toString('hex')
  const y = area.subarray(-32).toString('hex')
  const key = ['--type', 'ek', '--ek', `x=${x},y=${y},id=secp256r1`, '--dir', dir, '--tpm2']
  const spec = ['--tpm-spec-family', '2.0', '--tpm-spec-level', '0', '--tpm-spec-revision', '164']
  const maker = ['--tpm-manufacturer', 'id:00001014', '--tpm-model', 'swtpm', '--tpm-version', 'id:20191023']
  const conf = ['--configfile', join(dir, 'localca.conf'), '--optsfile', join(dir, 'localca.options')]
  execFileSync('swtpm_localca', [...key, ...spec, ...maker, ...conf], { stdio: 'pipe' })
  const certificate = await readFile(join(dir, 'ek.cert'))
  // Longer than the certificate, as the areas of real TPMs are: what follows it must be ignored.
  const size = String(certificate.length + 64)
  const rights = 'ppwrite|ownerread|authread|ppread|no_da|platformcreate'
  await tool(['tpm2_nvdefine', '-C', 'p', '-s', size, '-a', rights, '0x1c0000a'])
  await writeFile(join(dir, 'ek-padded.cert'), Buffer.concat([certificate, Buffer.alloc(64, 0xff)]))
  await tool(['tpm2_nvwrite', '-C', 'p', '-i', 'ek-padded.cert', '0x1c0000a'])
}
