// The field parsers that several messages share. Text stays text where it is signed or hashed again.
import { base64urlText, integer, parsed, string, type Parser } from '#shared/encoding/shape.ts'
import { parseNodeName, parseProcId, type NodeName, type ProcId } from '#shared/identity/names.ts'
import { parseSpiffeId, type SpiffeId } from '#shared/identity/spiffe-id.ts'

export const spiffeIdField: Parser<SpiffeId> = parsed(parseSpiffeId)
export const nodeNameField: Parser<NodeName> = parsed(parseNodeName)
export const procIdField: Parser<ProcId> = parsed(parseProcId)

/** RFC 9562 version 4, lower case. */
export const uuidField: Parser<string> = string({
  max: 36,
  pattern: /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
})

/** Seconds since 1970, as JOSE counts. */
export const secondsField: Parser<number> = integer({ min: 0, max: 99_999_999_999 })

/** Milliseconds since 1970. */
export const millisField: Parser<number> = integer({ min: 0 })

/** base64url of a SHA-256 digest or another 32 bytes. */
export const bytes32Field: Parser<string> = base64urlText({ min: 32, max: 32 })

/** `sha-256:` and the base64url digest. */
export const digestField: Parser<string> = string({ max: 51, pattern: /^sha-256:[A-Za-z0-9_-]{43}$/ })

/** A compact JWS or JWE: shape only; who reads it verifies it. */
export const compactField: Parser<string> = string({ min: 5, max: 48 * 1024, pattern: /^[A-Za-z0-9_.-]+$/ })

/** A NATS subject without wildcards. */
export const subjectField: Parser<string> = string({
  max: 256,
  pattern: /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/,
})

/** What a kernel calls this start of the machine. */
export const bootField: Parser<string> = string({ max: 64, pattern: /^[A-Za-z0-9-]+$/ })

/** One printable line for people; never parsed again. */
export const lineField: Parser<string> = string({ max: 512, pattern: /^[^\p{Cc}\p{Cs}]*$/u })

/** The text of a signed note (C2SP), several lines. */
export const noteField: Parser<string> = string({ min: 1, max: 16 * 1024 })

/** The origin of a log (C2SP tlog-checkpoint): no space, no plus sign, no control character. */
export const originField: Parser<string> = string({ max: 200, pattern: /^[\x21-\x2a\x2c-\x7e]+$/ })

/** A larger signed statement, such as a deny list or a trust bundle. */
export const statementField: Parser<string> = string({
  min: 5,
  max: 512 * 1024,
  pattern: /^[A-Za-z0-9_.-]+$/,
})

/** base64url of up to 512 KiB, left as text. */
export const base64Field: Parser<string> = base64urlText({ max: 512 * 1024 })
