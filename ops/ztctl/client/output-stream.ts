// One stream of output on its way to us: subscribed before it is asked for, kept unread until the node's signed receipt
// has been verified, then opened frame by frame. What does not open is dropped; what is missing ends the stream, and
// whoever reads it asks for the rest again from the offset that it has.
import { randomBytes } from 'node:crypto'
import { encodeBase32 } from '#shared/encoding/base32.ts'
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { isZtError } from '#shared/errors/error.ts'
import type { ChannelSubscription } from '#shared/host/channel.ts'
import type { ProcId } from '#shared/identity/names.ts'
import { principalTag } from '#shared/identity/principal-tag.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import { generateX25519, type X25519KeyPair } from '#shared/jose/keys.ts'
import { DEFAULT_WINDOW_BYTES, type OutputRequest } from '#shared/protocol/command.ts'
import {
  ackFrame,
  closeFrame,
  deriveStreamKeys,
  FrameOpener,
  FrameSealer,
  type Frame,
} from '#shared/protocol/output-frame.ts'
import { ackSubject, outputSubject, type OutputRoute } from '#shared/protocol/subjects.ts'
import { nodeName, type Mesh } from './mesh.ts'

export type StreamEvent =
  | { readonly kind: 'frame'; readonly frame: Frame }
  /** frames are missing: nothing that follows can be used */
  | { readonly kind: 'lost' }

export interface StreamSource {
  readonly node: SpiffeId
  /** `audit` for rows in place of a process's output */
  readonly proc: ProcId | 'audit'
}

interface Opened {
  readonly opener: FrameOpener
  readonly acks: FrameSealer
}

/** What the node may have sent without an acknowledgement, and as much again for frames that were under way. */
const MAX_HELD_BYTES = 2 * DEFAULT_WINDOW_BYTES
const ACK_EVERY_BYTES = DEFAULT_WINDOW_BYTES / 4

export class OutputStream {
  /** to be put into the command that asks for the output */
  readonly request: OutputRequest
  readonly #mesh: Mesh
  readonly #source: StreamSource
  readonly #route: OutputRoute
  readonly #keys: X25519KeyPair
  readonly #subscription: ChannelSubscription
  // Sealed before the receipt, opened after it; both bounded by MAX_HELD_BYTES together.
  #sealed: Uint8Array[] = []
  #events: StreamEvent[] = []
  #heldBytes = 0
  #opened: Opened | undefined
  #nextSeq = 0n
  #lost = false
  #closed = false
  #consumed = 0
  #acknowledged = 0
  #wake: (() => void) | undefined

  /** Subscribes; nothing comes before the command that carries `request` has been sent. */
  constructor(mesh: Mesh, source: StreamSource) {
    this.#mesh = mesh
    this.#source = source
    this.#keys = generateX25519()
    const stream = encodeBase32(randomBytes(10))
    this.#route = { node: nodeName(source.node), proc: source.proc, tag: principalTag(mesh.id), stream }
    this.request = { stream, key: encodeBase64url(this.#keys.publicKey), window: DEFAULT_WINDOW_BYTES }
    this.#subscription = mesh.channel.subscribe(outputSubject(this.#route), (message) =>
      this.#receive(message.data),
    )
  }

  /** Opens what came and what comes: `epk` is from a verified receipt, `jti` the id of the command it answers. */
  activate({ epk }: { readonly epk: string }, jti: string): void {
    const { node, proc } = this.#source
    const keys = deriveStreamKeys({
      privateKey: this.#keys.privateKey,
      peer: decodeBase64url(epk, 'epk'),
      jti,
      node,
      proc,
      caller: this.#mesh.session.identity.thumbprint,
    })
    this.#opened = {
      opener: new FrameOpener({ key: keys.toCaller, subject: outputSubject(this.#route) }),
      acks: new FrameSealer({ key: keys.toNode, subject: ackSubject(this.#route) }),
    }
    const waiting = this.#sealed
    this.#sealed = []
    this.#heldBytes = 0
    for (const bytes of waiting) this.#receive(bytes)
  }

  /** The next event, or undefined when `stop` aborts first. After `lost` there is nothing more. */
  async next(stop: AbortSignal): Promise<StreamEvent | undefined> {
    while (this.#events.length === 0 && !stop.aborted) await this.#arrival(stop)
    const event = stop.aborted ? undefined : this.#events.shift()
    if (event?.kind === 'frame') this.#heldBytes -= event.frame.data.length
    return event
  }

  /** Lets the node send on: `bytes` of output have gone where they were to go. */
  consumed(bytes: number): void {
    this.#consumed += bytes
    if (this.#consumed - this.#acknowledged >= ACK_EVERY_BYTES) this.#acknowledge()
  }

  /** Ends the stream on the node too, if it can be told; else the node notices the silence. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#subscription.unsubscribe()
    this.#say(closeFrame())
  }

  #acknowledge(): void {
    if (this.#say(ackFrame(this.#consumed))) this.#acknowledged = this.#consumed
  }

  /** True if it was sent. */
  #say(frame: Frame): boolean {
    if (this.#opened === undefined || !this.#mesh.channel.connected) return false
    this.#mesh.channel.publish(ackSubject(this.#route), this.#opened.acks.seal(frame))
    return true
  }

  #receive(bytes: Uint8Array): void {
    if (this.#lost) return
    // A node that keeps to the window never gets here; another sender is not worth the memory.
    if (this.#heldBytes > MAX_HELD_BYTES) this.#lose()
    else if (this.#opened === undefined) {
      this.#heldBytes += bytes.length
      this.#sealed.push(bytes)
    } else this.#open(this.#opened.opener, bytes)
  }

  #open(opener: FrameOpener, bytes: Uint8Array): void {
    const frame = openFrame(opener, bytes)
    if (frame === undefined) return
    if (frame.seq !== this.#nextSeq) {
      this.#lose()
      return
    }
    this.#nextSeq += 1n
    // Answered here and not where it is read: a reader who is slow is there all the same.
    if (frame.kind === 'alive') this.#acknowledge()
    if (frame.kind === 'alive' && this.#events.length > 0) return
    this.#heldBytes += frame.data.length
    this.#push({ kind: 'frame', frame })
  }

  #lose(): void {
    this.#lost = true
    this.#push({ kind: 'lost' })
  }

  #push(event: StreamEvent): void {
    this.#events.push(event)
    this.#wake?.()
  }

  #arrival(stop: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        stop.removeEventListener('abort', wake)
        this.#wake = undefined
        resolve()
      }
      this.#wake = wake
      stop.addEventListener('abort', wake, { once: true })
    })
  }
}

// Anybody on the broker's side can put bytes on the subject: those that are not the node's are as if they had not come.
function openFrame(opener: FrameOpener, bytes: Uint8Array): ReturnType<FrameOpener['open']> | undefined {
  try {
    return opener.open(bytes)
  } catch (error) {
    if (isZtError(error)) return undefined
    throw error
  }
}
