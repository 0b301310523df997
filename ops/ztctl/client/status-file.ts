// `--status-file`: how a run ended, for whoever has to tell our exit codes from the program's own.
import { ERROR_TABLE } from '#shared/errors/codes.ts'
import { isZtError, type ZtError } from '#shared/errors/error.ts'
import type { Invocation } from '../grammar/invocation.ts'
import { quoted, usageError } from '../grammar/usage-error.ts'
import { API_VERSION } from '../output/print.ts'
import { writeNew } from './owned-files.ts'
import { exitCodeOfEnding } from './exit-code.ts'
import { quarantinedJson } from './quarantine.ts'
import type { Attached } from './run-process.ts'

/** Runs `work` and writes its end, or its error, to the file that the flag names, if it names one. */
export async function writeStatusFile(call: Invocation, work: () => Promise<Attached>): Promise<Attached> {
  const path = call.flags.one('status-file')
  if (path === undefined) return work()
  try {
    const attached = await work()
    write(path, statusOf(attached))
    return attached
  } catch (error) {
    if (isZtError(error)) write(path, failureOf(error))
    throw error
  }
}

function statusOf({ node, receipt, ending, suspicion }: Attached): Record<string, unknown> {
  const { proc, started } = receipt.result
  const end =
    ending.kind === 'exit'
      ? {
          exit: ending.status,
          exitCode: exitCodeOfEnding(ending),
          ...(ending.missing === undefined ? {} : { missing: ending.missing }),
        }
      : {}
  return {
    state: ending.kind === 'exit' ? 'exited' : 'running',
    node,
    proc,
    started,
    row: receipt.row,
    quarantined: quarantinedJson(suspicion),
    ...end,
  }
}

function failureOf({ code, message, details }: ZtError): Record<string, unknown> {
  const state = ERROR_TABLE[code].exit === 255 ? 'unknown' : 'failed'
  return { state, error: { code, message, details } }
}

function write(path: string, status: Record<string, unknown>): void {
  const text = `${JSON.stringify({ apiVersion: API_VERSION, kind: 'RunStatus', ...status }, undefined, 2)}\n`
  try {
    writeNew(path, text)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw usageError(
      `--status-file ${quoted(path)} cannot be written (${code ?? 'unknown'})`,
      'name a file that does not exist yet',
    )
  }
}
