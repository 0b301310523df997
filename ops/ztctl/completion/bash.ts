// Completion for bash, 3.2 and newer.
import { VERBS } from '../grammar/verbs.ts'
import { allFlags, firstWords, flagsOf, operandSource, secondWords, type ValueSource } from './words.ts'

const CACHE = '${ZTMESH_CONFIG_DIR:-${XDG_CONFIG_HOME:-$HOME/.config}/ztmesh}/cache'

/** The script that `source <(ztctl completion bash)` reads. */
export function bashScript(): string {
  return `# bash completion for ztctl, made by \`ztctl completion bash\`
_ztctl_cached() { cat -- "${CACHE}/$1" 2>/dev/null; }
_ztctl_words() { COMPREPLY=($(compgen -W "$1" -- "$cur")); }

_ztctl_value() {
  case $1 in
${valueCases()}
    *) return 1 ;;
  esac
}

_ztctl() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} verb='' word skip='' i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    if [[ -n $skip ]]; then skip=''; continue; fi
    case $word in
      --) COMPREPLY=($(compgen -f -- "$cur")); return ;;
      ${valueFlags()}) skip=1 ;;
      -*) ;;
      *) verb="\${verb:+$verb }$word" ;;
    esac
  done
  if [[ -n $skip ]] && _ztctl_value "$prev"; then return; fi
  if [[ $cur == -* ]]; then
    case $verb in
${flagCases()}
      *) _ztctl_words ${quote(spellings(allFlags()))} ;;
    esac
    return
  fi
  case $verb in
    '') _ztctl_words ${quote(firstWords().join(' '))} ;;
${groupCases()}
${operandCases()}
  esac
}
complete -F _ztctl ztctl
`
}

function valueFlags(): string {
  return allFlags()
    .filter((flag) => flag.value !== undefined)
    .flatMap((flag) => flag.spellings)
    .join('|')
}

function valueCases(): string {
  return allFlags()
    .flatMap((flag) =>
      flag.value === undefined ? [] : [`    ${flag.spellings.join('|')}) ${offer(flag.value)} ;;`],
    )
    .join('\n')
}

function flagCases(): string {
  return VERBS.map(
    (verb) => `      ${pattern(verb.name)}) _ztctl_words ${quote(spellings(flagsOf(verb)))} ;;`,
  ).join('\n')
}

function groupCases(): string {
  return [...secondWords()]
    .map(([first, words]) => `    ${first}) _ztctl_words ${quote(words.join(' '))} ;;`)
    .join('\n')
}

function operandCases(): string {
  return VERBS.filter((verb) => verb.operands.length > 0)
    .map((verb) => `    ${pattern(verb.name)}) ${offer(operandSource(verb))} ;;`)
    .join('\n')
}

function pattern(verb: string): string {
  return `${quote(verb)}|${quote(`${verb} `)}*`
}

function offer(source: ValueSource): string {
  if (source.kind === 'words') return `_ztctl_words ${quote(source.words.join(' '))}`
  if (source.kind === 'files') return 'COMPREPLY=($(compgen -f -- "$cur"))'
  if (source.kind === 'directories') return 'COMPREPLY=($(compgen -d -- "$cur"))'
  return source.kind === 'nothing' ? ':' : `_ztctl_words "$(_ztctl_cached ${source.kind})"`
}

function spellings(flags: readonly { readonly spellings: readonly string[] }[]): string {
  return flags.flatMap((flag) => flag.spellings).join(' ')
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}
