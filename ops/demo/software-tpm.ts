// TPMs in software (swtpm) for machines of a demonstration: each with endorsement keys that one local authority certified.
// Whoever can read the folder has all of their secrets, so a real mesh names no such authority.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { mustRun } from './programs.ts'

const AUTHORITY = 'tpm-authority'

/** Fields of the hub's configuration: that authority, and nobody else. */
export function trustInAuthority(dir: string): { roots: string[]; intermediates: string[] } {
  const caDir = join(dir, AUTHORITY)
  return {
    roots: [join(caDir, 'swtpm-localca-rootca-cert.pem')],
    intermediates: [join(caDir, 'issuercert.pem')],
  }
}

const stateOf = (dir: string, node: string): string => join(dir, 'tpms', node)

/** Makes the TPM of a node, and the authority if this is its first. Takes about a second. */
export async function manufacture(dir: string, node: string): Promise<void> {
  const [state, ca] = [stateOf(dir, node), join(dir, AUTHORITY)]
  for (const folder of [state, ca]) mkdirSync(folder, { recursive: true, mode: 0o700 })
  const files = {
    conf: join(ca, 'setup.conf'),
    ca: join(ca, 'localca.conf'),
    options: join(ca, 'localca.options'),
  }
  writeFileSync(
    files.conf,
    `create_certs_tool = /usr/bin/swtpm_localca\ncreate_certs_tool_config = ${files.ca}\n` +
      `create_certs_tool_options = ${files.options}\n`,
  )
  writeFileSync(
    files.ca,
    `statedir = ${ca}\nsigningkey = ${join(ca, 'signkey.pem')}\n` +
      `issuercert = ${join(ca, 'issuercert.pem')}\ncertserial = ${join(ca, 'certserial')}\n`,
  )
  writeFileSync(files.options, '')
  const setup = ['swtpm_setup', '--tpm2', '--create-ek-cert', '--pcr-banks', 'sha256']
  await mustRun([...setup, '--tpmstate', state, '--config', files.conf])
}

/** The program that is the TPM of a node, on a port of loopback; it stays. */
export function softwareTpmArgv(dir: string, node: string, port: number): string[] {
  const flags = ['--flags', 'not-need-init,startup-clear', '--server', `type=tcp,port=${port}`]
  return ['swtpm', 'socket', '--tpm2', '--tpmstate', `dir=${stateOf(dir, node)}/`, ...flags]
}
