// ztctl run: a program on a node as if it were here: its output, its exit code.
import { constants } from 'node:os'
import { exitCodeOfEnding } from '../client/exit-code.ts'
import { withMesh } from '../client/live-mesh.ts'
import { runProcess, startProcess, type Attached } from '../client/run-process.ts'
import { printStarted } from '../client/started.ts'
import { writeStatusFile } from '../client/status-file.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'
import { remark } from '../output/report-error.ts'

export async function execute(call: Invocation, io: Io): Promise<number> {
  return withMesh({ call, io }, async (mesh) => {
    if (call.flags.has('detach')) {
      printStarted(await startProcess(mesh, call), call, io)
      return 0
    }
    const attached = await writeStatusFile(call, () => runProcess(mesh, { call, io }, () => undefined))
    return conclude(attached, io)
  })
}

/** The exit status of a process that was followed to its end, or let go of. */
export function conclude({ node, receipt, ending, signal }: Attached, io: Io): number {
  const name = `${node}/${receipt.result.proc}`
  if (ending.kind === 'exit') {
    const { code, signal: by, limit } = ending.status
    if (code === undefined && by === undefined && limit === undefined)
      remark(`how ${name} ended is not known; what it wrote: ztctl logs ${name}`, io)
    return exitCodeOfEnding(ending)
  }
  const status = 128 + constants.signals[signal ?? 'SIGINT']
  if (signal === 'SIGPIPE') return status
  remark(`let go of ${name}, which goes on; attach again with: ztctl logs -f ${name}`, io)
  return status
}
