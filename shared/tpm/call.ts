// One command and the reading of its response, as a value: what goes to the TPM is built here and what comes back is taken apart
// here, without any I/O, so that every response can be tried as a hostile one.
import { COMMAND, HANDLE, TAG, type CommandName } from './constants.ts'
import { MAX_DIGEST_BYTES } from './hash.ts'
import { malformedTpm, TpmReader, TpmWriter } from './wire.ts'
import { RC_SUCCESS } from './response-code.ts'

/** TPMS_AUTH_COMMAND. A password crosses the bus as it is. */
export interface TpmAuthorization {
  readonly session: number
  readonly nonce: Uint8Array
  readonly password: Uint8Array
}

export interface TpmCall<T> {
  readonly command: CommandName
  readonly handles: readonly number[]
  /** one for each of the first handles; none for commands that need none */
  readonly auth: readonly TpmAuthorization[]
  readonly parameters: Uint8Array
  /** the response has a handle, which the caller must flush */
  readonly returnsHandle: boolean
  /** Reads all parameters of the response, and nothing after them; throws ZT-422-TPM. */
  readonly parse: (parameters: TpmReader, handle: number) => T
}

/** What a call is made of, where it differs from a command without anything. */
export type TpmCallParts<T> = Pick<TpmCall<T>, 'command' | 'parse'> & Partial<TpmCall<T>>

export type TpmResponse<T> =
  | { readonly kind: 'result'; readonly value: T }
  | { readonly kind: 'refused'; readonly code: number }

const NONE = new Uint8Array()
const CONTINUE_SESSION = 1
const HEADER_BYTES = 10

export function tpmCall<T>(parts: TpmCallParts<T>): TpmCall<T> {
  return { handles: [], auth: [], parameters: NONE, returnsHandle: false, ...parts }
}

/** For a call whose response has no parameters. */
export function nothing(): void {
  // There is nothing to read, and parseResponse() refuses what is there nevertheless.
}

/** Authorisation by the password of an object or hierarchy, which is empty unless an administrator has set one. */
export function byPassword(password: Uint8Array = NONE): TpmAuthorization {
  return { session: HANDLE.password, nonce: NONE, password }
}

/** Authorisation by a policy session that asks for no password. `nonce` is at least 16 random octets. */
export function byPolicy(session: number, nonce: Uint8Array): TpmAuthorization {
  return { session, nonce, password: NONE }
}

/** The command's bytes (Part 1 §18). */
export function encodeCall<T>(call: TpmCall<T>): Uint8Array {
  const body = new TpmWriter()
  for (const handle of call.handles) body.u32(handle)
  if (call.auth.length > 0) {
    const area = new TpmWriter()
    for (const { session, nonce, password } of call.auth)
      area.u32(session).sized(nonce).u8(attributesOf(session)).sized(password)
    const bytes = area.done()
    body.u32(bytes.length).bytes(bytes)
  }
  const rest = body.bytes(call.parameters).done()
  return new TpmWriter()
    .u16(tagOf(call))
    .u32(HEADER_BYTES + rest.length)
    .u32(COMMAND[call.command])
    .bytes(rest)
    .done()
}

/** The whole of `bytes` as the response to `call`: its result, or the code of the TPM's refusal. Throws ZT-422-TPM. */
export function parseResponse<T>(bytes: Uint8Array, call: TpmCall<T>): TpmResponse<T> {
  const field = `tpm response to ${call.command}`
  const reader = new TpmReader(bytes, field)
  const tag = reader.u16()
  if (reader.u32() !== bytes.length) throw malformedTpm(field, 'says another length than it has')
  const code = reader.u32()
  if (code !== RC_SUCCESS) {
    // Part 1 §18.5: an error is a header alone, without sessions.
    if (tag !== TAG.noSessions) throw malformedTpm(field, 'is an error of an unknown form')
    reader.end()
    return { kind: 'refused', code }
  }
  if (tag !== tagOf(call)) throw malformedTpm(field, `has the tag 0x${tag.toString(16)}`)
  const handle = call.returnsHandle ? reader.u32() : 0
  const parameters = new TpmReader(call.auth.length > 0 ? reader.bytes(reader.u32()) : reader.rest(), field)
  readAuthorizations(reader, call.auth.length)
  reader.end()
  const value = call.parse(parameters, handle)
  parameters.end()
  return { kind: 'result', value }
}

/** The handle in a response that says it is a success, even if the rest of it is malformed; undefined if it has none. */
export function handleIn(bytes: Uint8Array, call: TpmCall<unknown>): number | undefined {
  if (!call.returnsHandle || bytes.length < HEADER_BYTES + 4) return undefined
  const reader = new TpmReader(bytes, 'tpm response')
  reader.bytes(HEADER_BYTES - 4)
  return reader.u32() === RC_SUCCESS ? reader.u32() : undefined
}

// With no password to prove, an HMAC over the response would be by an empty key: what it holds is of no use, its form is checked.
function readAuthorizations(reader: TpmReader, count: number): void {
  for (let at = 0; at < count; at += 1) {
    reader.sized(MAX_DIGEST_BYTES)
    reader.u8()
    reader.sized(MAX_DIGEST_BYTES)
  }
}

function tagOf(call: Pick<TpmCall<unknown>, 'auth'>): number {
  return call.auth.length > 0 ? TAG.sessions : TAG.noSessions
}

// A session stays for its owner to flush, in one way on every path; a password is none and has nothing to keep.
function attributesOf(session: number): number {
  return session === HANDLE.password ? 0 : CONTINUE_SESSION
}
