// Takes work of many senders in turns, one of each: however slow the hub is at the moment and however much one sender has
// sent, the others wait for one turn of it. It sheds load and protects nothing else: who a sender is, is a subject's word.
import type { Clock } from '#shared/host/clock.ts'

export interface FairQueueParts<T> {
  readonly clock: Clock
  /** Does one item; never rejects. */
  readonly work: (item: T) => Promise<void>
}

interface Sender<T> {
  readonly waiting: T[]
  underway: number
}

/** Waiting of one sender: a burst that is within its rate. */
const MAX_WAITING = 400
/** Waiting in all, beyond which a sender has room for one item. */
const MAX_TOTAL = 8192
/** Under way of one sender at once: what is opened still costs its answer. */
const MAX_UNDERWAY = 16
// Then what has come in meanwhile is sorted in first, so that its senders have their turns too.
const SLICE_NS = 5_000_000n

export class FairQueue<T> {
  readonly #parts: FairQueueParts<T>
  readonly #senders = new Map<string, Sender<T>>()
  /** in the order of their turns: those that have something waiting and may have more under way */
  readonly #turns = new Set<string>()
  #total = 0
  #scheduled = false

  constructor(parts: FairQueueParts<T>) {
    this.#parts = parts
  }

  /** False if the item is dropped: this sender has too much waiting. */
  offer(sender: string, item: T): boolean {
    const held = this.#senders.get(sender) ?? { waiting: [], underway: 0 }
    const { length } = held.waiting
    if (length >= MAX_WAITING || (length > 0 && this.#total >= MAX_TOTAL)) return false
    held.waiting.push(item)
    this.#total += 1
    this.#senders.set(sender, held)
    this.#line(sender, held)
    return true
  }

  #line(name: string, { waiting, underway }: Sender<T>): void {
    if (waiting.length > 0 && underway < MAX_UNDERWAY) this.#turns.add(name)
    else this.#turns.delete(name)
    if (this.#scheduled || this.#turns.size === 0) return
    this.#scheduled = true
    // Not at once: all that one read of the socket has brought is sorted in first.
    setImmediate(() => this.#run())
  }

  #run(): void {
    const end = this.#parts.clock.monotonicNs() + SLICE_NS
    this.#scheduled = false
    for (const name of this.#turns) {
      // Behind the others, if it has a next turn: the loop comes to it again.
      this.#turns.delete(name)
      this.#takeTurn(name)
      if (this.#parts.clock.monotonicNs() >= end) return
    }
  }

  #takeTurn(name: string): void {
    const sender = this.#senders.get(name)
    const item = sender?.waiting.shift()
    if (sender === undefined || item === undefined) return
    this.#total -= 1
    sender.underway += 1
    void this.#parts.work(item).finally(() => {
      sender.underway -= 1
      if (sender.underway === 0 && sender.waiting.length === 0) this.#senders.delete(name)
      this.#line(name, sender)
    })
    this.#line(name, sender)
  }
}
