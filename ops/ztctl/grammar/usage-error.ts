// How every refusal of a command line is made: exit code 2, and a hint that says what to type.
import { ZtError } from '#shared/errors/error.ts'

/** A ZT-400-USAGE error; `hint` replaces the general remedy. */
export function usageError(message: string, hint: string): ZtError {
  return new ZtError('ZT-400-USAGE', message, { details: { hint } })
}

/** At most 64 characters of what the user typed, quoted so that control characters cannot reach the terminal. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 63)}…` : text).replaceAll(
    /[\u007f-\u009f]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
