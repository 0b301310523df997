// Which intermediates issue now. Steps from rung to rung by the clock alone; past the last one it issues nothing.
import { ZtError } from '#shared/errors/error.ts'
import type { Issuer } from './issue.ts'
import { ALARM_RUNGS, type Slot } from './ladder-request.ts'

/** An intermediate, and the root that signed it. */
export interface RungIssuer extends Issuer {
  /** lower-case hex SHA-256 of the root's DER */
  readonly root: string
}

export interface Rung extends Slot {
  readonly workload: RungIssuer
  readonly infra: RungIssuer
}

export interface LadderStatus {
  /** rungs from now on without a gap, the current one included */
  readonly remaining: number
  /** true below three: run a ladder ceremony */
  readonly alarm: boolean
  /** index of the current rung; absent: nothing can be issued now */
  readonly current?: number
  /** index of the rung after it, which will be seen in chains next */
  readonly next?: number
  /** UTC, milliseconds: when issuing ends without another ceremony */
  readonly until?: number
}

export class Ladder {
  /** the latest ceremony's first */
  readonly #rungs: readonly Rung[]

  /** `rungs` in the order of their ceremonies: a later one takes precedence over those before it. */
  constructor(rungs: readonly Rung[]) {
    this.#rungs = rungs.toReversed()
  }

  /** The rung whose slot holds `now` (milliseconds); ZT-503-LADDER if there is none. */
  current(now: number): Rung {
    const rung = this.#find(now)
    if (rung === undefined)
      throw new ZtError('ZT-503-LADDER', 'the ladder has no intermediate for this moment')
    return rung
  }

  status(now: number): LadderStatus {
    const ahead = this.ahead(now)
    const [current, next] = ahead
    const last = ahead.at(-1)
    return {
      remaining: ahead.length,
      alarm: ahead.length < ALARM_RUNGS,
      ...(current === undefined ? {} : { current: current.index }),
      ...(next === undefined ? {} : { next: next.index }),
      ...(last === undefined ? {} : { until: last.until }),
    }
  }

  /** The rungs that will issue from `now` on, one after the other without a gap, the current one first. */
  ahead(now: number): readonly Rung[] {
    const found: Rung[] = []
    let rung = this.#find(now)
    while (rung !== undefined) {
      found.push(rung)
      rung = this.#find(rung.until)
    }
    return found
  }

  #find(now: number): Rung | undefined {
    return this.#rungs.find((rung) => rung.from <= now && now < rung.until)
  }
}
