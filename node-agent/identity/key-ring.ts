// The private keys to which messages for this node may be sealed: that of the identity in force, and those before it for
// as long as a message sealed to them could still be in time. In memory only.
import type { KeyObject } from 'node:crypto'

import type { Clock } from '#shared/host/clock.ts'
import type { X25519KeyPair } from '#shared/jose/keys.ts'
import { encKeyId } from '#shared/protocol/enc-key.ts'

/** A message lives 60 s at most, from a sender whose clock may be 30 s behind. */
const LINGER_MS = 90_000

export class KeyRing {
  readonly #clock: Clock
  readonly #keys = new Map<string, { readonly key: KeyObject; readonly untilMs: number }>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** `notAfterMs`: when senders stop sealing to it. */
  add(pair: X25519KeyPair, notAfterMs: number): void {
    this.#dropEnded()
    this.#keys.set(encKeyId(pair.publicKey), { key: pair.privateKey, untilMs: notAfterMs + LINGER_MS })
  }

  find(kid: string): KeyObject | undefined {
    const held = this.#keys.get(kid)
    return held !== undefined && this.#clock.now() < held.untilMs ? held.key : undefined
  }

  #dropEnded(): void {
    const now = this.#clock.now()
    for (const [kid, { untilMs }] of this.#keys) if (untilMs <= now) this.#keys.delete(kid)
  }
}
