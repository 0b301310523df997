// The mesh of the demonstration: two nodes, one with a TPM and one without, one operator, a policy with one prohibition.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Mesh, type MeshOptions } from './mesh.ts'
import type { Narrator } from './narrator.ts'
import { acceptMeasured, makePolicyKey } from './pcr-policy.ts'
import { ROOT } from './programs.ts'
import { trustInAuthority } from './software-tpm.ts'

export const STATE_DIR: string = join(ROOT, '.ztmesh')
export const NODES: readonly string[] = ['mac-mini', 'build-box']
const WITH_TPM: readonly string[] = ['mac-mini']
/** How many steps buildMesh() narrates. */
export const BUILD_STEPS = 4

/** Lays and starts everything, narrating each step. The caller stops it, also when this throws half-way. */
export async function buildMesh(
  narrator: Narrator,
  options: Pick<MeshOptions, 'dir' | 'detached' | 'ztctlEnv'>,
  onLaid: (mesh: Mesh) => void,
): Promise<Mesh> {
  if (existsSync(options.dir)) throw new Error(`${options.dir} exists already`)
  const { dir } = options
  const mesh = await narrator.step('root key in SoftHSM, seven rungs of intermediates signed', async () => {
    const tpm = { ...trustInAuthority(dir), policyKeys: [await makePolicyKey(dir, 'source')] }
    const hub = { policyFile: join(import.meta.dirname, 'policy.cedar'), tpm }
    return Mesh.lay({ ...options, build: 'source', tpms: WITH_TPM, hub })
  })
  onLaid(mesh)
  await narrator.step('nats-server and hub started, operator logged in', () => mesh.startHub())
  for (const name of NODES) {
    if (WITH_TPM.includes(name))
      await narrator.step(
        `${name} joined with its TPM (swtpm) and a token, its PCR values signed`,
        async () => {
          await mesh.joinNode(name)
          // Its agent proves itself anew when it starts, and is judged by the policy then.
          await acceptMeasured(mesh, name)
          await mesh.startNode(name)
        },
      )
    else await narrator.step(`${name} joined with a join token`, () => mesh.addNode(name))
  }
  return mesh
}
