// The hub's log, fetched and verified whole: its key is the one that login vouched for, its newest head must go on from
// the newest one that this user has seen, and every entry is hashed here. It must have every head that a node holds too.
import { renameSync, rmSync } from 'node:fs'
import { decodeBase64url } from '#shared/encoding/base64url.ts'
import { ZtError } from '#shared/errors/error.ts'
import { openCheckpoint, type Checkpoint, type TreeHead } from '#shared/log/checkpoint.ts'
import { parseVkey } from '#shared/log/note.ts'
import { decodeEntries } from '#shared/log/tiles.ts'
import type { LogReport } from '#shared/log/verify-log.ts'
import type { LogIdentity } from '#shared/protocol/admission.ts'
import type { LogRequest, LogResult } from '#shared/protocol/hub-ops.ts'
import type { HeldHead } from './held-heads.ts'
import { HubCheck, largestSize } from './hub-check.ts'
import { LogCopyWriter, openLogCopy } from './log-copy.ts'
import type { Witnessed } from './witnessed.ts'

export interface HubLogOptions {
  /** asks for a part of the log; what it answers is believed for nothing */
  readonly ask: (request: LogRequest) => Promise<LogResult>
  readonly identity: LogIdentity
  /** the head that was seen last, which the log must still contain */
  readonly seen: TreeHead | undefined
  /** where a copy is written, as the entries come */
  readonly copy: string | undefined
}

/**
 * Fetches and verifies. What is wrong with the log is in the report. Errors: ZT-422-NOTE and ZT-490-SIGNATURE for its
 * signed head, and those of `ask`.
 */
export async function verifyHubLog(options: HubLogOptions): Promise<HubLog> {
  // Opened before a single entry is asked for: an unsigned size could keep us busy for ever.
  const head = await fetchHead(options)
  const log = new HubLog(options, head)
  const { identity, copy } = options
  const writer =
    copy === undefined ? undefined : new LogCopyWriter(copy, { ...identity, checkpoints: [head.note] })
  try {
    await log.fetch(writer)
  } finally {
    writer?.close()
  }
  return log
}

export class HubLog {
  readonly #options: HubLogOptions
  readonly #check: HubCheck
  #head: Checkpoint

  constructor(options: HubLogOptions, head: Checkpoint) {
    const { identity, seen } = options
    const anchors = seen === undefined ? [] : [seen]
    this.#options = options
    this.#check = new HubCheck({ origin: identity.origin, vkeys: [identity.vkey], anchors })
    this.#check.expect([head.note])
    this.#head = head
  }

  get identity(): LogIdentity {
    return this.#options.identity
  }

  get report(): LogReport {
    return this.#check.report()
  }

  get witnessed(): Witnessed {
    return this.#check.witnessed
  }

  /** Who it says was denied, and which of its own rows may be suspect for that. */
  get denied(): Pick<HubCheck, 'revocations' | 'rows'> {
    return this.#check
  }

  /** the head that all of it was checked against */
  get head(): TreeHead {
    return this.#head
  }

  /**
   * The log must have each of these heads: the report says so if it has not. Nodes are asked after the hub, so what
   * they hold may be newer than what was fetched: then the rest is fetched first, as a continuation of it.
   */
  async compare(heads: readonly HeldHead[]): Promise<void> {
    if (this.report.firstBad === undefined && largestSize(heads) > this.#head.size) {
      try {
        await this.#continue()
      } catch (cause) {
        this.#check.fail(cause)
      }
    }
    this.#check.compare(heads)
  }

  /** Takes the entries up to the head, into a copy too if there is one. Errors: those of `ask`. */
  async fetch(copy: LogCopyWriter | undefined): Promise<void> {
    const { size } = this.#head
    while (this.#check.size < size) {
      const from = this.#check.size
      const answer = await this.#options.ask({ kind: 'entries', from })
      const entries = answer.kind === 'entries' ? decodeEntries(decodeBase64url(answer.data, 'data')) : []
      // A hub that has fewer entries than it signed for has a log that is cut short: the report says so.
      if (entries.length === 0) return
      for (const entry of entries.slice(0, size - from)) {
        copy?.add(entry)
        if (!this.#check.push(entry)) return
      }
    }
  }

  async #continue(): Promise<void> {
    const before = this.#head
    const next = await fetchHead(this.#options)
    if (next.size < before.size) {
      const message = `the hub signed a head of size ${next.size} after one of size ${before.size}`
      throw new ZtError('ZT-490-TRUNCATED', message)
    }
    this.#check.expect([next.note])
    this.#head = next
    const { copy } = this.#options
    await (copy === undefined ? this.fetch(undefined) : this.#fetchInto(copy, [before.note, next.note]))
  }

  // The heads stand at the beginning of a copy: one more of them means a new file, which takes the place of the old
  // one when it is whole.
  async #fetchInto(copy: string, checkpoints: readonly string[]): Promise<void> {
    const path = `${copy}.new`
    const writer = new LogCopyWriter(path, { ...this.#options.identity, checkpoints })
    try {
      for (const entry of openLogCopy(copy).entries) writer.add(entry)
      await this.fetch(writer)
      renameSync(path, copy)
    } finally {
      writer.close()
      rmSync(path, { force: true })
    }
  }
}

async function fetchHead({ ask, identity }: HubLogOptions): Promise<Checkpoint> {
  const answer = await ask({ kind: 'checkpoint' })
  const note = answer.kind === 'checkpoint' ? answer.note : ''
  return openCheckpoint(note, identity.origin, [parseVkey(identity.vkey)])
}
