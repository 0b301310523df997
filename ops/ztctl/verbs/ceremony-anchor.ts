// ztctl ceremony anchor: writes the head of a transcript into the hub's log, after which this hub takes no other one that
// goes on from the same ceremony.
import { createHash } from 'node:crypto'
import { summarizeTranscript, verifyTranscript } from '#shared/protocol/ceremony-transcript.ts'
import { readCeremonyFile } from '../client/ceremony-files.ts'
import { withMesh } from '../client/live-mesh.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'
import { printJson, wantsJson } from '../output/print.ts'

const MAX_BYTES = 1024 * 1024

export async function execute(call: Invocation, io: Io): Promise<number> {
  const bytes = readCeremonyFile(call.operands[0] ?? '', MAX_BYTES)
  // Verified here: a transcript that was cut or changed must not get into the log as if it were one.
  const summary = summarizeTranscript(verifyTranscript(Buffer.from(bytes).toString('utf8')))
  const { type, head, ceremony } = summary
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  const previous = summary.previous === '' ? null : summary.previous
  const params = { type, previous, ceremony, head, sha256 }
  const { log, seq, hash, checkpoint } = await withMesh({ call, io }, ({ current }) =>
    current.hub('ceremony.anchor', params),
  )
  if (wantsJson(call)) {
    printJson({ kind: 'CeremonyAnchor', ...params, row: { log, seq, hash }, checkpoint }, io)
    return 0
  }
  io.stdout.write(`${type} ceremony ${head} is row ${log}#${seq} (${hash})\n${checkpoint}`)
  return 0
}
