// ztctl spawn: starts a program on a node, and prints its id.
import { withMesh } from '../client/live-mesh.ts'
import { runProcess, startProcess } from '../client/run-process.ts'
import { printStarted } from '../client/started.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'
import { remark } from '../output/report-error.ts'
import { conclude } from './run.ts'

export async function execute(call: Invocation, io: Io): Promise<number> {
  return withMesh({ call, io }, async (mesh) => {
    if (!call.flags.has('follow')) {
      printStarted(await startProcess(mesh, call), call, io)
      return 0
    }
    // stdout is the program's now, so its id goes to stderr.
    const attached = await runProcess(mesh, { call, io }, ({ node, receipt }) => {
      if (!call.flags.has('quiet')) remark(`${node}/${receipt.result.proc} runs`, io)
    })
    return conclude(attached, io)
  })
}
