// ztctl node join-token: the join string is a secret, so it goes to stdout alone, and never into argv or a log.
import { parseNodeName } from '#shared/identity/names.ts'
import { withMesh } from '../client/live-mesh.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'
import { printJson, wantsJson } from '../output/print.ts'
import { remark } from '../output/report-error.ts'
import { rfc3339, shortDuration } from '../output/time.ts'

export async function execute(call: Invocation, io: Io): Promise<number> {
  const node = parseNodeName(call.operands[0])
  const params = {
    node,
    ...(call.flags.has('replace') && { replace: true }),
    ...(call.flags.has('require-tpm') && { require_tpm: true }),
  }
  const { join, expires } = await withMesh({ call, io }, ({ current }) =>
    current.hub('node.join-token', params),
  )
  if (wantsJson(call)) {
    printJson({ kind: 'JoinToken', node, join, expires: rfc3339(expires) }, io)
    return 0
  }
  io.stdout.write(`${join}\n`)
  if (io.stdout.isTTY === true) {
    const left = shortDuration(expires - io.clock.now())
    remark(
      `a secret, good once and for ${left}: give it to the node agent of ${node} in a file or on its stdin`,
      io,
    )
  }
  return 0
}
