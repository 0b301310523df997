// A running tree of processes, named by the first one: the init of a pid namespace. Signals reach every member, also
// one that called setsid or forked twice; KILL of the first is KILL of all, by the kernel (pid_namespaces(7)).
import { kill as sendSignal } from 'node:process'
import { sleep, type Clock } from '#shared/host/clock.ts'
import type { KillSignal } from '#shared/protocol/command.ts'
import { hasEnded, membersOf, type ProcStat } from './process-tree.ts'
import type { FirstProcess } from './status-channel.ts'

// A member can fork while it is being signalled; each pass finds the children of the last.
const PASSES = 4
const FIRST_POLL_MS = 1
const LAST_POLL_MS = 20

export class Tree {
  readonly pid: number
  /** clock ticks since the start of the machine, of the first process */
  readonly started: string
  readonly #namespace: number

  constructor(first: FirstProcess, started: string) {
    this.pid = first.pid
    this.started = started
    this.#namespace = first.namespace
  }

  get ended(): boolean {
    return hasEnded(this.pid, this.started)
  }

  /** Everything that was started in it and runs now; not bubblewrap's init itself. */
  members(): ProcStat[] {
    return membersOf(this.#namespace).filter(({ pid }) => pid !== this.pid)
  }

  /** Sends a signal once to every member. */
  signal(signal: KillSignal): void {
    const reached = new Set<string>()
    for (let pass = 0; pass < PASSES; pass += 1) {
      const fresh = this.members().filter(({ pid, started }) => !reached.has(`${pid}:${started}`))
      if (fresh.length === 0) return
      for (const { pid, started } of fresh) {
        reached.add(`${pid}:${started}`)
        trySignal(pid, signal)
      }
    }
  }

  /** Ends all of it at once; nothing in it can prevent that. */
  kill(): void {
    if (!this.ended) trySignal(this.pid, 'KILL')
  }

  /**
   * Resolves when no process of it exists any more: the first ends last. To be called when bubblewrap itself has
   * ended, which takes the first with it (--die-with-parent); if it could not, that is done here.
   */
  async gone(clock: Clock): Promise<void> {
    for (let delayMs = FIRST_POLL_MS; !this.ended; delayMs = Math.min(delayMs * 2, LAST_POLL_MS)) {
      await sleep(clock, delayMs)
      if (delayMs >= LAST_POLL_MS) this.kill()
    }
  }
}

/** KILL for one process, resolved when it is gone. */
export async function killAndWait(process: { pid: number; started: string }, clock: Clock): Promise<void> {
  while (!hasEnded(process.pid, process.started)) {
    trySignal(process.pid, 'KILL')
    await sleep(clock, LAST_POLL_MS)
  }
}

function trySignal(pid: number, signal: KillSignal): void {
  try {
    sendSignal(pid, `SIG${signal}`)
  } catch (cause) {
    // It ended in between, which is what the signal was for.
    if (!(cause instanceof Error && 'code' in cause && cause.code === 'ESRCH')) throw cause
  }
}
