// ztctl ladder request: the hub makes keys for the next rungs, and the file that asks the root to sign them.
import { decodeBase64url } from '#shared/encoding/base64url.ts'
import { rungsField } from '#shared/protocol/trust-ops.ts'
import { claimOutput } from '../client/ceremony-files.ts'
import { withMesh } from '../client/live-mesh.ts'
import type { Invocation } from '../grammar/invocation.ts'
import { typedField } from '../grammar/typed.ts'
import type { Io } from '../io.ts'
import { printJson, wantsJson } from '../output/print.ts'

const DEFAULT_RUNGS = 7

export async function execute(call: Invocation, io: Io): Promise<number> {
  const [path = ''] = call.operands
  const rungs = typedField(rungsField, call.flags.integer('rungs') ?? DEFAULT_RUNGS, {
    what: '--rungs',
    hint: 'one a day: for a week, --rungs 7',
  })
  const fresh = call.flags.has('fresh')
  const sha256 = await claimOutput(path).fill(async () => {
    const made = await withMesh({ call, io }, ({ current }) =>
      current.hub('ladder.request', { rungs, fresh }),
    )
    return { bytes: decodeBase64url(made.request, 'request'), said: made.sha256 }
  })
  if (wantsJson(call)) printJson({ kind: 'LadderRequest', file: path, sha256, rungs, fresh }, io)
  else io.stdout.write(`${sha256}  ${path}\n`)
  return 0
}
