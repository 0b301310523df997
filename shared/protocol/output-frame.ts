// Output of a process on its way to the one caller who asked for it: sealed frames, each bound to its subject and its
// place. The broker sees sizes and times; it cannot read, reorder, repeat or move a frame unnoticed.
import { createCipheriv, createDecipheriv, hkdfSync, type KeyObject } from 'node:crypto'
import { ZtError } from '#shared/errors/error.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import { x25519Agree } from '#shared/jose/keys.ts'

export type FrameKind = 'stdout' | 'stderr' | 'exit' | 'gap' | 'eof' | 'ack' | 'alive' | 'close'

export interface Frame {
  /**
   * `exit` carries JSON of the exit status, `gap` JSON of {stream, from, to}; `eof` is the end of a replay. `alive` says
   * that the node is there and wants an `ack`. From the caller: `ack`, and `close`, after which nothing more is wanted.
   */
  readonly kind: FrameKind
  /** of the first byte of `data` in its stream */
  readonly offset: number
  readonly data: Uint8Array
}

export interface OpenedFrame extends Frame {
  readonly seq: bigint
}

/** Both directions of one stream: frames from the node, acknowledgements from the caller. */
export interface StreamKeys {
  readonly toCaller: Uint8Array
  readonly toNode: Uint8Array
}

export interface StreamContext {
  /** own ephemeral X25519 key */
  readonly privateKey: KeyObject
  /** 32 raw bytes of the other side's */
  readonly peer: Uint8Array
  /** of the command that asked for the stream */
  readonly jti: string
  readonly node: SpiffeId
  readonly proc: string
  /** thumbprint of the leaf that signed the command */
  readonly caller: string
}

export interface FrameChannel {
  /** 32 bytes */
  readonly key: Uint8Array
  /** the NATS subject: a frame on another subject does not open */
  readonly subject: string
}

/** Bytes of output in one frame, at most. */
export const MAX_FRAME_DATA: number = 64 * 1024

const CIPHER = 'aes-256-gcm'
const VERSION = 1
const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
const SEQ_END = 9
const PLAIN_HEADER = 9
const OVERHEAD = SEQ_END + PLAIN_HEADER + TAG_BYTES
const KINDS: ReadonlyMap<number, FrameKind> = new Map([
  [1, 'stdout'],
  [2, 'stderr'],
  [3, 'exit'],
  [4, 'gap'],
  [5, 'eof'],
  [6, 'ack'],
  [7, 'alive'],
  [8, 'close'],
])
const BYTE_OF_KIND: ReadonlyMap<FrameKind, number> = new Map([...KINDS].map(([byte, kind]) => [kind, byte]))

/**
 * The keys of one stream. Both sides put fresh keys in, and the transcript binds them to one command, one node, one
 * process and one caller: a key never serves twice, so a sequence number is a safe nonce.
 */
export function deriveStreamKeys(context: StreamContext): StreamKeys {
  const secret = x25519Agree(context.privateKey, context.peer)
  const info = `ztmesh out v1|${context.node}|${context.proc}|${context.caller}`
  const bytes = new Uint8Array(hkdfSync('sha256', secret, context.jti, info, 2 * KEY_BYTES))
  return { toCaller: bytes.subarray(0, KEY_BYTES), toNode: bytes.subarray(KEY_BYTES) }
}

/** Seals frames in order; owned by the one sender of a direction. */
export class FrameSealer {
  readonly #key: Uint8Array
  readonly #subject: Buffer
  #seq = 0n

  constructor(channel: FrameChannel) {
    this.#key = channel.key
    this.#subject = Buffer.from(channel.subject)
  }

  /** ZT-413-SIZE for more data than a frame holds. */
  seal(frame: Frame): Uint8Array {
    if (frame.data.length > MAX_FRAME_DATA) throw new ZtError('ZT-413-SIZE', 'output frame is too large')
    const sealed = Buffer.allocUnsafe(OVERHEAD + frame.data.length)
    sealed.writeUInt8(VERSION, 0)
    sealed.writeBigUInt64BE(this.#seq, 1)
    const header = Buffer.allocUnsafe(PLAIN_HEADER)
    header.writeUInt8(BYTE_OF_KIND.get(frame.kind) ?? 0, 0)
    header.writeBigUInt64BE(BigInt(frame.offset), 1)
    const cipher = createCipheriv(CIPHER, this.#key, nonceOf(this.#seq))
    cipher.setAAD(this.#subject)
    // GCM is a stream cipher: output is as long as input, and final() adds nothing.
    sealed.set(cipher.update(header), SEQ_END)
    sealed.set(cipher.update(frame.data), SEQ_END + PLAIN_HEADER)
    cipher.final()
    sealed.set(cipher.getAuthTag(), sealed.length - TAG_BYTES)
    this.#seq += 1n
    return sealed
  }
}

/** Opens frames in order; owned by the one receiver of a direction. */
export class FrameOpener {
  readonly #key: Uint8Array
  readonly #subject: Buffer
  #last = -1n

  constructor(channel: FrameChannel) {
    this.#key = channel.key
    this.#subject = Buffer.from(channel.subject)
  }

  /**
   * ZT-400-MALFORMED for what is no frame of this stream; ZT-409-REPLAY for a place that has passed. A frame that was
   * lost shows as a jump in `seq` and in the offsets: the receiver decides what that means.
   */
  open(sealed: Uint8Array): OpenedFrame {
    const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength)
    if (bytes.length < OVERHEAD || bytes.length > OVERHEAD + MAX_FRAME_DATA)
      throw malformed('has a wrong size')
    if (bytes.readUInt8(0) !== VERSION) throw malformed('is of another version')
    const seq = bytes.readBigUInt64BE(1)
    const plain = this.#decrypt(bytes, seq)
    // Only an authentic frame may move the sequence, or a forger could make it skip true ones.
    if (seq <= this.#last) throw new ZtError('ZT-409-REPLAY', 'output frame repeats or goes back')
    this.#last = seq
    return { seq, ...readPlain(plain) }
  }

  #decrypt(bytes: Buffer, seq: bigint): Buffer {
    const decipher = createDecipheriv(CIPHER, this.#key, nonceOf(seq), { authTagLength: TAG_BYTES })
    decipher.setAAD(this.#subject).setAuthTag(bytes.subarray(bytes.length - TAG_BYTES))
    const plain = decipher.update(bytes.subarray(SEQ_END, bytes.length - TAG_BYTES))
    try {
      decipher.final()
    } catch (cause) {
      throw malformed('does not open', cause)
    }
    return plain
  }
}

/** From the caller to the node: how many bytes of output it has consumed in all, over both streams. */
export function ackFrame(consumed: number): Frame {
  return { kind: 'ack', offset: consumed, data: new Uint8Array() }
}

/** From the caller to the node: the stream is not wanted any more. */
export function closeFrame(): Frame {
  return { kind: 'close', offset: 0, data: new Uint8Array() }
}

function readPlain(plain: Buffer): Frame {
  const kind = KINDS.get(plain.readUInt8(0))
  if (kind === undefined) throw malformed('has an unknown kind')
  const offset = plain.readBigUInt64BE(1)
  if (offset > BigInt(Number.MAX_SAFE_INTEGER)) throw malformed('has an offset that is too large')
  return { kind, offset: Number(offset), data: plain.subarray(PLAIN_HEADER) }
}

/** Four zero bytes and the sequence number: unique under a key that serves one direction of one stream. */
function nonceOf(seq: bigint): Uint8Array {
  const nonce = Buffer.alloc(NONCE_BYTES)
  nonce.writeBigUInt64BE(seq, NONCE_BYTES - 8)
  return nonce
}

function malformed(what: string, cause?: unknown): ZtError {
  return new ZtError('ZT-400-MALFORMED', `output frame ${what}`, { cause })
}
