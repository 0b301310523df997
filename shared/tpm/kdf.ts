// The two key derivations of TPM 2.0 (Part 1 §11.4.10): KDFa is SP 800-108 in counter mode over HMAC, KDFe is the concatenation
// KDF of SP 800-56A. Lengths here are whole octets.
import { createHmac } from 'node:crypto'
import { digest, digestBytes, type TpmHash } from './hash.ts'
import { TpmWriter } from './wire.ts'

export interface KdfInput {
  readonly hash: TpmHash
  /** ASCII, without the zero octet that is put after it */
  readonly label: string
  readonly contextU?: Uint8Array
  readonly contextV?: Uint8Array
}

const NONE = new Uint8Array()

/** `bytes` octets derived from `key`. */
export function kdfa(key: Uint8Array, bytes: number, input: KdfInput): Uint8Array {
  const { hash, contextU = NONE, contextV = NONE } = input
  const fixed = new TpmWriter()
    .bytes(label(input.label))
    .bytes(contextU)
    .bytes(contextV)
    .u32(bytes * 8)
    .done()
  return blocks(bytes, hash, (counter) => {
    return new Uint8Array(createHmac(hash, key).update(counter).update(fixed).digest())
  })
}

/** `bytes` octets derived from the shared point's x coordinate `z`. */
export function kdfe(z: Uint8Array, bytes: number, input: KdfInput): Uint8Array {
  const { hash, contextU = NONE, contextV = NONE } = input
  return blocks(bytes, hash, (counter) => digest(hash, counter, z, label(input.label), contextU, contextV))
}

function label(text: string): Uint8Array {
  return Buffer.from(`${text}\0`, 'latin1')
}

function blocks(bytes: number, hash: TpmHash, block: (counter: Uint8Array) => Uint8Array): Uint8Array {
  const out = new Uint8Array(bytes)
  for (let at = 0, counter = 1; at < bytes; at += digestBytes(hash), counter += 1) {
    out.set(block(new TpmWriter().u32(counter).done()).subarray(0, bytes - at), at)
  }
  return out
}
