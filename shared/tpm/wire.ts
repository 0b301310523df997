// The wire of a TPM 2.0 (Part 1 §5, Part 2 §4): big-endian numbers, and buffers with a 16-bit length before them. What a
// TPM sends is as hostile as what a stranger sends; nothing here trusts a length before it has looked at the bytes.
import { ZtError } from '#shared/errors/error.ts'

/** The largest command or response that is written or read, in bytes: what TPMs and the kernel's driver take. */
export const MAX_TPM_BYTES = 4096

const SAFE_HIGH = 0x1f_ffff

export class TpmReader {
  readonly #bytes: Uint8Array
  readonly #field: string
  #offset = 0

  /** Throws ZT-422-TPM on every deviation; `field` names the place in messages. What it returns are copies. */
  constructor(bytes: Uint8Array, field: string) {
    if (bytes.length > MAX_TPM_BYTES) throw malformedTpm(field, `is over ${MAX_TPM_BYTES} bytes`)
    this.#bytes = bytes
    this.#field = field
  }

  get remaining(): number {
    return this.#bytes.length - this.#offset
  }

  u8(): number {
    return this.#number(1)
  }

  u16(): number {
    return this.#number(2)
  }

  u32(): number {
    return this.#number(4)
  }

  u64(): bigint {
    return (BigInt(this.u32()) << 32n) | BigInt(this.u32())
  }

  /** A 64-bit number that must be a safe integer: no TPM counts 2^53 milliseconds or reads. */
  safeU64(): number {
    const high = this.u32()
    const low = this.u32()
    if (high > SAFE_HIGH) throw malformedTpm(this.#field, 'has a number over 2^53')
    return high * 2 ** 32 + low
  }

  bytes(length: number): Uint8Array {
    if (length > this.remaining) throw malformedTpm(this.#field, 'is cut short')
    const start = this.#offset
    this.#offset += length
    return new Uint8Array(this.#bytes.subarray(start, this.#offset))
  }

  /** A TPM2B of at most `max` bytes. */
  sized(max: number): Uint8Array {
    const length = this.u16()
    if (length > max) throw malformedTpm(this.#field, `has a buffer of ${length} bytes, over ${max}`)
    return this.bytes(length)
  }

  rest(): Uint8Array {
    return this.bytes(this.remaining)
  }

  /** Refuses anything that was not read. */
  end(): void {
    if (this.remaining !== 0) throw malformedTpm(this.#field, 'has trailing bytes')
  }

  #number(length: number): number {
    return this.bytes(length).reduce((sum, byte) => sum * 256 + byte, 0)
  }
}

/** Builds what goes to a TPM. The caller is trusted with numbers that fit and with the order of the fields. */
export class TpmWriter {
  readonly #parts: Uint8Array[] = []

  u8(value: number): this {
    return this.bytes(Uint8Array.of(value))
  }

  u16(value: number): this {
    return this.bytes(Uint8Array.of(value >>> 8, value))
  }

  u32(value: number): this {
    return this.bytes(Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value))
  }

  u64(value: bigint): this {
    return this.u32(Number((value >> 32n) & 0xffff_ffffn)).u32(Number(value & 0xffff_ffffn))
  }

  bytes(value: Uint8Array): this {
    this.#parts.push(value)
    return this
  }

  /** A TPM2B. Throws ZT-422-TPM if `value` is longer than any TPM takes. */
  sized(value: Uint8Array): this {
    if (value.length > MAX_TPM_BYTES) throw malformedTpm('buffer', `is over ${MAX_TPM_BYTES} bytes`)
    return this.u16(value.length).bytes(value)
  }

  done(): Uint8Array {
    return new Uint8Array(Buffer.concat(this.#parts))
  }
}

/** `value` with its length before it, as a TPM2B has it. */
export function sized(value: Uint8Array): Uint8Array {
  return new TpmWriter().sized(value).done()
}

export function malformedTpm(field: string, what: string, cause?: unknown): ZtError {
  return new ZtError('ZT-422-TPM', `${field} ${what}`, { cause, details: { field } })
}
