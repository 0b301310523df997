// Programs that others' libraries make of the SPIFFE Workload API, built without any C so that they run in a sandbox,
// and put where a task finds them: in the workspace of the operator on one node of a mesh.
import { spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { workspaceFolder } from '#ops/demo/outside.ts'
import { mustRun, ROOT } from '#ops/demo/programs.ts'
import type { TestMesh } from './mesh.ts'

export interface GoProgram {
  /** below test/interop */
  readonly module: string
  readonly package: string
}

/** Ours, on go-spiffe. */
export const GO_SPIFFE_CLIENT: GoProgram = { module: 'go-spiffe', package: './cmd/workload' }
/** Not ours at all. */
export const SPIFFE_HELPER: GoProgram = {
  module: 'spiffe-helper',
  package: 'github.com/spiffe/spiffe-helper/cmd/spiffe-helper',
}

/** The reason to skip, or false; CI fails on skipped tests. */
export const needsGo: string | false =
  spawnSync('go', ['version']).status === 0 ? false : 'needs go, to build the clients'

/** Builds the program from what its module pins. */
export async function buildGo({ module, package: name }: GoProgram, file: string): Promise<void> {
  const build = ['go', 'build', '-mod=readonly', '-trimpath', '-buildvcs=false', '-o', file, name]
  await mustRun(['env', 'CGO_ENABLED=0', ...build], { cwd: join(ROOT, 'test', 'interop', module) })
}

/** The operator's folder on that node, as the host has it. */
export function workspaceOf(mesh: TestMesh, node: string): string {
  return join(workspaceFolder(mesh.dir), node, 'operator.alice')
}

/** Makes the workspace, and puts the program there as `name`. */
export async function installProgram(
  mesh: TestMesh,
  node: string,
  { program, name }: { readonly program: GoProgram; readonly name: string },
): Promise<void> {
  const built = join(mesh.dir, name)
  await buildGo(program, built)
  await mesh.out(['run', '-n', node, '--', 'true'])
  const target = join(workspaceOf(mesh, node), name)
  copyFileSync(built, target)
  chmodSync(target, 0o755)
}
