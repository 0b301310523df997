// Moves one pipe into its log. The next bytes are read only when the last are in the file, so a process that writes
// faster than the disk waits in its own write(2); it never waits for a reader.
import { Socket } from 'node:net'
import { sleep, type Clock } from '#shared/host/clock.ts'
import type { OutputWriter } from './output-log.ts'

const RETRY_MS = 250

export interface DrainOptions {
  readonly readFd: number
  readonly writer: OutputWriter
  readonly clock: Clock
  readonly onSize: (size: number) => void
}

export interface Drain {
  /** resolves when every writer has closed the pipe and all of it is in the log */
  readonly done: Promise<void>
  /** gives up on the rest */
  stop(): void
}

export function startDrain(options: DrainOptions): Drain {
  const pipe = new Socket({ fd: options.readFd, readable: true, writable: false })
  const stopped = new AbortController()
  return {
    done: moveAll(pipe, options, stopped.signal),
    stop: () => {
      stopped.abort()
      pipe.destroy()
    },
  }
}

async function moveAll(pipe: Socket, options: DrainOptions, stopped: AbortSignal): Promise<void> {
  try {
    for await (const chunk of pipe) await append(chunk as Buffer, options, stopped)
  } catch (cause) {
    if (!stopped.aborted) throw cause
  } finally {
    await options.writer.close()
  }
}

/** A full disk is waited for: the process stands still meanwhile, and a kill still works. */
async function append(
  chunk: Buffer,
  { writer, clock, onSize }: DrainOptions,
  stopped: AbortSignal,
): Promise<void> {
  const end = writer.size + chunk.length
  while (writer.size < end && !stopped.aborted) {
    try {
      await writer.write(chunk.subarray(chunk.length - (end - writer.size)))
    } catch {
      await sleep(clock, RETRY_MS, stopped)
    }
  }
  onSize(writer.size)
}
