// Lets the log be read, by whom policy lets: signed heads, and the tiles that prove them. Reading is itself a row, one
// for a reader and a minute: a row for every tile would make the log grow faster than it can be read.
import { ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { DurableLog } from '#shared/host/durable-log.ts'
import type { VerifiedSvid } from '#shared/x509/svid.ts'
import { requireAllowed, type Policy } from '../authority/policy.ts'
import { actorOf } from './rows.ts'

const NOTE_EVERY_MS = 60_000

export class LogReader {
  readonly #log: Pick<DurableLog, 'append' | 'checkpoint' | 'tile'>
  readonly #policy: Policy
  readonly #clock: Clock
  readonly #noted = new Map<string, number>()

  constructor(parts: {
    readonly log: Pick<DurableLog, 'append' | 'checkpoint' | 'tile'>
    readonly policy: Policy
    readonly clock: Clock
  }) {
    this.#log = parts.log
    this.#policy = parts.policy
    this.#clock = parts.clock
  }

  /** The newest signed head. ZT-403-POLICY, ZT-503-AUDIT. */
  async checkpoint(reader: VerifiedSvid): Promise<string> {
    await this.#admit(reader)
    return this.#log.checkpoint().note
  }

  /** One file of the tiled form (C2SP tlog-tiles). ZT-403-POLICY, ZT-422-SCHEMA if there is no such tile, ZT-503-AUDIT. */
  async tile(path: string, reader: VerifiedSvid): Promise<Uint8Array> {
    await this.#admit(reader)
    const tile = this.#log.tile(path)
    if (tile === undefined) throw new ZtError('ZT-422-SCHEMA', 'the log has no such tile yet')
    return tile
  }

  async #admit(reader: VerifiedSvid): Promise<void> {
    const judgement = this.#policy.onHub(reader.id, { action: 'log.read' })
    requireAllowed(judgement)
    const now = this.#clock.now()
    const noted = this.#noted.get(reader.id)
    if (noted !== undefined && now >= noted && now - noted < NOTE_EVERY_MS) return
    await this.#log.append({ type: 'audit.read', out: 'allow', actor: actorOf(reader), pol: judgement.row })
    for (const [id, at] of this.#noted) if (now - at >= NOTE_EVERY_MS) this.#noted.delete(id)
    this.#noted.set(reader.id, now)
  }
}
