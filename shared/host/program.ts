// How each of our programs runs and fails: one line that says what and one that says what to do, on standard error, and
// the exit status of the code. What nobody awaited is a state that nobody knows, so it ends the program as well.
import { ERROR_CODES } from '#shared/errors/codes.ts'
import { isZtError, ZtError } from '#shared/errors/error.ts'

export interface Program {
  readonly name: string
  /** gets the words of the command line, and what ends the program when it cannot go on */
  readonly main: (args: readonly string[], fail: (error: unknown) => void) => Promise<void>
  /** told what ended a program that was called rightly, before it ends: for its log */
  readonly onFault?: (error: ZtError) => void
}

const USAGE = 2

/** Runs `main`; whatever fails ends the process. Resolves when `main` has, which for a server is when it serves. */
export async function runProgram({ name, main, onFault }: Program): Promise<void> {
  const fail = (error: unknown): void => {
    const known = isZtError(error)
      ? error
      : new ZtError('ZT-500-INTERNAL', 'internal error', { cause: error })
    const entry = ERROR_CODES.get(known.code)
    if (entry?.exit !== USAGE) onFault?.(known)
    const { hint = entry?.remedy ?? '' } = known.details
    process.stderr.write(`${name}: error: ${known.code} ${known.message}\n${name}: hint: ${String(hint)}\n`)
    process.exit(entry?.exit ?? 1)
  }
  process.on('unhandledRejection', fail)
  process.on('uncaughtException', fail)
  try {
    await main(process.argv.slice(2), fail)
  } catch (error) {
    fail(error)
  }
}
