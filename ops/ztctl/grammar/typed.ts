// What was typed, held against the field of a message that it becomes, before anything is sent: whoever typed --reason is
// not told about "params.reason".
import type { Parser } from '#shared/encoding/shape.ts'
import { isZtError } from '#shared/errors/error.ts'
import { usageError } from './usage-error.ts'

export interface Typed {
  /** as it stood on the command line: a flag, or what an operand names */
  readonly what: string
  readonly hint: string
}

/** The value as that field. Errors: ZT-400-USAGE, in the words that were typed. */
export function typedField<T>(field: Parser<T>, value: unknown, { what, hint }: Typed): T {
  try {
    return field(value, '')
  } catch (error) {
    if (!isZtError(error, 'ZT-422-SCHEMA')) throw error
    throw usageError(`${what} ${error.message.replace(/^field "" /, '')}`, hint)
  }
}
