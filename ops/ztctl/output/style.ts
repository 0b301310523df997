// Colour, only where a person reads: a terminal that has not said no (no-color.org), or `--color always`.
import type { Environment } from '../grammar/invocation.ts'

export type Paint = (text: string) => string

export interface Style {
  readonly bad: Paint
  readonly good: Paint
  readonly warn: Paint
  readonly faint: Paint
}

interface StyleInput {
  readonly env: Environment
  readonly isTty: boolean
  /** the value of --color, if it was given */
  readonly color: string | undefined
}

const PLAIN: Style = { bad: same, good: same, warn: same, faint: same }
const COLOURED: Style = { bad: sgr(31), good: sgr(32), warn: sgr(33), faint: sgr(2) }

function same(text: string): string {
  return text
}

function sgr(code: number): Paint {
  return (text) => `\u001b[${code}m${text}\u001b[0m`
}

/** The style for one stream: --color, then NO_COLOR, FORCE_COLOR and TERM, then whether it is a terminal. */
export function createStyle({ env, isTty, color }: StyleInput): Style {
  return wantsColour({ env, isTty, color }) ? COLOURED : PLAIN
}

function wantsColour({ env, isTty, color }: StyleInput): boolean {
  if (color === 'always') return true
  if (color === 'never' || isSet(env['NO_COLOR'])) return false
  if (isSet(env['FORCE_COLOR']) && env['FORCE_COLOR'] !== '0') return true
  return isTty && env['TERM'] !== 'dumb'
}

function isSet(value: string | undefined): boolean {
  return value !== undefined && value !== ''
}
