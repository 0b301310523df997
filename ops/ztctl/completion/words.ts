// What can be completed, read off the grammar: the three shells differ only in how it is said.
import { flagSpec, type FlagName } from '../grammar/flags.ts'
import type { VerbSpec } from '../grammar/verb-spec.ts'
import { GLOBAL_FLAGS, VERBS } from '../grammar/verbs.ts'

export type ValueSource =
  | { readonly kind: 'words'; readonly words: readonly string[] }
  | { readonly kind: 'nodes' | 'processes' | 'files' | 'directories' | 'nothing' }

export interface FlagWords {
  readonly name: FlagName
  /** --long, and -x if there is one */
  readonly spellings: readonly string[]
  readonly summary: string
  /** undefined for a switch */
  readonly value: ValueSource | undefined
}

/** Every flag that any verb takes, with what its value can be. */
export function allFlags(): readonly FlagWords[] {
  const names = new Set([...VERBS.flatMap((verb) => verb.flags), ...GLOBAL_FLAGS])
  return [...names].toSorted().map(flagWords)
}

/** The flags of one verb, those of every verb included. */
export function flagsOf(verb: VerbSpec): readonly FlagWords[] {
  return [...new Set([...verb.flags, ...GLOBAL_FLAGS])].map(flagWords)
}

function flagWords(name: FlagName): FlagWords {
  const { short, summary } = flagSpec(name)
  const spellings = short === undefined ? [`--${name}`] : [`--${name}`, `-${short}`]
  return { name, spellings, summary, value: valueOf(name) }
}

function valueOf(name: FlagName): ValueSource | undefined {
  const { kind, choices, complete } = flagSpec(name)
  if (kind === 'switch') return undefined
  if (choices !== undefined) return { kind: 'words', words: choices }
  if (complete === 'node') return { kind: 'nodes' }
  if (complete === 'directory') return { kind: 'directories' }
  return { kind: complete === 'file' ? 'files' : 'nothing' }
}

/** What the operands of a verb can be. */
export function operandSource(verb: VerbSpec): ValueSource {
  const [operand] = verb.operands
  if (operand?.choices !== undefined) return { kind: 'words', words: operand.choices }
  if (operand?.complete === 'verb') return { kind: 'words', words: firstWords() }
  if (operand?.complete === 'node') return { kind: 'nodes' }
  if (operand?.complete === 'file') return { kind: 'files' }
  return { kind: operand?.complete === 'process' ? 'processes' : 'nothing' }
}

/** Verbs of one word, and first words of the others. */
export function firstWords(): readonly string[] {
  return [...new Set(VERBS.map((verb) => verb.name.split(' ')[0] ?? ''))].toSorted()
}

/** First word to its second words. */
export function secondWords(): ReadonlyMap<string, readonly string[]> {
  const groups = new Map<string, string[]>()
  for (const { name } of VERBS) {
    const [first = '', second] = name.split(' ')
    if (second !== undefined) groups.set(first, [...(groups.get(first) ?? []), second])
  }
  return groups
}
