// bubblewrap's side channel: it says who its first process is, and at the end with what the program ended, but only if
// the program was ever executed (bwrap(1), --json-status-fd).
import type { Socket } from 'node:net'
import { JsonLines } from './lines.ts'

export interface FirstProcess {
  readonly pid: number
  /** inode number of the pid namespace whose init this is */
  readonly namespace: number
}

export interface StatusHandlers {
  /** The program is not executed yet; that waits for the gate. */
  onFirstProcess(first: FirstProcess): Promise<void>
  onExitCode(code: number): void
}

const MAX_LINE_BYTES = 16 * 1024

/** Resolves when bubblewrap has closed its side. */
export async function readStatus(channel: Socket, handlers: StatusHandlers): Promise<void> {
  const lines = new JsonLines(MAX_LINE_BYTES)
  try {
    for await (const chunk of channel) {
      for (const value of lines.push(chunk as Buffer)) await tell(value, handlers)
    }
  } finally {
    channel.destroy()
  }
}

async function tell(value: unknown, handlers: StatusHandlers): Promise<void> {
  if (typeof value !== 'object' || value === null) return
  const members = new Map(Object.entries<unknown>(value as Record<string, unknown>))
  const pid = members.get('child-pid')
  const namespace = members.get('pid-namespace')
  const code = members.get('exit-code')
  if (typeof pid === 'number' && typeof namespace === 'number')
    await handlers.onFirstProcess({ pid, namespace })
  if (typeof code === 'number') handlers.onExitCode(code)
}
