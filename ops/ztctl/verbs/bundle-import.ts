// ztctl bundle import: puts a bundle from the ceremony in force at once.
import { statementField } from '#shared/protocol/fields.ts'
import { readCeremonyText } from '../client/ceremony-files.ts'
import { withMesh } from '../client/live-mesh.ts'
import { printBundle } from '../client/trust-view.ts'
import type { Invocation } from '../grammar/invocation.ts'
import { typedField } from '../grammar/typed.ts'
import { quoted } from '../grammar/usage-error.ts'
import type { Io } from '../io.ts'

// What fits into one request, signed and sealed; eight roots and 256 revoked intermediates are far below it.
const MAX_BYTES = 32 * 1024

export async function execute(call: Invocation, io: Io): Promise<number> {
  const [path = ''] = call.operands
  const bundle = typedField(statementField, readCeremonyText(path, MAX_BYTES), {
    what: quoted(path),
    hint: 'name the trust bundle that the ceremony wrote',
  })
  const view = await withMesh({ call, io }, ({ current }) => current.hub('bundle.import', { bundle }))
  printBundle(view, call, io)
  return 0
}
