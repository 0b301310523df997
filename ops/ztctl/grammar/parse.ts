// argv to Invocation. One pass, no guessing: a flag may stand before or after the verb, everything after `--` is the
// remote argument vector and is never looked at (or operands, of a verb that runs nothing), and whatever is not in the
// tables is refused with a suggestion.
import { isFingerprint } from './fingerprint.ts'
import { findLong, findShort, flagSpec, type FlagName } from './flags.ts'
import { checkChoice, Flags, type Environment, type Invocation } from './invocation.ts'
import { suggest } from './suggest.ts'
import { quoted, usageError } from './usage-error.ts'
import type { VerbSpec } from './verb-spec.ts'
import { findVerb, GLOBAL_FLAGS, GROUPS, VERBS } from './verbs.ts'

interface Scanned {
  readonly words: string[]
  readonly flags: Map<FlagName, string[]>
  command: readonly string[] | undefined
}

/** Reads a command line. Errors: ZT-400-USAGE, with details.hint. */
export function parseCommandLine(argv: readonly string[], env: Environment): Invocation {
  const scanned = scan(argv)
  const { verb, operands, command } = withPlainWords(resolveVerb(scanned), scanned)
  const help = scanned.flags.has('help')
  checkFlags(verb, scanned.flags)
  const invocation = { verb, flags: new Flags(scanned.flags, env), operands, command }
  if (help || verb.name === 'help') return helpFor(invocation, help)
  checkOperands(verb, operands)
  checkCommand(verb, command)
  return invocation
}

interface Resolved {
  readonly verb: VerbSpec
  readonly operands: readonly string[]
}

// POSIX XBD 12.2, guideline 10: after `--` there are no flags any more. Where no program is named, operands are left.
function withPlainWords(
  { verb, operands }: Resolved,
  { command }: Scanned,
): Resolved & Pick<Invocation, 'command'> {
  if (verb.command !== 'none') return { verb, operands, command }
  return { verb, operands: [...operands, ...(command ?? [])], command: undefined }
}

function helpFor(invocation: Invocation, asked: boolean): Invocation {
  const verb = findVerb('help')
  if (!asked || verb === undefined || invocation.verb === verb) return invocation
  return { ...invocation, verb, operands: invocation.verb.name.split(' ') }
}

function scan(argv: readonly string[]): Scanned {
  const scanned: Scanned = { words: [], flags: new Map(), command: undefined }
  const rest = [...argv]
  for (let token = rest.shift(); token !== undefined; token = rest.shift()) {
    if (token === '--') {
      scanned.command = rest.splice(0)
    } else if (isFingerprint(token) && takesFingerprint(scanned)) {
      scanned.words.push(token)
    } else if (token.startsWith('--')) {
      scanLong(token, rest, scanned)
    } else if (token.startsWith('-') && token !== '-') {
      scanShort(token, rest, scanned)
    } else {
      scanned.words.push(token)
    }
  }
  return scanned
}

function takesFingerprint({ words: [verb = ''] }: Scanned): boolean {
  return findVerb(verb)?.operands.some(({ fingerprint }) => fingerprint === true) ?? false
}

function scanLong(token: string, rest: string[], scanned: Scanned): void {
  const equals = token.indexOf('=')
  const text = equals === -1 ? token.slice(2) : token.slice(2, equals)
  if (token === '--version' && scanned.words.length === 0) {
    scanned.words.push('version')
    return
  }
  const name = findLong(text)
  if (name === undefined) throw unknownFlag(`--${text}`, text)
  if (equals !== -1) addInline(name, token.slice(equals + 1), scanned)
  else if (flagSpec(name).kind === 'switch') scanned.flags.set(name, [])
  else addValue(name, rest.shift(), scanned)
}

function scanShort(token: string, rest: string[], scanned: Scanned): void {
  for (let index = 1; index < token.length; index += 1) {
    const letter = token.charAt(index)
    const name = findShort(letter)
    if (name === undefined) throw unknownFlag(`-${letter}`, letter)
    if (flagSpec(name).kind === 'switch') {
      scanned.flags.set(name, [])
      continue
    }
    // `-nmac-mini` and `-n mac-mini` mean the same, as in POSIX (XBD 12.2, guideline 6).
    const attached = token.slice(index + 1)
    addValue(name, attached === '' ? rest.shift() : attached, scanned)
    return
  }
}

function addInline(name: FlagName, value: string, scanned: Scanned): void {
  if (flagSpec(name).kind === 'switch') throw usageError(`--${name} takes no value`, `write just --${name}`)
  addValue(name, value, scanned)
}

function addValue(name: FlagName, value: string | undefined, scanned: Scanned): void {
  const { placeholder = 'VALUE', choices } = flagSpec(name)
  if (value === undefined || value === '--') {
    throw usageError(`--${name} needs a value`, `write --${name} ${placeholder}`)
  }
  checkChoice(value, choices, `--${name}`)
  scanned.flags.set(name, [...(scanned.flags.get(name) ?? []), value])
}

function unknownFlag(shown: string, text: string): Error {
  const names = [...new Set(VERBS.flatMap((verb) => verb.flags).concat(GLOBAL_FLAGS))]
  const near = text.length > 1 ? suggest(text, names) : undefined
  const hint = near === undefined ? '`ztctl help VERB` lists the flags of a verb' : `did you mean --${near}?`
  return usageError(`unknown flag ${quoted(shown)}`, hint)
}

function resolveVerb(scanned: Scanned): Resolved {
  const [first, second, ...others] = scanned.words
  if (first === undefined) return noVerb(scanned)
  const single = findVerb(first)
  if (single !== undefined) return { verb: single, operands: scanned.words.slice(1) }
  if (GROUPS.has(first)) return groupVerb({ group: first, second, others, help: scanned.flags.has('help') })
  const near = suggest(first, [...VERBS.map((verb) => verb.name), ...GROUPS])
  const hint = near === undefined ? '`ztctl help` lists the verbs' : `did you mean \`ztctl ${near}\`?`
  throw usageError(`unknown verb ${quoted(first)}`, hint)
}

function noVerb(scanned: Scanned): Resolved {
  const verb = findVerb('help')
  if (verb !== undefined && (scanned.flags.has('help') || isBare(scanned))) return { verb, operands: [] }
  throw usageError('no verb was given', '`ztctl help` lists the verbs')
}

function isBare(scanned: Scanned): boolean {
  return scanned.flags.size === 0 && scanned.command === undefined
}

interface GroupWords {
  readonly group: string
  readonly second: string | undefined
  readonly others: readonly string[]
  readonly help: boolean
}

function groupVerb(words: GroupWords): Resolved {
  const { group, second, others, help } = words
  const members = VERBS.filter((verb) => verb.name.startsWith(`${group} `))
  const helpVerb = findVerb('help')
  if (second === undefined && help && helpVerb !== undefined) return { verb: helpVerb, operands: [group] }
  const verb = second === undefined ? undefined : findVerb(`${group} ${second}`)
  if (verb !== undefined) return { verb, operands: others }
  const names = members.map((member) => member.name)
  const near = second === undefined ? undefined : suggest(`${group} ${second}`, names)
  const hint = near === undefined ? `choices: ${names.join(', ')}` : `did you mean \`ztctl ${near}\`?`
  if (second === undefined) throw usageError(`${group} needs a second word`, hint)
  throw usageError(`unknown verb ${quoted(`${group} ${second}`)}`, hint)
}

function checkFlags(verb: VerbSpec, flags: ReadonlyMap<FlagName, readonly string[]>): void {
  for (const name of flags.keys()) {
    if (verb.flags.includes(name) || GLOBAL_FLAGS.includes(name)) continue
    throw usageError(`${verb.name} takes no --${name}`, `\`ztctl help ${verb.name}\` lists its flags`)
  }
}

function checkOperands(verb: VerbSpec, operands: readonly string[]): void {
  const usage = `usage: ${usageLine(verb)}`
  const [first] = operands
  if (verb.operands.length === 0 && first !== undefined) {
    const hint = verb.command === 'none' ? usage : 'the command stands after `--`: ' + usageLine(verb)
    throw usageError(`${verb.name}: unexpected word ${quoted(first)}`, hint)
  }
  const extra = operands[verb.operands.length]
  if (extra !== undefined && verb.operands.at(-1)?.repeat !== true) {
    throw usageError(`${verb.name}: unexpected word ${quoted(extra)}`, usage)
  }
  for (const [index, operand] of verb.operands.entries()) {
    const value = operands[index]
    if (value === undefined && operand.required) throw usageError(`${verb.name} needs ${operand.name}`, usage)
    if (value !== undefined) checkChoice(value, operand.choices, operand.name)
  }
}

function checkCommand(verb: VerbSpec, command: readonly string[] | undefined): void {
  const usage = `usage: ${usageLine(verb)}`
  if (verb.command === 'required' && (command?.[0] ?? '') === '') {
    throw usageError(`${verb.name} needs a command after --`, usage)
  }
}

/** The one-line usage of a verb, as help and refusals print it. */
export function usageLine(verb: VerbSpec): string {
  const operands = verb.operands.map((operand) => {
    const name = operand.repeat === true ? `${operand.name}…` : operand.name
    return operand.required ? name : `[${name}]`
  })
  const node = verb.nodes === 'one' && verb.command !== 'none' ? ['-n NODE'] : []
  const command = { none: [], optional: ['[-- CMD [ARG…]]'], required: ['-- CMD [ARG…]'] }[verb.command]
  return ['ztctl', verb.name, ...node, '[flags]', ...operands, ...command].join(' ')
}
