// Challenges are given out without being remembered: what one is about is sealed into its session, under a key of this
// start of the hub. So strangers can fill nothing by asking. Each lives 60 seconds and is answered once; a restart voids
// them all, and the other side starts again.
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'

export const CHALLENGE_LIFE_MS = 60_000

const CIPHER = 'aes-256-gcm'
const IV_BYTES = 12
const TAG_BYTES = 16
export interface ChallengeLimits {
  /** admissions of a minute: far more than one hub can make */
  readonly used: number
  /** Strangers make these; one that is forgotten early could be answered again, by who has a proof now. */
  readonly refused: number
}

export interface ChallengeOptions {
  readonly limits?: ChallengeLimits
  /** 32 bytes under which no other object seals; drawn for this start of the hub unless given */
  readonly key?: Uint8Array
}

const LIMITS: ChallengeLimits = { used: 200_000, refused: 20_000 }
const KEY_BYTES = 32

export interface Challenge<T> {
  /** base64url, opaque to whoever holds it */
  readonly session: string
  readonly about: T
  readonly created: number
  readonly expires: number
}

interface Sealed<T> {
  readonly about: T
  readonly created: number
}

/** `T`, which must be plain JSON, is what the challenge is about as it was when it was given out. */
export class Challenges<T> {
  readonly #clock: Clock
  readonly #limits: ChallengeLimits
  readonly #key: Uint8Array
  #count = 0
  /** initialisation vector to when it was used, oldest first: those in use or used with success, and those refused */
  readonly #used = new Map<string, number>()
  readonly #refused = new Map<string, number>()

  constructor(clock: Clock, { limits = LIMITS, key = randomBytes(KEY_BYTES) }: ChallengeOptions = {}) {
    this.#clock = clock
    this.#limits = limits
    this.#key = key
  }

  open(about: T): Challenge<T> {
    const created = this.#clock.now()
    return { session: this.#seal({ about, created }), about, created, expires: created + CHALLENGE_LIFE_MS }
  }

  /**
   * Lets `work` answer the challenge, which is used up by that, whatever comes of it. Rejects with ZT-401-NONCE if it is
   * unknown, used or expired; ZT-429-RATE; and what `work` rejects with. Answers that held are remembered all; those
   * that were refused only up to a bound, so that nobody without a proof can keep out those with one.
   */
  async use<R>(session: string, work: (challenge: Challenge<T>) => Promise<R>): Promise<R> {
    const { iv, about, created } = this.#open(session)
    const now = this.#clock.now()
    const expires = created + CHALLENGE_LIFE_MS
    forgetOld(this.#used, now)
    forgetOld(this.#refused, now)
    if (now >= expires || this.#used.has(iv) || this.#refused.has(iv)) throw voidChallenge()
    if (this.#used.size >= this.#limits.used) throw new ZtError('ZT-429-RATE', 'too many admissions at once')
    this.#used.set(iv, now)
    try {
      return await work({ session, about, created, expires })
    } catch (error) {
      this.#used.delete(iv)
      this.#refuse(iv, now)
      throw error
    }
  }

  #refuse(iv: string, now: number): void {
    this.#refused.set(iv, now)
    if (this.#refused.size <= this.#limits.refused) return
    const [oldest] = this.#refused.keys()
    if (oldest !== undefined) this.#refused.delete(oldest)
  }

  #seal(content: Sealed<T>): string {
    // A number is never repeated under one key, which is what GCM asks of it; the key ends with this object.
    const iv = Buffer.alloc(IV_BYTES)
    this.#count += 1
    iv.writeBigUInt64BE(BigInt(this.#count), IV_BYTES - 8)
    const cipher = createCipheriv(CIPHER, this.#key, iv)
    const body = Buffer.concat([cipher.update(JSON.stringify(content)), cipher.final()])
    return encodeBase64url(Buffer.concat([iv, body, cipher.getAuthTag()]))
  }

  #open(session: string): Sealed<T> & { readonly iv: string } {
    const bytes = Buffer.from(decodeBase64url(session, 'session'))
    if (bytes.length <= IV_BYTES + TAG_BYTES) throw voidChallenge()
    const iv = bytes.subarray(0, IV_BYTES)
    const decipher = createDecipheriv(CIPHER, this.#key, iv, { authTagLength: TAG_BYTES })
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES))
    const plain = [decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES))]
    try {
      plain.push(decipher.final())
    } catch {
      throw voidChallenge()
    }
    // Our own words: nobody else has the key.
    const content = JSON.parse(Buffer.concat(plain).toString()) as Sealed<T>
    return { ...content, iv: iv.toString('hex') }
  }
}

// In order of use, or nearly: what was used a life ago has expired.
function forgetOld(used: Map<string, number>, now: number): void {
  for (const [iv, at] of used) {
    if (now - at < CHALLENGE_LIFE_MS) return
    used.delete(iv)
  }
}

function voidChallenge(): ZtError {
  return new ZtError('ZT-401-NONCE', 'the challenge is unknown, used or expired')
}
