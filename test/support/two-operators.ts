// Two operators on one account. An operator is an account of the hub's machine, and tests have only their own: it is one
// operator after the other, by what the hub's configuration says when it starts.
import { copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { userInfo } from 'node:os'
import type { TestMesh } from './mesh.ts'

export type OperatorName = 'alice' | 'bob'

/** The configuration in which this account is `us`; the other one is somebody else's. */
export function operatorsWhere(us: OperatorName): object[] {
  const { uid } = userInfo()
  return ['alice', 'bob'].map((name) => ({ name, uid: name === us ? uid : uid + 1, roles: ['operator'] }))
}

/** Starts the hub again, kill -9 before, with a configuration in which this account is `us`. Waits for nothing. */
export async function becomeOperator(mesh: TestMesh, us: OperatorName): Promise<void> {
  await mesh.programs.kill('hub')
  const file = join(mesh.dir, 'hub.json')
  const config = JSON.parse(readFileSync(file, 'utf8')) as object
  writeFileSync(file, JSON.stringify({ ...config, operators: operatorsWhere(us) }))
  mesh.programs.launchHub()
}

/** Keeps the session of this moment apart: the environment in which ztctl goes on using it. */
export function keepSession(mesh: TestMesh): NodeJS.ProcessEnv {
  const { ZTMESH_CONFIG_DIR: config = '', ZTMESH_RUNTIME_DIR: runtime = '' } = mesh.programs.ztctlEnv()
  const kept = { ZTMESH_CONFIG_DIR: `${config}-kept`, ZTMESH_RUNTIME_DIR: join(runtime, 'kept') }
  cpSync(config, kept.ZTMESH_CONFIG_DIR, { recursive: true })
  mkdirSync(kept.ZTMESH_RUNTIME_DIR, { mode: 0o700 })
  for (const name of readdirSync(runtime).filter((entry) => entry.endsWith('.json')))
    copyFileSync(join(runtime, name), join(kept.ZTMESH_RUNTIME_DIR, name))
  return kept
}
