// ztctl pcr-policy apply: puts a signed policy in force.
import { noteField } from '#shared/protocol/fields.ts'
import { readCeremonyFile } from '../client/ceremony-files.ts'
import { withMesh } from '../client/live-mesh.ts'
import type { Invocation } from '../grammar/invocation.ts'
import { typedField } from '../grammar/typed.ts'
import { quoted } from '../grammar/usage-error.ts'
import type { Io } from '../io.ts'
import { printJson, wantsJson } from '../output/print.ts'

const MAX_NOTE_BYTES = 16 * 1024

export async function execute(call: Invocation, io: Io): Promise<number> {
  const [path = ''] = call.operands
  const text = Buffer.from(readCeremonyFile(path, MAX_NOTE_BYTES)).toString('utf8')
  const note = typedField(noteField, text, {
    what: quoted(path),
    hint: 'name what `ztctl pcr-policy sign` printed',
  })
  const applied = await withMesh({ call, io }, ({ current }) => current.hub('pcr-policy.apply', { note }))
  if (wantsJson(call)) printJson({ kind: 'PcrPolicy', ...applied }, io)
  else io.stdout.write(`PCR policy ${applied.version} is in force (${applied.digest})\n`)
  return 0
}
