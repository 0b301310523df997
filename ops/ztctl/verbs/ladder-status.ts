// ztctl ladder status: the rungs that are left, and which roots live SVIDs chain to.
import { withMesh } from '../client/live-mesh.ts'
import { printLadder } from '../client/trust-view.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'

export async function execute(call: Invocation, io: Io): Promise<number> {
  const view = await withMesh({ call, io }, ({ current }) => current.hub('ladder.status', {}))
  return printLadder(view, call, io)
}
