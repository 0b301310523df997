// All streams of output that are open, found by the subject of their acknowledgements.
import { generateX25519 } from '#shared/jose/keys.ts'
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { Logger } from '#shared/host/logger.ts'
import type { NodeName, ProcId } from '#shared/identity/names.ts'
import { principalTag } from '#shared/identity/principal-tag.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import type { OutputRequest } from '#shared/protocol/command.ts'
import { deriveStreamKeys } from '#shared/protocol/output-frame.ts'
import type { OutputGrant } from '#shared/protocol/results.ts'
import { ackSubject, outputSubject } from '#shared/protocol/subjects.ts'
import type { VerifiedSvid } from '#shared/x509/svid.ts'
import type { Bus } from '../link/bus.ts'
import { OutputSession } from './session.ts'
import type { OutputSource, StreamName } from './source.ts'

export interface SessionsParts {
  readonly node: NodeName
  readonly me: SpiffeId
  readonly bus: Pick<Bus, 'publish'>
  readonly clock: Clock
  readonly logger: Logger
  readonly maxSessions: number
}

export interface StreamRequest {
  readonly source: OutputSource
  readonly proc: ProcId | 'audit'
  readonly out: OutputRequest
  readonly caller: VerifiedSvid
  /** of the command that asks */
  readonly jti: string
  readonly from: Readonly<Record<StreamName, number>>
  readonly follow: boolean
}

export interface OpenedStream {
  /** for the receipt */
  readonly grant: OutputGrant
  /** begins to send; call it after the receipt was sent */
  start(): void
  /** instead of start(), if the command fails after all */
  abandon(): Promise<void>
}

interface OpenSession {
  readonly session: OutputSession
  readonly caller: VerifiedSvid
  readonly proc: ProcId | 'audit'
}

export class OutputSessions {
  readonly #parts: SessionsParts
  readonly #open = new Map<string, OpenSession>()
  readonly #running = new Set<Promise<void>>()

  constructor(parts: SessionsParts) {
    this.#parts = parts
  }

  /** ZT-429-RATE if too many streams are open: look at this before a command is accepted. */
  requireRoom(): void {
    if (this.#open.size < this.#parts.maxSessions) return
    throw new ZtError('ZT-429-RATE', 'too many streams of output are open on this node')
  }

  /** Makes the keys of a stream. ZT-409-EXISTS if the caller has one of this name open already. */
  open(request: StreamRequest): OpenedStream {
    const { node, me, bus, clock } = this.#parts
    const { source, proc, out, caller, jti, from, follow } = request
    const route = { node, proc, tag: principalTag(caller.id), stream: out.stream }
    const subjects = { output: outputSubject(route), ack: ackSubject(route) }
    if (this.#open.has(subjects.ack))
      throw new ZtError('ZT-409-EXISTS', 'a stream of this name is open already')
    const own = generateX25519()
    const peer = decodeBase64url(out.key, 'out.key')
    const keys = deriveStreamKeys({
      privateKey: own.privateKey,
      peer,
      jti,
      node: me,
      proc,
      caller: caller.thumbprint,
    })
    const session = new OutputSession({
      source,
      bus,
      clock,
      keys,
      subjects,
      window: out.window,
      from,
      follow,
    })
    this.#open.set(subjects.ack, { session, caller, proc })
    return {
      grant: { epk: encodeBase64url(own.publicKey) },
      start: () => this.#start(subjects.ack, session),
      abandon: async () => {
        this.#open.delete(subjects.ack)
        await source.close()
      },
    }
  }

  /** Bytes from the subject of acknowledgements, whoever sent them. */
  acknowledge(subject: string, sealed: Uint8Array): void {
    this.#open.get(subject)?.session.acknowledge(sealed)
  }

  /** New output, or the end, of one process; of all of them if it is not known which. */
  wake(proc?: ProcId): void {
    for (const open of this.#open.values()) if (proc === undefined || open.proc === proc) open.session.wake()
  }

  /** Ends the streams of callers that `denied` names. */
  stopDenied(denied: (caller: VerifiedSvid) => boolean): void {
    for (const { session, caller } of this.#open.values()) if (denied(caller)) session.stop()
  }

  /** Ends all of them; resolves when their files are closed. */
  async close(): Promise<void> {
    for (const { session } of this.#open.values()) session.stop()
    await Promise.allSettled(this.#running)
  }

  #start(key: string, session: OutputSession): void {
    const run = session
      .run()
      .catch((error: unknown) =>
        this.#parts.logger.warn('a stream of output failed', { subject: key, error }),
      )
      .finally(() => {
        this.#open.delete(key)
        this.#running.delete(run)
      })
    this.#running.add(run)
  }
}
