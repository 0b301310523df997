// Completion for fish.
import { VERBS } from '../grammar/verbs.ts'
import { firstWords, flagsOf, operandSource, secondWords, type FlagWords, type ValueSource } from './words.ts'

/** The script for `~/.config/fish/completions/ztctl.fish`. */
export function fishScript(): string {
  return [
    '# fish completion for ztctl, made by `ztctl completion fish`',
    'function __ztctl_cached',
    '  set -l base $ZTMESH_CONFIG_DIR',
    '  test -n "$base"; or set base (test -n "$XDG_CONFIG_HOME"; and echo $XDG_CONFIG_HOME; or echo $HOME/.config)/ztmesh',
    '  cat $base/cache/$argv[1] 2>/dev/null',
    'end',
    'function __ztctl_verb',
    '  set -l words (commandline -opc | string match -v -- "-*")',
    '  test "$words[2..-1]" = "$argv"; or string match -q -- "$argv *" "$words[2..-1]"',
    'end',
    'complete -c ztctl -f',
    `complete -c ztctl -n __fish_use_subcommand -a ${quote(firstWords().join(' '))}`,
    ...[...secondWords()].map(
      ([first, words]) => `complete -c ztctl -n '__ztctl_verb ${first}' -a ${quote(words.join(' '))}`,
    ),
    ...VERBS.flatMap((verb) => [
      ...flagsOf(verb).map((flag) => flagLine(verb.name, flag)),
      ...(verb.operands.length === 0
        ? []
        : [`complete -c ztctl -n '__ztctl_verb ${verb.name}'${offer(operandSource(verb))}`]),
    ]),
    '',
  ].join('\n')
}

function flagLine(verb: string, flag: FlagWords): string {
  const spellings = flag.spellings.map((text) =>
    text.startsWith('--') ? `-l ${text.slice(2)}` : `-s ${text.slice(1)}`,
  )
  const value = flag.value === undefined ? '' : ` -x${offer(flag.value)}`
  return `complete -c ztctl -n '__ztctl_verb ${verb}' ${spellings.join(' ')}${value} -d ${quote(flag.summary)}`
}

function offer(source: ValueSource): string {
  if (source.kind === 'words') return ` -a ${quote(source.words.join(' '))}`
  if (source.kind === 'files') return ' -F'
  if (source.kind === 'directories') return " -a '(__fish_complete_directories)'"
  return source.kind === 'nothing' ? '' : ` -a '(__ztctl_cached ${source.kind})'`
}

function quote(text: string): string {
  return `'${text.replaceAll(/['\\]/g, (character) => `\\${character}`)}'`
}
