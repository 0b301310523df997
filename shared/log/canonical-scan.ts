// One pass over bytes that says whether they are a JSON value in RFC 8785 form with safe integers only: the same answer
// as canonicalJson(parseStrictJson(bytes)) === bytes, without building the value. A property test holds both together.

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_LIST = 0x5b
const CLOSE_LIST = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const MAX_INTEGER_DIGITS = 16

// RFC 8785 §3.2.2.2: bytes that a string holds as themselves; 0x80 and up are looked at apart.
const PLAIN = Uint8Array.from({ length: 256 }, (_, code) =>
  code >= 0x20 && code < 0x80 && code !== QUOTE && code !== BACKSLASH ? 1 : 0,
)

/** The offset behind the value that starts at `at`, or -1; containers nest at most `maxDepth` deep. */
export function scanFree(bytes: Uint8Array, at: number, maxDepth: number): number {
  switch (bytes[at] ?? 0) {
    case QUOTE:
      return scanString(bytes, at)
    case OPEN_OBJECT:
      return maxDepth > 0 ? scanObject(bytes, at, maxDepth - 1) : -1
    case OPEN_LIST:
      return maxDepth > 0 ? scanList(bytes, at, maxDepth - 1) : -1
    case 0x74:
      return scanWord(bytes, at, TRUE)
    case 0x66:
      return scanWord(bytes, at, FALSE)
    case 0x6e:
      return scanWord(bytes, at, NULL)
    default:
      return scanInteger(bytes, at)
  }
}

const TRUE = Buffer.from('true')
const FALSE = Buffer.from('false')
const NULL = Buffer.from('null')
const PROTO = Buffer.from('"__proto__"')

function scanList(bytes: Uint8Array, at: number, depth: number): number {
  if (bytes[at + 1] === CLOSE_LIST) return at + 2
  let end = at
  do {
    end = scanFree(bytes, end + 1, depth)
    if (end < 0) return -1
  } while (bytes[end] === COMMA)
  return bytes[end] === CLOSE_LIST ? end + 1 : -1
}

function scanObject(bytes: Uint8Array, at: number, depth: number): number {
  if (bytes[at + 1] === CLOSE_OBJECT) return at + 2
  let end = at
  let before = -1
  do {
    const key = end + 1
    const keyEnd = scanString(bytes, key)
    if (keyEnd < 0 || bytes[keyEnd] !== COLON || scanWord(bytes, key, PROTO) > 0) return -1
    // RFC 8785 §3.2.3: keys ascend by UTF-16 code units; strictly, so none is repeated.
    if (before >= 0 && !ascends(bytes, before, key)) return -1
    before = key
    end = scanFree(bytes, keyEnd + 1, depth)
    if (end < 0) return -1
  } while (bytes[end] === COMMA)
  return bytes[end] === CLOSE_OBJECT ? end + 1 : -1
}

// True if the string at `before` sorts below the one at `key`; both have been scanned. Plain ASCII is compared in place.
function ascends(bytes: Uint8Array, before: number, key: number): boolean {
  for (let index = 1; ; index += 1) {
    const a = bytes[before + index] ?? 0
    const b = bytes[key + index] ?? 0
    if (a >= 0x80 || b >= 0x80 || a === BACKSLASH || b === BACKSLASH) break
    if (a === QUOTE) return b !== QUOTE
    if (a !== b) return b !== QUOTE && a < b
  }
  return keyText(bytes, before) < keyText(bytes, key)
}

function keyText(bytes: Uint8Array, at: number): string {
  const raw = Buffer.from(bytes.buffer, bytes.byteOffset + at, scanString(bytes, at) - at).toString()
  // It was scanned, so it is a JSON string; most keys have nothing to unescape.
  return raw.includes('\\') ? String(JSON.parse(raw)) : raw.slice(1, -1)
}

function scanString(bytes: Uint8Array, at: number): number {
  if (bytes[at] !== QUOTE) return -1
  let end = at + 1
  for (;;) {
    const code = bytes[end] ?? 0
    if (PLAIN[code] === 1) end += 1
    else if (code === QUOTE) return end + 1
    else {
      end = code === BACKSLASH ? scanEscape(bytes, end) : scanMultibyte(bytes, end)
      if (end < 0) return -1
    }
  }
}

// RFC 8785 §3.2.2.2: the short escapes, and \u00xx in lower case for the other control characters; no others.
function scanEscape(bytes: Uint8Array, at: number): number {
  switch (bytes[at + 1] ?? 0) {
    case QUOTE:
    case BACKSLASH:
    case 0x62: // b
    case 0x66: // f
    case 0x6e: // n
    case 0x72: // r
    case 0x74: // t
      return at + 2
    case 0x75: {
      if (bytes[at + 2] !== 0x30 || bytes[at + 3] !== 0x30) return -1
      return UNICODE_ESCAPES.has(((bytes[at + 4] ?? 0) << 8) | (bytes[at + 5] ?? 0)) ? at + 6 : -1
    }
    default:
      return -1
  }
}

// The two digits of every control character without a short escape, as one number.
const UNICODE_ESCAPES: ReadonlySet<number> = new Set(
  Array.from({ length: 32 }, (_, code) => code)
    .filter((code) => !'\b\t\n\f\r'.includes(String.fromCharCode(code)))
    .map((code) => code.toString(16).padStart(2, '0'))
    .map((digits) => (digits.charCodeAt(0) << 8) | digits.charCodeAt(1)),
)

// RFC 3629 §4: well-formed sequences of two to four bytes; surrogates and overlong forms are in no row.
function scanMultibyte(bytes: Uint8Array, at: number): number {
  const lead = bytes[at] ?? 0
  const second = bytes[at + 1] ?? 0
  if (lead >= 0xc2 && lead <= 0xdf) return isTail(second) ? at + 2 : -1
  if (lead >= 0xe0 && lead <= 0xef) {
    const low = lead === 0xe0 ? 0xa0 : 0x80
    const high = lead === 0xed ? 0x9f : 0xbf
    return second >= low && second <= high && isTail(bytes[at + 2]) ? at + 3 : -1
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    const low = lead === 0xf0 ? 0x90 : 0x80
    const high = lead === 0xf4 ? 0x8f : 0xbf
    const good = second >= low && second <= high && isTail(bytes[at + 2]) && isTail(bytes[at + 3])
    return good ? at + 4 : -1
  }
  return -1
}

function isTail(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x80 && byte <= 0xbf
}

function scanInteger(bytes: Uint8Array, at: number): number {
  const from = bytes[at] === 0x2d ? at + 1 : at
  let end = from
  let value = 0
  for (let code = bytes[end] ?? 0; code >= 0x30 && code <= 0x39; code = bytes[end] ?? 0) {
    value = value * 10 + (code - 0x30)
    end += 1
  }
  const length = end - from
  if (length === 0 || length > MAX_INTEGER_DIGITS || value > Number.MAX_SAFE_INTEGER) return -1
  // Neither leading zeros nor a negative zero.
  return bytes[from] === 0x30 && (length > 1 || from > at) ? -1 : end
}

function scanWord(bytes: Uint8Array, at: number, word: Uint8Array): number {
  for (let index = 0; index < word.length; index += 1) {
    if (bytes[at + index] !== word[index]) return -1
  }
  return at + word.length
}
