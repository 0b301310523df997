// Challenges that were given out and not yet answered: each lives 60 seconds and is taken once. They are in memory only,
// so a restart of the hub voids them all, and the other side starts again.
import { randomBytes } from 'node:crypto'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'

export const CHALLENGE_LIFE_MS = 60_000

const MAX_OUTSTANDING = 20_000
const MAX_PER_PEER = 256
const MAX_PER_SUBJECT = 64

export interface Challenge<T> {
  /** 128 random bits, base64url */
  readonly session: string
  readonly about: T
  readonly created: number
  readonly expires: number
}

interface Held<T> extends Challenge<T> {
  readonly peer: string
  readonly subject: string
}

/** `T` is what the challenge is about, as it was when it was given out. */
export class Challenges<T> {
  readonly #clock: Clock
  readonly #held = new Map<string, Held<T>>()
  // The newest few of a subject and peer address count. Of the address as well: a stranger elsewhere who asks in a
  // node's name would otherwise void the node's own challenges for ever.
  readonly #current = new Map<string, readonly string[]>()
  readonly #perPeer = new Map<string, number>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Gives out a challenge; the oldest of too many for one subject is void. Throws ZT-429-RATE over all limits. */
  open(about: T, from: { readonly peer: string; readonly subject: string }): Challenge<T> {
    this.#forgetExpired()
    const key = JSON.stringify([from.peer, from.subject])
    const current = this.#current.get(key) ?? []
    if (current.length >= MAX_PER_SUBJECT) this.#drop(current[0])
    if (this.#held.size >= MAX_OUTSTANDING || (this.#perPeer.get(from.peer) ?? 0) >= MAX_PER_PEER)
      throw new ZtError('ZT-429-RATE', 'too many challenges are outstanding')
    const session = encodeBase64url(randomBytes(16))
    const created = this.#clock.now()
    const challenge = { session, about, created, expires: created + CHALLENGE_LIFE_MS, ...from }
    this.#held.set(session, challenge)
    this.#current.set(key, [...(this.#current.get(key) ?? []), session])
    this.#perPeer.set(from.peer, (this.#perPeer.get(from.peer) ?? 0) + 1)
    return challenge
  }

  /** Takes the challenge for good, whatever comes of it. Throws ZT-401-NONCE if it is unknown, used or expired. */
  take(session: string): Challenge<T> {
    const challenge = this.#held.get(session)
    this.#drop(session)
    if (challenge !== undefined && this.#clock.now() < challenge.expires) return challenge
    throw new ZtError('ZT-401-NONCE', 'the challenge is unknown, used or expired')
  }

  #drop(session: string | undefined): void {
    const challenge = session === undefined ? undefined : this.#held.get(session)
    if (challenge === undefined) return
    this.#held.delete(challenge.session)
    const key = JSON.stringify([challenge.peer, challenge.subject])
    const others = (this.#current.get(key) ?? []).filter((other) => other !== challenge.session)
    if (others.length === 0) this.#current.delete(key)
    else this.#current.set(key, others)
    const left = (this.#perPeer.get(challenge.peer) ?? 1) - 1
    if (left === 0) this.#perPeer.delete(challenge.peer)
    else this.#perPeer.set(challenge.peer, left)
  }

  // The map is in order of creation, and all live equally long.
  #forgetExpired(): void {
    const now = this.#clock.now()
    for (const challenge of this.#held.values()) {
      if (now < challenge.expires) return
      this.#drop(challenge.session)
    }
  }
}
