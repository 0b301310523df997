// ztctl in this process, with buffers where a terminal would be.
import { ztctl } from '#ops/ztctl/ztctl.ts'
import type { Io, TextSink } from '#ops/ztctl/io.ts'
import { systemClock } from '#shared/host/clock.ts'

export interface Said {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

/** A sink that remembers what was written to it. */
export function memorySink(): TextSink & { readonly text: () => string } {
  const chunks: Buffer[] = []
  return {
    write: (chunk: string | Uint8Array, done?: () => void) => {
      chunks.push(Buffer.from(chunk as string))
      done?.()
      return true
    },
    text: () => Buffer.concat(chunks).toString(),
  }
}

/** Runs one command line with this environment and nothing else of the machine's. */
export async function say(argv: readonly string[], options: Partial<Io> = {}): Promise<Said> {
  const stdout = memorySink()
  const stderr = memorySink()
  const io: Io = { env: {}, clock: systemClock, stdout, stderr, onSignal: () => () => undefined, ...options }
  return { status: await ztctl(argv, io), stdout: stdout.text(), stderr: stderr.text() }
}
