// One process's output on disk: a file for every `segmentBytes` of a stream, named by its number, so that an offset
// finds its file. Bounded: the oldest segment goes when a new one would be too many, and who reads there learns of
// the gap. The keeper alone writes; the agent reads the files by itself, also while they grow.
import { open, readdir, stat, unlink, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import type { ProcId } from '#shared/identity/names.ts'
import type { Stream } from './protocol.ts'
import { isFinished, procDir, readRecord } from './record.ts'

export interface OutputLimits {
  /** per stream */
  readonly maxBytes: number
  readonly segmentBytes: number
}

export const DEFAULT_OUTPUT_LIMITS: OutputLimits = {
  maxBytes: 64 * 1024 * 1024,
  segmentBytes: 8 * 1024 * 1024,
}

const NOTHING = Buffer.alloc(0)

function segmentName(stream: Stream, index: number): string {
  return `${stream}.${index}`
}

/** Appends one stream. `write` resolves when the bytes are in the file: awaiting it is the back-pressure. */
export class OutputWriter {
  readonly #dir: string
  readonly #stream: Stream
  readonly #limits: OutputLimits
  #file: FileHandle | undefined
  #index = -1
  #size = 0

  constructor(dir: string, stream: Stream, limits: OutputLimits) {
    this.#dir = dir
    this.#stream = stream
    this.#limits = limits
  }

  /** bytes ever written */
  get size(): number {
    return this.#size
  }

  /** Rejects with the system's error if the disk refuses; what was written until then counts, so a retry goes on. */
  async write(data: Uint8Array): Promise<void> {
    let rest = data
    while (rest.length > 0) {
      const room = this.#limits.segmentBytes - (this.#size % this.#limits.segmentBytes)
      const file = await this.#segment(Math.floor(this.#size / this.#limits.segmentBytes))
      const { bytesWritten } = await file.write(rest, 0, Math.min(room, rest.length))
      this.#size += bytesWritten
      rest = rest.subarray(bytesWritten)
    }
  }

  async close(): Promise<void> {
    await this.#file?.close()
    this.#file = undefined
  }

  async #segment(index: number): Promise<FileHandle> {
    if (this.#file !== undefined && this.#index === index) return this.#file
    await this.close()
    await this.#drop(index - Math.max(1, Math.floor(this.#limits.maxBytes / this.#limits.segmentBytes)))
    this.#file = await open(join(this.#dir, segmentName(this.#stream, index)), 'a', 0o600)
    this.#index = index
    return this.#file
  }

  async #drop(index: number): Promise<void> {
    if (index >= 0) await unlink(join(this.#dir, segmentName(this.#stream, index)))
  }
}

export interface OutputChunk {
  /** empty: nothing there yet, or the end */
  readonly data: Buffer
  /** of the first byte of `data`; behind the one that was asked for if there is a gap */
  readonly offset: number
  /** bytes that are gone for good: from, and up to but without */
  readonly gap?: { readonly from: number; readonly to: number }
  /** the process has ended and nothing comes after `data` */
  readonly end: boolean
}

export interface OutputReader {
  /** At most `maxBytes` bytes from `offset` on; never waits for more to be written. */
  read(stream: Stream, offset: number, maxBytes: number): Promise<OutputChunk>
  close(): Promise<void>
}

/** Reads the output of a process below the agent's state folder, from its start or anywhere else, while it runs or after. */
export function openOutput(stateDir: string, proc: ProcId): OutputReader {
  return new FileOutputReader(stateDir, proc)
}

class FileOutputReader implements OutputReader {
  readonly #stateDir: string
  readonly #proc: ProcId
  readonly #open = new Map<Stream, { readonly index: number; readonly file: FileHandle }>()
  #segmentBytes: number | undefined

  constructor(stateDir: string, proc: ProcId) {
    this.#stateDir = stateDir
    this.#proc = proc
  }

  async read(stream: Stream, offset: number, maxBytes: number): Promise<OutputChunk> {
    const known = await this.#readSegment(stream, offset, maxBytes)
    if (known !== undefined && known.data.length > 0) return known
    // Looked at before the second reading: had it ended by then, that reading has everything.
    const record = readRecord(this.#stateDir, this.#proc)
    const again = await this.#readSegment(stream, offset, maxBytes)
    if (again !== undefined && again.data.length > 0) return again
    const first = await this.#firstKept(stream)
    if (first !== undefined && first > offset) {
      const rest = await this.read(stream, first, maxBytes)
      return { ...rest, gap: { from: offset, to: rest.offset } }
    }
    const end = record === undefined || isFinished(record)
    const size = record?.output[stream] ?? 0
    // All of it was dropped: its retention ended before the record's did.
    if (end && size > offset) return { data: NOTHING, offset: size, gap: { from: offset, to: size }, end }
    return { data: NOTHING, offset, end }
  }

  async close(): Promise<void> {
    for (const { file } of this.#open.values()) await file.close()
    this.#open.clear()
  }

  async #readSegment(stream: Stream, offset: number, maxBytes: number): Promise<OutputChunk | undefined> {
    const size = this.#sizeOfSegments()
    if (size === undefined) return undefined
    const file = await this.#segment(stream, Math.floor(offset / size))
    if (file === undefined) return undefined
    const inside = offset % size
    const data = Buffer.allocUnsafe(Math.min(maxBytes, size - inside))
    const { bytesRead } = await file.read(data, 0, data.length, inside)
    return { data: data.subarray(0, bytesRead), offset, end: false }
  }

  #sizeOfSegments(): number | undefined {
    this.#segmentBytes ??= readRecord(this.#stateDir, this.#proc)?.output.segmentBytes
    return this.#segmentBytes
  }

  /** A file that was dropped while it is open here can still be read: a slow reader finishes its segment. */
  async #segment(stream: Stream, index: number): Promise<FileHandle | undefined> {
    const current = this.#open.get(stream)
    if (current?.index === index) return current.file
    await current?.file.close()
    this.#open.delete(stream)
    try {
      const file = await open(join(procDir(this.#stateDir, this.#proc), segmentName(stream, index)), 'r')
      this.#open.set(stream, { index, file })
      return file
    } catch (cause) {
      if (isMissing(cause)) return undefined
      throw cause
    }
  }

  /** Offset of the oldest byte on disk, or undefined if there is none. */
  async #firstKept(stream: Stream): Promise<number | undefined> {
    const size = this.#sizeOfSegments()
    const indexes = await segmentIndexes(procDir(this.#stateDir, this.#proc), stream)
    return size === undefined || indexes.length === 0 ? undefined : Math.min(...indexes) * size
  }
}

async function segmentIndexes(dir: string, stream: Stream): Promise<number[]> {
  const pattern = new RegExp(`^${stream}\\.(0|[1-9][0-9]{0,9})$`)
  const names = await readdir(dir).catch((cause: unknown) => {
    // Its retention ended while somebody was reading.
    if (isMissing(cause)) return []
    throw cause
  })
  return names.flatMap((name) => {
    const index = pattern.exec(name)?.[1]
    return index === undefined ? [] : [Number(index)]
  })
}

function isMissing(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && cause.code === 'ENOENT'
}

/** Bytes ever written to a stream, from the files alone: for a process whose keeper could not say. */
export async function sizeOnDisk(dir: string, stream: Stream, segmentBytes: number): Promise<number> {
  const last = Math.max(-1, ...(await segmentIndexes(dir, stream)))
  if (last < 0) return 0
  return last * segmentBytes + (await stat(join(dir, segmentName(stream, last)))).size
}

/** Removes what is kept of both streams; the record stays. */
export async function dropOutput(dir: string): Promise<void> {
  for (const stream of ['stdout', 'stderr'] as const) {
    for (const index of await segmentIndexes(dir, stream)) await unlink(join(dir, segmentName(stream, index)))
  }
}
