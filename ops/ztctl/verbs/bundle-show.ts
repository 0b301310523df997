// ztctl bundle show: which roots the mesh trusts, and what is revoked.
import { withMesh } from '../client/live-mesh.ts'
import { printBundle } from '../client/trust-view.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'

export async function execute(call: Invocation, io: Io): Promise<number> {
  printBundle(await withMesh({ call, io }, ({ current }) => current.hub('bundle.show', {})), call, io)
  return 0
}
