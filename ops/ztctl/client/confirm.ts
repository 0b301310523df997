// Before something is cut off: the name typed again, or --yes. Never a question where nobody can answer.
import type { Invocation } from '../grammar/invocation.ts'
import { quoted, usageError } from '../grammar/usage-error.ts'
import type { Io } from '../io.ts'

/** Returns when the person means it. Errors: ZT-400-USAGE. */
export async function confirm(name: string, call: Invocation, io: Io): Promise<void> {
  if (call.flags.has('yes')) return
  if (io.ask === undefined) {
    throw usageError(
      `${call.verb.name} cuts ${quoted(name)} off, and there is no terminal to ask on`,
      'add --yes',
    )
  }
  const typed = await io.ask(`ztctl: this cuts ${quoted(name)} off at once. Type its name again: `)
  if (typed.trim() !== name)
    throw usageError('the name was not repeated: nothing was done', 'type it, or add --yes')
}
