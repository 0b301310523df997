// What ^C means to a process that is being followed: first ask it to stop, then end it, then let go of it.

export type InterruptAction = 'interrupt' | 'kill' | 'detach'

const ESCALATION_MS = 2_000

export class Interrupts {
  #count = 0
  #last = -Infinity

  /** The meaning of one more ^C at `now` (milliseconds): a pause of 2 s begins again. */
  next(now: number): InterruptAction {
    this.#count = now - this.#last <= ESCALATION_MS ? this.#count + 1 : 1
    this.#last = now
    if (this.#count === 1) return 'interrupt'
    return this.#count === 2 ? 'kill' : 'detach'
  }
}
