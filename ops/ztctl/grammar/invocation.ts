// What a command line means once it has been parsed: the only form in which a verb sees what was typed.
import { parseDuration } from './duration.ts'
import { flagSpec, type FlagName } from './flags.ts'
import { quoted, usageError } from './usage-error.ts'
import type { VerbSpec } from './verb-spec.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** Values of flags, in the order flag, environment. Reading a flag that the verb does not take is an error of ours. */
export class Flags {
  readonly #given: ReadonlyMap<FlagName, readonly string[]>
  readonly #env: Environment

  constructor(given: ReadonlyMap<FlagName, readonly string[]>, env: Environment) {
    this.#given = given
    this.#env = env
  }

  /** True if a switch was given. */
  has(name: FlagName): boolean {
    return this.#given.has(name)
  }

  /** All values of a repeatable flag. */
  all(name: FlagName): readonly string[] {
    const given = this.#given.get(name)
    if (given !== undefined) return given
    const { env, choices } = flagSpec(name)
    const value = env === undefined ? undefined : this.#env[env]
    if (env === undefined || value === undefined || value === '') return []
    checkChoice(value, choices, env)
    return [value]
  }

  /** The one value of a flag, or undefined. Errors: ZT-400-USAGE when it was given twice. */
  one(name: FlagName): string | undefined {
    const values = this.all(name)
    if (values.length > 1) throw usageError(`--${name} was given twice`, `give --${name} once`)
    return values[0]
  }

  /** Milliseconds, or undefined. Errors: ZT-400-USAGE. */
  durationMs(name: FlagName): number | undefined {
    const text = this.one(name)
    return text === undefined ? undefined : parseDuration(text, `--${name}`)
  }

  /** A whole number of at least 0, or undefined. Errors: ZT-400-USAGE. */
  integer(name: FlagName): number | undefined {
    const text = this.one(name)
    if (text === undefined) return undefined
    if (!/^\d{1,9}$/.test(text)) {
      throw usageError(`--${name} is not a whole number: ${quoted(text)}`, `for example --${name} 20`)
    }
    return Number(text)
  }
}

/** Refuses a value that is not among the choices. `what` names the flag or the variable. */
export function checkChoice(value: string, choices: readonly string[] | undefined, what: string): void {
  if (choices === undefined || choices.includes(value)) return
  throw usageError(
    `${what} is not ${choices.join(' or ')}: ${quoted(value)}`,
    `choices: ${choices.join(', ')}`,
  )
}

export interface Invocation {
  readonly verb: VerbSpec
  readonly flags: Flags
  readonly operands: readonly string[]
  /** what stood after `--`, untouched */
  readonly command: readonly string[] | undefined
}
