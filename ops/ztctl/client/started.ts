// What is said of a process that has been started.
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'
import { printJson, wantsJson } from '../output/print.ts'
import type { Started } from './run-process.ts'

/** The id alone, or as JSON also what ran and the audit row that proves it. */
export function printStarted({ node, receipt }: Started, call: Invocation, io: Io): void {
  const { proc, started, exe } = receipt.result
  if (!wantsJson(call)) {
    io.stdout.write(`${proc}\n`)
    return
  }
  const { row, checkpoint } = receipt
  printJson({ kind: 'Process', node, proc, started, exe, row, checkpoint }, io)
}
