// What the verbs that cut off and let in again have in common.
import { parseSpiffeId, principalOf, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'
import { printJson, wantsJson } from '../output/print.ts'
import type { Context } from './contexts.ts'

/** A SPIFFE ID, in full or as `operator/alice` below the mesh's own trust domain. Errors: ZT-422-SPIFFE-ID. */
export function identityOperand(text: string, { td }: Context): SpiffeId {
  const id = parseSpiffeId(text.startsWith('spiffe://') ? text : `spiffe://${td}/${text}`)
  principalOf(id)
  return id
}

export interface RevocationOutcome {
  readonly kind: 'Revocation' | 'Allowance'
  readonly id: string
  /** version of the deny list that says so */
  readonly ver: number
  readonly text: string
}

/** Prints what was done. */
export function reportRevocation({ kind, id, ver, text }: RevocationOutcome, call: Invocation, io: Io): void {
  if (wantsJson(call)) printJson({ kind, id, denyListVersion: ver }, io)
  else io.stdout.write(`${text} (deny list ${ver})\n`)
}
