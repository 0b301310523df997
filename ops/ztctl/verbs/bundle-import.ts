// ztctl bundle import: puts a bundle from the ceremony in force at once.
import { readCeremonyText } from '../client/ceremony-files.ts'
import { withMesh } from '../client/live-mesh.ts'
import { printBundle } from '../client/trust-view.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'

// What fits into one request, signed and sealed; eight roots and 256 revoked intermediates are far below it.
const MAX_BYTES = 32 * 1024

export async function execute(call: Invocation, io: Io): Promise<number> {
  const bundle = readCeremonyText(call.operands[0] ?? '', MAX_BYTES)
  const view = await withMesh({ call, io }, ({ current }) => current.hub('bundle.import', { bundle }))
  printBundle(view, call, io)
  return 0
}
