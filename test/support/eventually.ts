// Waiting in tests: for a condition, never for a time.
import { setTimeout as delay } from 'node:timers/promises'

const LOOK_EVERY_MS = 20

/** What `look` finds, once it finds something; fails after the deadline, naming what was waited for. */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined> | T | undefined,
  deadlineMs: number = 20_000,
): Promise<T> {
  const deadline = performance.now() + deadlineMs
  for (;;) {
    const found = await look()
    if (found !== undefined) return found
    if (performance.now() > deadline) throw new Error(`not within ${deadlineMs} ms: ${what}`)
    await delay(LOOK_EVERY_MS)
  }
}
