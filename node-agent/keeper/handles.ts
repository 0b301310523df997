// Open programs that an agent has prepared and not yet started: held for a minute, for one connection, for one use.
import { randomBytes } from 'node:crypto'
import { ZtError } from '#shared/errors/error.ts'
import type { Clock, Timer } from '#shared/host/clock.ts'
import type { OpenExecutable } from './exe.ts'
import type { PrepareRequest } from './protocol.ts'

export interface PreparedExecutable {
  readonly exe: OpenExecutable
  readonly request: PrepareRequest
}

interface Held extends PreparedExecutable {
  readonly owner: object
  readonly timer: Timer
}

export const HANDLE_LIFE_MS = 60_000
const MAX_PER_OWNER = 256

export class Handles {
  readonly #held = new Map<string, Held>()
  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Errors: ZT-429-RATE if this owner holds too many already; the program is closed then. */
  add(owner: object, prepared: PreparedExecutable): string {
    if ([...this.#held.values()].filter((held) => held.owner === owner).length >= MAX_PER_OWNER) {
      prepared.exe.close()
      throw new ZtError('ZT-429-RATE', 'too many prepared programs are waiting to be started')
    }
    const handle = randomBytes(16).toString('base64url')
    const timer = this.#clock.after(HANDLE_LIFE_MS, () => this.release(owner, handle))
    this.#held.set(handle, { ...prepared, owner, timer })
    return handle
  }

  /** Hands it over: whoever takes it closes it. Errors: ZT-412-FACT with details.fact "handle" if there is none. */
  take(owner: object, handle: string): PreparedExecutable {
    const held = this.#remove(owner, handle)
    if (held !== undefined) return held
    throw new ZtError('ZT-412-FACT', 'the prepared program is not held any more', {
      details: { fact: 'handle' },
    })
  }

  release(owner: object, handle: string): void {
    this.#remove(owner, handle)?.exe.close()
  }

  releaseAll(owner: object): void {
    const own = [...this.#held].filter(([, held]) => held.owner === owner)
    for (const [handle] of own) this.release(owner, handle)
  }

  #remove(owner: object, handle: string): Held | undefined {
    const held = this.#held.get(handle)
    if (held === undefined || held.owner !== owner) return undefined
    this.#held.delete(handle)
    held.timer.cancel()
    return held
  }
}
