// Output to our own stdout and stderr, byte for byte, kept apart, at the reader's pace.
import type { Io, TextSink } from '../io.ts'
import { remark } from '../output/report-error.ts'
import type { OutputSink, StreamName } from './follower.ts'

const NOTHING = Promise.resolve()

/** Passes everything on. */
export function pipeSink(io: Io, only?: StreamName): OutputSink {
  return {
    data: (stream, bytes) => (only === undefined || stream === only ? write(io[stream], bytes) : NOTHING),
    replayed: () => NOTHING,
    remark: (text) => remark(text, io),
  }
}

/** Passes on the last `lines` lines of what was there when the following began, and everything after that. */
export function tailSink(io: Io, lines: number, only?: StreamName): OutputSink {
  const sink = pipeSink(io, only)
  const tail = new Tail(lines)
  let replaying = true
  return {
    ...sink,
    async data(stream, bytes) {
      if (!replaying) await sink.data(stream, bytes)
      else if (only === undefined || stream === only) tail.add(stream, bytes)
    },
    async replayed() {
      replaying = false
      for (const { stream, bytes } of tail.take()) await sink.data(stream, bytes)
    },
  }
}

interface Line {
  readonly stream: StreamName
  readonly bytes: Uint8Array
}

const LINE_FEED = 0x0a

/** The last lines over both streams, in the order in which they were completed. */
export class Tail {
  readonly #most: number
  readonly #open: Record<StreamName, Uint8Array> = { stdout: new Uint8Array(), stderr: new Uint8Array() }
  #lines: Line[] = []

  constructor(most: number) {
    this.#most = most
  }

  add(stream: StreamName, bytes: Uint8Array): void {
    const all = Buffer.concat([this.#open[stream], bytes])
    let start = 0
    for (let end = all.indexOf(LINE_FEED); end !== -1; end = all.indexOf(LINE_FEED, start)) {
      this.#push({ stream, bytes: all.subarray(start, end + 1) })
      start = end + 1
    }
    this.#open[stream] = Buffer.from(all.subarray(start))
  }

  /** The lines, with those that have no end yet. */
  take(): readonly Line[] {
    for (const stream of ['stdout', 'stderr'] as const) {
      if (this.#open[stream].length > 0) this.#push({ stream, bytes: this.#open[stream] })
    }
    return this.#lines.slice(Math.max(0, this.#lines.length - this.#most))
  }

  #push(line: Line): void {
    this.#lines.push(line)
    // Cut now and then, so that a long log costs neither its own length nor a shift for each line.
    if (this.#lines.length > 2 * this.#most + 1024)
      this.#lines = this.#lines.slice(-this.#most || this.#lines.length)
  }
}

function write(sink: TextSink, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    sink.write(bytes, () => resolve())
  })
}
