// The names that people and machines have. One grammar for all of them, so that a name is safe as a SPIFFE path
// segment, a NATS token, a file name and a command-line word without quoting.
import { ZtError } from '#shared/errors/error.ts'

declare const nodeName: unique symbol
declare const operatorName: unique symbol
declare const trustDomain: unique symbol
declare const procId: unique symbol

export type NodeName = string & { readonly [nodeName]: true }
export type OperatorName = string & { readonly [operatorName]: true }
export type TrustDomain = string & { readonly [trustDomain]: true }
export type ProcId = string & { readonly [procId]: true }

const NAME = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/
// SPIFFE-ID §2.1 allows these characters only; 255 is what go-spiffe accepts.
const TRUST_DOMAIN = /^[a-z0-9._-]{1,255}$/
const PROC_ID = /^p-[a-z2-7]{20}$/

/** True for `[a-z0-9]` with inner hyphens, 1 to 63 characters. */
export function isName(text: unknown): text is string {
  return typeof text === 'string' && NAME.test(text)
}

/** ZT-422-NAME unless the value is a name. */
export function parseNodeName(value: unknown): NodeName {
  if (!isName(value)) throw refuse('node name')
  return value as NodeName
}

/** ZT-422-NAME unless the value is a name. */
export function parseOperatorName(value: unknown): OperatorName {
  if (!isName(value)) throw refuse('operator name')
  return value as OperatorName
}

/** ZT-422-NAME unless the value is a trust domain: lower case, digits, `.`, `_`, `-`. */
export function parseTrustDomain(value: unknown): TrustDomain {
  if (typeof value !== 'string' || !TRUST_DOMAIN.test(value)) throw refuse('trust domain')
  return value as TrustDomain
}

/** ZT-422-NAME unless the value is `p-` and 20 base32 characters: 100 random bits chosen by the caller. */
export function parseProcId(value: unknown): ProcId {
  if (typeof value !== 'string' || !PROC_ID.test(value)) throw refuse('process id')
  return value as ProcId
}

function refuse(what: string): ZtError {
  return new ZtError('ZT-422-NAME', `${what} does not have the accepted form`)
}
