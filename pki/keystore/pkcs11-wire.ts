// What the key store and the child process that talks to the PKCS#11 module say to each other. No secret passes: the
// child reads the PIN from its file itself, and keys do not leave the token.
import { bytes, integer, object, oneOf, string, union, literal, optional } from '#shared/encoding/shape.ts'
import type { Parser } from '#shared/encoding/shape.ts'
import type { Curve } from '#shared/x509/ec-spki.ts'

export interface TokenLocation {
  /** path of the PKCS#11 library */
  readonly module: string
  /** label of the token: slot numbers change when a token is made */
  readonly token: string
  /** mode 0600 */
  readonly pinFile: string
}

export type Pkcs11Call =
  | { readonly op: 'open'; readonly location: TokenLocation }
  | { readonly op: 'generate'; readonly label: string; readonly curve: Curve }
  | { readonly op: 'find'; readonly label: string }
  | { readonly op: 'destroy'; readonly label: string }
  | { readonly op: 'sign'; readonly label: string; readonly digest: string }
  | { readonly op: 'random'; readonly bytes: number }
  | { readonly op: 'close' }

export interface Pkcs11Request {
  readonly id: number
  readonly call: Pkcs11Call
}

/** `key` answers generate and find, `data` sign and random; neither: there is no such key, or nothing to say. */
export interface Pkcs11Answer {
  readonly id: number
  readonly key?: { readonly curve: Curve; readonly spki: Uint8Array }
  readonly data?: Uint8Array
  readonly error?: { readonly code: Pkcs11ErrorCode; readonly message: string }
}

const ERROR_CODES = [
  'ZT-400-CONFIG',
  'ZT-404-KEY',
  'ZT-409-LABEL',
  'ZT-412-KEY-ATTRIBUTE',
  'ZT-500-KEYSTORE',
] as const

export type Pkcs11ErrorCode = (typeof ERROR_CODES)[number]

/** True for a code that an answer may carry. */
export function isPkcs11ErrorCode(code: string): code is Pkcs11ErrorCode {
  return ERROR_CODES.some((known) => known === code)
}

const id = integer({ min: 0 })
const path = string({ min: 1, max: 4096 })
const label = string({ min: 1, max: 63 })
const curve = oneOf(['P-256', 'P-384'])

export const parsePkcs11Request: Parser<Pkcs11Request> = object({
  id,
  call: union('op', {
    open: object({
      op: literal('open'),
      location: object({ module: path, token: string({ min: 1, max: 32 }), pinFile: path }),
    }),
    generate: object({ op: literal('generate'), label, curve }),
    find: object({ op: literal('find'), label }),
    destroy: object({ op: literal('destroy'), label }),
    sign: object({ op: literal('sign'), label, digest: string({ min: 43, max: 64 }) }),
    random: object({ op: literal('random'), bytes: integer({ min: 1, max: 64 }) }),
    close: object({ op: literal('close') }),
  }),
})

export const parsePkcs11Answer: Parser<Pkcs11Answer> = object({
  id,
  key: optional(object({ curve, spki: bytes({ min: 91, max: 120 }) })),
  data: optional(bytes({ max: 128 })),
  error: optional(object({ code: oneOf(ERROR_CODES), message: string({ max: 512 }) })),
})
