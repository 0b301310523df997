// What one task is given: its SVID with the key, renewed at half of its life while somebody watches, and tokens for the
// audiences that it names. Keys and tokens are in this memory alone; the next agent fetches new ones.
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { ZtError, isZtError } from '#shared/errors/error.ts'
import type { ErrorCode } from '#shared/errors/codes.ts'
import type { Clock, Timer } from '#shared/host/clock.ts'
import type { Logger } from '#shared/host/logger.ts'
import type { ProcId } from '#shared/identity/names.ts'
import { principalOf, taskId, trustDomainOf, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import { generateP256, spkiOf, type P256KeyPair } from '#shared/jose/keys.ts'
import type {
  TaskJwtParams,
  TaskJwtResult,
  TaskSvidParams,
  TaskSvidResult,
} from '#shared/protocol/task-ops.ts'
import { createCsr } from '#shared/x509/csr.ts'
import type { SvidValidator } from '#shared/x509/svid.ts'
import { RateBucket } from '../rate.ts'

export interface TaskHub {
  svid(params: TaskSvidParams): Promise<TaskSvidResult>
  jwt(params: TaskJwtParams): Promise<TaskJwtResult>
}

/** Who may be denied: a name, or one certificate of it. */
export interface Deniable {
  readonly id: SpiffeId
  readonly thumbprint?: string
}

/** A task that is about to start. */
export interface NewTask {
  readonly proc: ProcId
  /** the agent whose identity it was granted; undefined where an older agent of the node did not write it down */
  readonly agent: string | undefined
  /** who had it spawned, with which certificate if that is known */
  readonly owner: Deniable
}

export interface TaskParts extends NewTask {
  /** SPIFFE ID of the node itself */
  readonly node: SpiffeId
  readonly trust: SvidValidator
  readonly clock: Clock
  readonly logger: Logger
  readonly hub: TaskHub
  /** whether the deny list of this moment names it */
  readonly isDenied: (who: Deniable) => boolean
}

export interface HeldSvid {
  readonly id: SpiffeId
  /** DER, leaf first */
  readonly chain: readonly Uint8Array[]
  /** DER, PKCS#8, not encrypted */
  readonly key: Uint8Array
  /** UTC, milliseconds */
  readonly notAfter: number
  readonly renewAt: number
}

export interface TaskWatcher {
  changed(): void
  /** there will be no SVID any more, unless the client asks again */
  refused(error: ZtError): void
}

interface CachedToken {
  readonly result: Promise<TaskJwtResult>
  readonly until: number
}

/** Until when the hub is not asked again, and what is answered meanwhile. */
interface Rest {
  readonly error: unknown
  readonly untilNs: bigint
}

/** The hub's answers that mean: not to this task. */
const REFUSALS: ReadonlySet<ErrorCode> = new Set([
  'ZT-403-TASK',
  'ZT-403-REVOKED',
  'ZT-401-EVIDENCE',
  'ZT-490-FORK',
])
const RETRY_MS = 1000
const MAX_RETRY_MS = 30_000
const MAX_TOKENS = 64
// As many as are kept, at once; then six audiences all the time, each token being used for half of its life. Each is a row
// of the hub's log for ever, so it is not for the task to say how many there are.
const TOKEN_RATE = { burst: MAX_TOKENS, perSecond: 0.2 }

/** True for an error that says that the task may have nothing; any other may pass. */
export function isRefusal(error: unknown): error is ZtError {
  return isZtError(error) && REFUSALS.has(error.code)
}

export class TaskIdentity {
  readonly #parts: TaskParts
  readonly #watchers = new Set<TaskWatcher>()
  readonly #tokens = new Map<string, CachedToken>()
  readonly #rate: RateBucket
  #held: HeldSvid | undefined
  #id: SpiffeId | undefined
  #renewing: Promise<HeldSvid> | undefined
  #timer: Timer | undefined
  #failures = 0
  #rest: Rest | undefined
  #ended: ZtError | undefined

  constructor(parts: TaskParts) {
    this.#parts = parts
    const { agent, node, proc } = parts
    if (agent !== undefined) this.#id = taskId(trustDomainOf(node), { agent, task: proc })
    this.#rate = new RateBucket(parts.clock, TOKEN_RATE)
  }

  get proc(): ProcId {
    return this.#parts.proc
  }

  /** An SVID with at least half of its life to go, or what is left of one if the hub cannot be asked. Errors: the hub's. */
  async svid(): Promise<HeldSvid> {
    this.#requireAllowed()
    const now = this.#parts.clock.now()
    const held = this.#held
    if (held !== undefined && now < held.renewAt) return held
    try {
      // Each request of the task would be one to the hub.
      if (this.#rest !== undefined && this.#parts.clock.monotonicNs() < this.#rest.untilNs)
        throw this.#rest.error
      return await this.#renew()
    } catch (error) {
      if (isRefusal(error) || held === undefined || now >= held.notAfter) throw error
      return held
    }
  }

  /** Told of every change until it is told to stop; while anybody is, the SVID is renewed by itself. */
  watch(watcher: TaskWatcher): () => void {
    this.#watchers.add(watcher)
    this.#plan()
    return () => {
      this.#watchers.delete(watcher)
      if (this.#watchers.size > 0) return
      this.#timer?.cancel()
      this.#timer = undefined
    }
  }

  /**
   * A token for exactly these audiences; the same one again until half of its life. Errors: the hub's, and ZT-429-RATE.
   */
  async jwt(audience: readonly string[]): Promise<{ readonly id: SpiffeId; readonly token: string }> {
    const { id } = await this.svid()
    const now = this.#parts.clock.now()
    const key = JSON.stringify(audience)
    const cached = this.#tokens.get(key)
    if (cached !== undefined && now < cached.until) return { id, token: (await cached.result).token }
    if (!this.#rate.take()) throw new ZtError('ZT-429-RATE', 'the task asks for too many tokens')
    const { token } = await this.#fetchToken(key, { proc: this.proc, audience })
    this.#requireAllowed()
    return { id, token }
  }

  /** A newer deny list is in force here: whom it names is served nothing from now on, and watchers are told. */
  denialsChanged(): void {
    this.#rest = undefined
    const denial = this.#denial()
    if (denial !== undefined) this.#refuse(denial)
  }

  /** The node trusts other roots than before: an SVID that holds under none of them is replaced at once. */
  bundleChanged(): void {
    const { trust, clock, logger, proc } = this.#parts
    this.#rest = undefined
    const held = this.#held
    if (held === undefined || this.#ended !== undefined) return
    try {
      trust.validate(held.chain, clock.now())
    } catch (error) {
      logger.warn('the svid of a task holds no longer', { proc, error })
      this.#forget()
      this.#plan()
    }
  }

  /** The process is gone: nothing is served any more. */
  end(): void {
    this.#ended = new ZtError('ZT-403-TASK', 'the task has ended')
    this.#refuse(this.#ended)
  }

  #refuse(error: ZtError): void {
    this.#forget()
    for (const watcher of this.#watchers) watcher.refused(error)
  }

  #forget(): void {
    this.#held = undefined
    this.#tokens.clear()
    this.#timer?.cancel()
    this.#timer = undefined
  }

  // The hub refuses them too. Here it holds as soon as the list is here, for what is already held as well.
  #denial(): ZtError | undefined {
    const { node, owner, isDenied } = this.#parts
    const line = [{ id: node }, owner, ...(this.#id === undefined ? [] : [{ id: this.#id }])]
    if (!line.some(isDenied)) return undefined
    return new ZtError('ZT-403-REVOKED', 'the task, its node, or who had it started, is revoked')
  }

  #requireAllowed(): void {
    const refusal = this.#ended ?? this.#denial()
    if (refusal !== undefined) throw refusal
  }

  #fetchToken(key: string, params: TaskJwtParams): Promise<TaskJwtResult> {
    const { clock, hub } = this.#parts
    const began = clock.now()
    const result = hub.jwt(params)
    const drop = (): boolean => this.#tokens.delete(key)
    // Provisional, so that many who ask at once are one question; its real half-life once the token is there.
    this.#remember(key, { result, until: began + MAX_RETRY_MS })
    result.then(
      ({ expires }) =>
        this.#tokens.has(key) && this.#remember(key, { result, until: began + (expires - began) / 2 }),
      drop,
    )
    return result
  }

  #remember(key: string, token: CachedToken): void {
    this.#tokens.delete(key)
    const [oldest] = this.#tokens.keys()
    if (this.#tokens.size >= MAX_TOKENS && oldest !== undefined) this.#tokens.delete(oldest)
    this.#tokens.set(key, token)
  }

  #renew(): Promise<HeldSvid> {
    this.#renewing ??= this.#fetch().finally(() => {
      this.#renewing = undefined
    })
    return this.#renewing
  }

  async #fetch(): Promise<HeldSvid> {
    let held: HeldSvid
    try {
      held = await this.#ask()
      this.#id = held.id
      this.#requireAllowed()
      this.#held = held
      this.#failures = 0
      this.#rest = undefined
    } catch (error) {
      this.#failures += 1
      // What may pass is asked for again soon; who is refused has to wait longer each time.
      const restMs = isRefusal(error) ? this.#backoffMs() : RETRY_MS
      this.#rest = { error, untilNs: this.#parts.clock.monotonicNs() + BigInt(restMs) * 1_000_000n }
      if (isRefusal(error)) this.#refuse(error)
      else this.#plan()
      throw error
    }
    this.#plan()
    for (const watcher of this.#watchers) watcher.changed()
    return held
  }

  async #ask(): Promise<HeldSvid> {
    const { proc, clock, hub } = this.#parts
    const keys = generateP256()
    const began = clock.now()
    const { svid } = await hub.svid({ proc, csr: encodeBase64url(createCsr(keys)) })
    const { id, chain, notAfter } = this.#prove(
      svid.map((der) => decodeBase64url(der, 'svid')),
      keys,
    )
    const key = keys.privateKey.export({ format: 'der', type: 'pkcs8' })
    // Half of its life, less up to a tenth of that: tasks that began together do not renew together.
    const renewAt = Math.floor(began + ((notAfter - began) / 2) * (1 - Math.random() / 10))
    return { id, chain, key, notAfter, renewAt }
  }

  /** A hub may only ever give a task its own name for its own key. */
  #prove(chain: readonly Uint8Array[], { spki }: P256KeyPair): Pick<HeldSvid, 'id' | 'chain' | 'notAfter'> {
    const { trust, clock } = this.#parts
    const svid = trust.validate(chain, clock.now())
    if (this.#isOwn(svid.id) && Buffer.compare(spkiOf(svid.publicKey), spki) === 0) return svid
    throw new ZtError('ZT-401-CERT', 'the certificate from the hub is not of this task and key', {
      details: { reason: 'issued' },
    })
  }

  #isOwn(id: SpiffeId): boolean {
    if (this.#id !== undefined) return id === this.#id
    const principal = principalOf(id)
    return principal.kind === 'agent' && principal.task === this.proc
  }

  #backoffMs(): number {
    return Math.min(MAX_RETRY_MS, RETRY_MS * 2 ** Math.min(this.#failures, 5))
  }

  #plan(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    if (this.#watchers.size === 0 || this.#ended !== undefined) return
    const { clock, logger, proc } = this.#parts
    const due = this.#held === undefined ? 0 : this.#held.renewAt - clock.now()
    const delay = Math.max(due, this.#failures === 0 ? 0 : this.#backoffMs())
    this.#timer = clock.after(delay, () => {
      this.#renew().catch((error: unknown) =>
        logger.warn('the svid of a task could not be renewed', { proc, error }),
      )
    })
  }
}
