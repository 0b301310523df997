// A SoftHSM token of one test's own: its configuration, its folder, its PIN file.
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Pkcs11Options } from '#pki/keystore/pkcs11.ts'

export const SOFTHSM_MODULE: string | undefined = [
  '/usr/lib/softhsm/libsofthsm2.so',
  '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so',
].find(existsSync)

export const PIN = '8765-4321'

/** Makes a token below `dir`; throws if SoftHSM is not installed. */
export async function makeToken(
  dir: string,
  token: string = 'ztmesh-test',
): Promise<Required<Omit<Pkcs11Options, 'timeoutMs'>>> {
  if (SOFTHSM_MODULE === undefined) throw new Error('needs softhsm2')
  const softhsmConf = join(dir, 'softhsm2.conf')
  await mkdir(join(dir, 'tokens'), { recursive: true, mode: 0o700 })
  await writeFile(
    softhsmConf,
    `directories.tokendir = ${join(dir, 'tokens')}\nobjectstore.backend = file\nlog.level = ERROR\n`,
  )
  const pinFile = join(dir, 'pin')
  await writeFile(pinFile, `${PIN}\n`, { mode: 0o600 })
  addToken(softhsmConf, token)
  return { module: SOFTHSM_MODULE, token, pinFile, softhsmConf }
}

/** One more token under the same configuration. */
export function addToken(softhsmConf: string, token: string): void {
  const args = ['--init-token', '--free', '--label', token, '--so-pin', '1234-5678', '--pin', PIN]
  execFileSync('softhsm2-util', args, { env: { ...process.env, SOFTHSM2_CONF: softhsmConf }, stdio: 'pipe' })
}
