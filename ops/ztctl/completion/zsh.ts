// Completion for zsh: the bash function under zsh's own adapter, so that the two cannot come to differ.
import { bashScript } from './bash.ts'

/** The script for a folder of `$fpath`, as `_ztctl`. */
export function zshScript(): string {
  return `#compdef ztctl
# zsh completion for ztctl, made by \`ztctl completion zsh\`
autoload -U +X bashcompinit && bashcompinit
${bashScript()}`
}
