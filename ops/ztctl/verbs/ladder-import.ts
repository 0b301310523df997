// ztctl ladder import: gives the hub the rungs that the root has signed.
import { deflateLadder, MAX_LADDER_BYTES } from '#shared/protocol/ladder-transfer.ts'
import { readCeremonyFile } from '../client/ceremony-files.ts'
import { withMesh } from '../client/live-mesh.ts'
import { printLadder } from '../client/trust-view.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'

export async function execute(call: Invocation, io: Io): Promise<number> {
  const response = deflateLadder(readCeremonyFile(call.operands[0] ?? '', MAX_LADDER_BYTES))
  const view = await withMesh({ call, io }, ({ current }) => current.hub('ladder.import', { response }))
  printLadder(view, call, io)
  return 0
}
