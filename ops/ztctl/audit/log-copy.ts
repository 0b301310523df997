// A copy of a log in one text file: a line of JSON that says whose it is, with every signed head, then one line of
// base64 an entry. It proves nothing by itself: the keys in it are a hint, and whoever verifies brings keys along.
import { closeSync, openSync, readSync, writeSync } from 'node:fs'
import { decodeBase64, encodeBase64 } from '#shared/encoding/base64url.ts'
import { array, literal, object, string, type Parser } from '#shared/encoding/shape.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { ZtError } from '#shared/errors/error.ts'
import { noteField, originField } from '#shared/protocol/fields.ts'

export interface LogCopyHead {
  readonly origin: string
  /** the key that whoever made the copy verified it with */
  readonly vkey: string
  readonly checkpoints: readonly string[]
}

const MAX_LINE = 1024 * 1024
const CHUNK = 256 * 1024
const LINE_FEED = 0x0a

const parseHead: Parser<LogCopyHead & { readonly apiVersion: string; readonly kind: string }> = object({
  apiVersion: literal('ztmesh/v1'),
  kind: literal('LogCopy'),
  origin: originField,
  vkey: string({ min: 1, max: 512 }),
  checkpoints: array(noteField, { max: 10_000 }),
})

/** Writes a new copy, mode 0600; EEXIST if the file is there. */
export class LogCopyWriter {
  readonly #file: number

  constructor(path: string, head: LogCopyHead) {
    this.#file = openSync(path, 'wx', 0o600)
    writeSync(this.#file, `${JSON.stringify({ apiVersion: 'ztmesh/v1', kind: 'LogCopy', ...head })}\n`)
  }

  add(entry: Uint8Array): void {
    writeSync(this.#file, `${encodeBase64(entry)}\n`)
  }

  close(): void {
    closeSync(this.#file)
  }
}

export interface LogCopy {
  readonly head: LogCopyHead
  readonly entries: Iterable<Uint8Array>
}

/** Reads a copy; entries come as they are asked for. Errors: ZT-490-UNVERIFIABLE. */
export function openLogCopy(path: string): LogCopy {
  const lines = readLines(path)
  const first = lines.next()
  if (first.done === true) throw unreadable(path, 'is empty')
  try {
    const { origin, vkey, checkpoints } = parseHead(parseStrictJson(first.value, { maxBytes: MAX_LINE }), '')
    return { head: { origin, vkey, checkpoints }, entries: entriesOf(lines, path) }
  } catch (cause) {
    throw unreadable(path, 'is not a copy of a log', cause)
  }
}

function* entriesOf(lines: Iterable<Uint8Array>, path: string): Generator<Uint8Array> {
  for (const line of lines) {
    try {
      yield decodeBase64(Buffer.from(line).toString('latin1'), 'entry')
    } catch (cause) {
      throw unreadable(path, 'has a line that is no entry', cause)
    }
  }
}

function* readLines(path: string): Generator<Uint8Array> {
  const file = open(path)
  try {
    let rest = Buffer.alloc(0)
    for (const chunk of chunksOf(file)) {
      rest = Buffer.concat([rest, chunk])
      for (let end = rest.indexOf(LINE_FEED); end !== -1; end = rest.indexOf(LINE_FEED)) {
        yield rest.subarray(0, end)
        rest = rest.subarray(end + 1)
      }
      if (rest.length > MAX_LINE) throw unreadable(path, 'has a line that is too long')
    }
    if (rest.length > 0) throw unreadable(path, 'ends inside a line')
  } finally {
    closeSync(file)
  }
}

function* chunksOf(file: number): Generator<Buffer> {
  for (;;) {
    const chunk = Buffer.alloc(CHUNK)
    const length = readSync(file, chunk, 0, CHUNK, null)
    if (length === 0) return
    yield chunk.subarray(0, length)
  }
}

function open(path: string): number {
  try {
    return openSync(path, 'r')
  } catch (cause) {
    throw unreadable(path, 'cannot be opened', cause)
  }
}

function unreadable(path: string, what: string, cause?: unknown): ZtError {
  return new ZtError('ZT-490-UNVERIFIABLE', `${path} ${what}`, { cause })
}
