// Reads DER and nothing else: minimal lengths, no indefinite form, minimal integers, low tag numbers, bounded depth
// and size, no trailing bytes. What it returns are views of the input, never copies: the input must not change.
import { ZtError } from '#shared/errors/error.ts'

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const

export interface DerElement {
  /** identifier octet: class, constructed bit and number */
  readonly tag: number
  readonly content: Uint8Array
  /** header and content */
  readonly raw: Uint8Array
}

const MAX_BYTES = 64 * 1024
const MAX_DEPTH = 16

export class DerReader {
  readonly #bytes: Uint8Array
  readonly #field: string
  readonly #depth: number
  #offset = 0

  /** Throws ZT-422-CERT on every deviation; `field` names the place in messages. */
  constructor(bytes: Uint8Array, field: string, depth: number = 0) {
    if (bytes.length > MAX_BYTES) throw malformed(field, 'is over 65536 bytes')
    if (depth > MAX_DEPTH) throw malformed(field, 'is nested too deeply')
    this.#bytes = bytes
    this.#field = field
    this.#depth = depth
  }

  get done(): boolean {
    return this.#offset === this.#bytes.length
  }

  /** The identifier octet of the next element, if there is one. */
  peek(): number | undefined {
    return this.#bytes[this.#offset]
  }

  /** The next element, whatever its tag. */
  element(): DerElement {
    const start = this.#offset
    const tag = this.#byte()
    // X.690 §8.1.2.4: numbers from 31 take further octets; nothing in PKIX uses one.
    if ((tag & 0x1f) === 0x1f) throw malformed(this.#field, 'has a tag number over 30')
    const length = this.#length()
    const from = this.#offset
    if (length > this.#bytes.length - from) throw malformed(this.#field, 'is cut short')
    this.#offset = from + length
    return {
      tag,
      content: this.#bytes.subarray(from, this.#offset),
      raw: this.#bytes.subarray(start, this.#offset),
    }
  }

  /** The content of the next element, which must have this tag. */
  next(tag: number): Uint8Array {
    return this.expect(tag).content
  }

  /** The next element, which must have this tag. */
  expect(tag: number): DerElement {
    if (this.peek() !== tag) throw malformed(this.#field, `lacks an element of tag 0x${tag.toString(16)}`)
    return this.element()
  }

  /** The next element if it has this tag. */
  optional(tag: number): DerElement | undefined {
    return this.peek() === tag ? this.element() : undefined
  }

  /** A reader of what is inside the next element, which must have this tag. */
  enter(tag: number, field: string = this.#field): DerReader {
    return this.inside(this.next(tag), field)
  }

  /** A reader, one level deeper, of content that this reader gave out. */
  inside(content: Uint8Array, field: string = this.#field): DerReader {
    return new DerReader(content, field, this.#depth + 1)
  }

  /** Refuses anything that was not read. */
  end(): void {
    if (!this.done) throw malformed(this.#field, 'has trailing bytes')
  }

  boolean(): boolean {
    const content = this.next(TAG.boolean)
    // X.690 §11.1: TRUE is 0xff and nothing else.
    if (content.length !== 1 || (content[0] !== 0 && content[0] !== 0xff)) {
      throw malformed(this.#field, 'has a boolean that is not DER')
    }
    return content[0] === 0xff
  }

  /** The content octets of a minimal two's complement integer. */
  integer(): Uint8Array {
    const content = this.next(TAG.integer)
    const [first, second] = content
    if (first === undefined) throw malformed(this.#field, 'has an empty integer')
    // X.690 §8.3.2: the first nine bits are neither all zeros nor all ones.
    const sign = (second ?? 0) & 0x80
    if (second !== undefined && ((first === 0 && sign === 0) || (first === 0xff && sign !== 0))) {
      throw malformed(this.#field, 'has an integer that is not minimal')
    }
    return content
  }

  /** An integer from 0 to 2^31 - 1. */
  smallInteger(): number {
    const content = this.integer()
    if (content.length > 4 || ((content[0] ?? 0) & 0x80) !== 0) {
      throw malformed(this.#field, 'has an integer out of range')
    }
    return content.reduce((sum, byte) => sum * 256 + byte, 0)
  }

  /** Dotted text of an object identifier. */
  oid(): string {
    return oidText(this.next(TAG.oid), this.#field)
  }

  /** The octets of a bit string without unused bits, as keys and signatures are. */
  wholeBits(): Uint8Array {
    const content = this.next(TAG.bitString)
    if (content[0] !== 0) throw malformed(this.#field, 'has a bit string with unused bits')
    return content.subarray(1)
  }

  /** The numbers of the bits that are set in a named bit list. */
  namedBits(): number[] {
    const content = this.next(TAG.bitString)
    const unused = content[0]
    const last = content[content.length - 1] ?? 0
    // X.690 §11.2.2: no trailing zero bits; §8.6.2: unused is 0 to 7, and 0 for the empty string.
    const valid =
      unused !== undefined &&
      unused <= 7 &&
      (content.length === 1 ? unused === 0 : (last & ((2 << unused) - 1)) === 1 << unused)
    if (!valid) throw malformed(this.#field, 'has a bit list that is not DER')
    const bits: number[] = []
    for (let bit = 0; bit < (content.length - 1) * 8; bit += 1) {
      if (((content[1 + (bit >> 3)] ?? 0) & (0x80 >> (bit & 7))) !== 0) bits.push(bit)
    }
    return bits
  }

  #byte(): number {
    const byte = this.#bytes[this.#offset]
    if (byte === undefined) throw malformed(this.#field, 'is cut short')
    this.#offset += 1
    return byte
  }

  #length(): number {
    const first = this.#byte()
    if (first < 0x80) return first
    const count = first & 0x7f
    // X.690 §10.1: the definite form, in the fewest octets. Three octets hold more than the largest input.
    if (count === 0 || count > 3) throw malformed(this.#field, 'has a length that is not DER')
    let length = 0
    for (let at = 0; at < count; at += 1) length = length * 256 + this.#byte()
    if (length < 0x80 || length < 256 ** (count - 1))
      throw malformed(this.#field, 'has a length that is not DER')
    return length
  }
}

/** Reads exactly one element of this tag that fills `bytes`, and returns a reader of its inside. */
export function readDer(bytes: Uint8Array, tag: number, field: string): DerReader {
  const outer = new DerReader(bytes, field)
  const inner = outer.enter(tag)
  outer.end()
  return inner
}

export function malformed(field: string, what: string): ZtError {
  return new ZtError('ZT-422-CERT', `${field} ${what}`)
}

function oidText(content: Uint8Array, field: string): string {
  if (content.length === 0 || content.length > 32)
    throw malformed(field, 'has an object identifier out of range')
  const arcs: number[] = []
  let arc = 0
  let open = false
  for (const byte of content) {
    // X.690 §8.19.2: an arc does not start with 0x80; 2^46 leaves room for one more octet in a safe integer.
    if ((!open && byte === 0x80) || arc >= 2 ** 46)
      throw malformed(field, 'has an object identifier that is not DER')
    arc = arc * 128 + (byte & 0x7f)
    open = (byte & 0x80) !== 0
    if (open) continue
    arcs.push(arc)
    arc = 0
  }
  if (open) throw malformed(field, 'has an object identifier that is not DER')
  const [head = 0, ...rest] = arcs
  // X.690 §8.19.4: the first two arcs share one number.
  const top = Math.min(Math.floor(head / 40), 2)
  return [top, head - top * 40, ...rest].join('.')
}
