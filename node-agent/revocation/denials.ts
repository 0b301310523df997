// Who is refused, as far as this node knows, and whether it can be sure that it knows the newest. The list only ever
// moves on, over restarts too. While the link is down pushes may be lost, so nothing is judged until the list has been
// asked for again.
import type { DatabaseSync, StatementSync } from 'node:sqlite'

import { ZtError, isZtError } from '#shared/errors/error.ts'
import { sleep, type Clock } from '#shared/host/clock.ts'
import type { Logger } from '#shared/host/logger.ts'
import { DenyList, openDenyList, type DenyDocument } from '#shared/protocol/deny-list.ts'
import type { SvidValidator } from '#shared/x509/svid.ts'
import type { NodeLog } from '../audit/node-log.ts'

export interface DenialsParts {
  readonly log: NodeLog
  readonly trust: SvidValidator
  readonly clock: Clock
  readonly logger: Logger
  /** told after a newer list is in force */
  readonly changed: (list: DenyList) => void
}

/** How long a message waits for the list to be fetched again before it is refused. */
const PATIENCE_MS = 5_000

const SCHEMA = `
CREATE TABLE IF NOT EXISTS deny_list (
  one INTEGER PRIMARY KEY CHECK (one = 1), text TEXT NOT NULL, at_ms INTEGER NOT NULL
) STRICT;
`

export class Denials {
  readonly list: DenyList = new DenyList()
  readonly #parts: DenialsParts
  readonly #save: StatementSync
  /** links over which a push may have been lost */
  readonly #unsure = new Set<object>()
  #sure = Promise.withResolvers<void>()

  constructor(parts: DenialsParts) {
    this.#parts = parts
    const { database } = parts.log.durable
    database.exec(SCHEMA)
    this.#save = database.prepare('INSERT OR REPLACE INTO deny_list VALUES (1, ?, ?)')
    this.#load(database)
  }

  /**
   * Puts a signed list in force; one that is in force already changes nothing. Errors of openDenyList(), and
   * ZT-408-STALE for a list that is older than any that this node ever held.
   */
  async accept(text: string): Promise<void> {
    const { log, trust, clock, changed } = this.#parts
    const document = openDenyList(text, { trust, now: clock.now() })
    if (document.ver < (log.marks.value('deny') ?? 0)) {
      throw new ZtError('ZT-408-STALE', 'deny list is older than one that this node has held')
    }
    if (document.ver === this.list.version) return
    // In force before it is on disk, and whether or not it can be: a full disk must not keep somebody in.
    this.list.replace(document)
    changed(this.list)
    await this.#keep(text, document)
  }

  /**
   * accept(), for a list that may have been overtaken on its way: an older one is ignored, the newer stays in force. So a
   * hub that was restored from a backup brings nobody back, and does not stop the node either.
   */
  async offer(text: string): Promise<void> {
    try {
      await this.accept(text)
    } catch (error) {
      if (!isZtError(error, 'ZT-408-STALE')) throw error
      this.#parts.logger.warn('an older deny list was ignored', { version: this.list.version })
    }
  }

  /** Pushes may be lost from now on: what comes is judged only after resume() for the same link. */
  suspend(link: object): void {
    this.#unsure.add(link)
  }

  /** The list has been asked for over this link since, or the link is gone for good. */
  resume(link: object): void {
    this.#unsure.delete(link)
    if (this.#unsure.size > 0) return
    this.#sure.resolve()
    this.#sure = Promise.withResolvers()
  }

  /** Resolves when the list is known to be the newest; ZT-503-HUB if that cannot be had in time. */
  async current(): Promise<void> {
    if (this.#unsure.size === 0) return
    const abandoned = new AbortController()
    const late = sleep(this.#parts.clock, PATIENCE_MS, abandoned.signal)
    await Promise.race([this.#sure.promise, late])
    abandoned.abort()
    if (this.#unsure.size > 0)
      throw new ZtError('ZT-503-HUB', 'the deny list could not be brought up to date')
  }

  async #keep(text: string, { ver, entries }: DenyDocument): Promise<void> {
    const { log, clock, logger } = this.#parts
    try {
      await log.append({ type: 'deny.updated', out: 'info', obj: { ver, entries: entries.length } }, () => {
        log.marks.raise('deny', ver)
        this.#save.run(text, clock.now())
      })
    } catch (error) {
      logger.error('the deny list is in force but could not be kept', { ver, error })
    }
  }

  /** What was kept was verified when it came; it is opened as of that time, because its signer's SVID has ended since. */
  #load(database: DatabaseSync): void {
    const row = database.prepare('SELECT text, at_ms FROM deny_list').get()
    if (row === undefined) return
    const { trust, logger } = this.#parts
    try {
      this.list.replace(openDenyList(String(row['text']), { trust, now: Number(row['at_ms']) }))
    } catch (error) {
      if (!isZtError(error)) throw error
      // A root that is no longer trusted signed for it. Nothing is served before a fresh list is there, and the mark
      // still refuses an older one.
      logger.warn('the kept deny list does not open any more', { error })
    }
  }
}

/** Whether the list names this identity or this certificate. */
export function isDenied(list: DenyList, svid: Parameters<DenyList['check']>[0]): boolean {
  try {
    list.check(svid)
    return false
  } catch (error) {
    if (isZtError(error, 'ZT-403-REVOKED')) return true
    throw error
  }
}
