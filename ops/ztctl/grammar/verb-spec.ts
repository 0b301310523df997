// What a verb of ztctl is: the form of every entry of the table in verbs.ts.
import type { FlagName } from './flags.ts'

export type VerbName =
  | 'allow'
  | 'audit verify'
  | 'bundle import'
  | 'bundle show'
  | 'can-i'
  | 'ceremony anchor'
  | 'completion'
  | 'doctor'
  | 'federation bundle'
  | 'federation ls'
  | 'help'
  | 'kill'
  | 'ladder import'
  | 'ladder request'
  | 'ladder status'
  | 'ladder usage'
  | 'login'
  | 'logout'
  | 'logs'
  | 'node attest'
  | 'node inspect'
  | 'node join-token'
  | 'node ls'
  | 'node revoke'
  | 'pcr-policy apply'
  | 'pcr-policy draft'
  | 'pcr-policy keygen'
  | 'pcr-policy show'
  | 'pcr-policy sign'
  | 'ps'
  | 'revoke'
  | 'run'
  | 'spawn'
  | 'version'
  | 'whoami'

export interface Operand {
  readonly name: string
  readonly required: boolean
  readonly repeat?: true
  readonly choices?: readonly string[]
  readonly complete?: 'node' | 'process' | 'verb' | 'file'
  /** may be the fingerprint of a certificate; such a verb has no flag that one could be taken for */
  readonly fingerprint?: true
}

export interface Example {
  readonly what: string
  readonly line: string
}

export interface VerbSpec {
  readonly name: VerbName
  readonly summary: string
  readonly detail?: string
  readonly examples: readonly Example[]
  readonly operands: readonly Operand[]
  readonly flags: readonly FlagName[]
  /** a command after `--`: never a shell string, always the argument vector itself */
  readonly command: 'none' | 'optional' | 'required'
  /** one node, several (the default is all of them), or none at all */
  readonly nodes: 'none' | 'one' | 'many'
  /** when the exit status is that of a remote process, and failures of our own are therefore 125 */
  readonly remoteExit: 'never' | 'with-follow' | 'always'
}

/** Of a verb that takes nothing and runs nothing: what an entry says otherwise stands after it. */
export const NOTHING: Pick<VerbSpec, 'operands' | 'command' | 'nodes' | 'remoteExit'> = {
  operands: [],
  command: 'none',
  nodes: 'none',
  remoteExit: 'never',
}
