// What the fields of ceremony files are made of.
import { integer, object, parsed, string, type Parser } from '#shared/encoding/shape.ts'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import { parseTrustDomain, type TrustDomain } from '#shared/identity/names.ts'
import { parseVkey } from '#shared/log/note.ts'
import { parseHostName } from '../issuance/host-name.ts'
import { requireLabel } from '../keystore/keystore.ts'

/** A file in the ceremony's folder, bound by its content. */
export interface InputFile {
  readonly file: string
  /** lower-case hex */
  readonly sha256: string
}

export function refuse(what: string, cause?: unknown): ZtError {
  return new ZtError('ZT-422-CEREMONY', what, { cause })
}

/** Runs a parser of JSON values; what it refuses becomes ZT-422-CEREMONY naming `what` and the field. */
export function readAs<T>(what: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!isZtError(error)) throw error
    throw refuse(`${what}: ${error.message}`, error)
  }
}

export const hexDigest: Parser<string> = string({ min: 64, max: 64, pattern: /^[0-9a-f]{64}$/ })

// A plain name: nothing is read or written outside of the ceremony's folder.
export const fileName: Parser<string> = string({
  min: 1,
  max: 128,
  pattern: /^[A-Za-z0-9][A-Za-z0-9._-]*$/,
})

export const inputFile: Parser<InputFile> = object({ file: fileName, sha256: hexDigest })

/** UTC, milliseconds, of a whole second. */
export const instant: Parser<number> = (value, path) => {
  const text = string({ min: 20, max: 20, pattern: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/ })(value, path)
  return parsed(() => requireInstant(text))(value, path)
}

export const keyLabel: Parser<string> = (value, path) => {
  const text = string({ max: 63 })(value, path)
  return parsed(() => (requireLabel(text), text))(value, path)
}

/** How a person is called: the name of an officer's key, too. */
export const personName: Parser<string> = string({
  min: 1,
  max: 64,
  pattern: /^[a-z0-9](?:[a-z0-9.@/-]*[a-z0-9])?$/,
})

/** The public key of an officer: a C2SP note verifier key, named as a person is. */
export const officerKey: Parser<string> = (value, path) => {
  const text = string({ min: 1, max: 160 })(value, path)
  personName(parsed(() => parseVkey(text))(value, path).name, `${path} (name)`)
  return text
}

export const sequence: Parser<number> = integer({ min: 1 })
export const refreshHint: Parser<number> = integer({ min: 10, max: 86_400 })

/**
 * RFC 5280 §4.2.1.10: a URI is constrained by its host, which is then a domain name. A trust domain that is an address,
 * or spelled with a final period, would make intermediates under which nothing verifies.
 */
export const trustDomain: Parser<TrustDomain> = parsed((value) => parseTrustDomain(parseHostName(value)))

function requireInstant(text: string): number {
  const at = Date.parse(text)
  // Date.parse takes 24:00:00 and 30 February.
  if (Number.isNaN(at) || new Date(at).toISOString() !== text.replace('Z', '.000Z'))
    throw refuse('is not a date')
  return at
}
