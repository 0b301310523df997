// The PCR policy of a demonstration, by the tools of its user: a key, a draft of what a node has measured, a signature, and the
// policy in force. In a real mesh somebody reads the draft, and the key is not on the hub's machine.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { TRUST_DOMAIN, type Mesh } from './mesh.ts'
import { mustRun, programArgv, type Build } from './programs.ts'

const keyFile = (dir: string): string => join(dir, 'pcr.key')

/** Makes the key; what the hub's configuration has to name of it. */
export async function makePolicyKey(dir: string, build: Build): Promise<string> {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const keygen = ['pcr-policy', 'keygen', `pcr.${TRUST_DOMAIN}`, keyFile(dir)]
  const { stdout } = await mustRun([...programArgv(build, 'ztctl'), ...keygen])
  return stdout.trim()
}

/** From now on a node with a TPM is admitted with what `name` has measured, and with nothing else. */
export async function acceptMeasured(mesh: Mesh, name: string): Promise<void> {
  const [draft, note] = [join(mesh.dir, 'pcr-policy.json'), join(mesh.dir, 'pcr-policy.note')]
  writeFileSync(draft, (await mesh.must(['pcr-policy', 'draft', name])).stdout)
  writeFileSync(note, (await mesh.must(['pcr-policy', 'sign', draft, '--key', keyFile(mesh.dir)])).stdout)
  await mesh.must(['pcr-policy', 'apply', note])
}
