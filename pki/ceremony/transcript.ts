// What happened in a ceremony, one line a step, each line bound to the one before it by its hash. The last hash stands
// for all of them: that is what witnesses sign and what is anchored.
import { open, type FileHandle } from 'node:fs/promises'
import { canonicalJson } from '#shared/encoding/canonical-json.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import { base64urlText, integer, object, record, string, type Parser } from '#shared/encoding/shape.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'

export type Facts = Readonly<Record<string, string>>

export interface TranscriptLine {
  readonly seq: number
  /** hash of the line before; 43 times "A" before the first */
  readonly prev: string
  /** RFC 3339, UTC */
  readonly at: string
  readonly step: string
  readonly facts: Facts
  /** base64url SHA-256 of the canonical JSON of the other fields */
  readonly hash: string
}

export interface TranscriptOptions {
  readonly file: string
  readonly clock: Clock
  /** told every step as it happens: the witness' line */
  readonly tell: (line: string) => void
}

const ZERO_HASH = 'A'.repeat(43)
const MAX_LINE_BYTES = 16 * 1024

const hash = base64urlText({ min: 32, max: 32 })
const parseLine: Parser<TranscriptLine> = object({
  seq: integer({ min: 0 }),
  prev: hash,
  at: string({ min: 24, max: 24 }),
  step: string({ min: 1, max: 64 }),
  facts: record(/^[a-zA-Z0-9]{1,32}$/, string({ max: 1024 }), { max: 32 }),
  hash,
})

export class Transcript {
  readonly #handle: FileHandle
  readonly #options: TranscriptOptions
  #seq = 0
  #head = ZERO_HASH

  private constructor(handle: FileHandle, options: TranscriptOptions) {
    this.#handle = handle
    this.#options = options
  }

  /** Creates the file, which must not exist (ZT-409-EXISTS). */
  static async create(options: TranscriptOptions): Promise<Transcript> {
    try {
      return new Transcript(await open(options.file, 'wx', 0o644), options)
    } catch (error) {
      throw new ZtError('ZT-409-EXISTS', 'the transcript exists already, or cannot be made', { cause: error })
    }
  }

  /** Hash of the last line. */
  get head(): string {
    return this.#head
  }

  /** Writes a step; it is on disk when this returns. A step that cannot be written must not be taken. */
  async write(step: string, facts: Facts = {}): Promise<void> {
    const body = {
      seq: this.#seq,
      prev: this.#head,
      at: new Date(this.#options.clock.now()).toISOString(),
      step,
      facts,
    }
    const line: TranscriptLine = { ...body, hash: sha256Text(canonicalJson(body)) }
    await this.#handle.write(`${canonicalJson(line)}\n`)
    await this.#handle.sync()
    this.#seq += 1
    this.#head = line.hash
    this.#options.tell(
      `${step}${Object.entries(facts)
        .map(([name, value]) => ` ${name}=${value}`)
        .join('')}`,
    )
  }

  async close(): Promise<void> {
    await this.#handle.close()
  }
}

/** The lines of a transcript that is whole and unchanged up to its last line; else ZT-422-CEREMONY naming the line. */
export function verifyTranscript(text: string): readonly TranscriptLine[] {
  const rows = text.split('\n')
  if (rows.pop() !== '') throw broken(rows.length, 'is cut short')
  let prev = ZERO_HASH
  return rows.map((row, at) => {
    const { hash: claimed, ...body } = readLine(row, at)
    if (body.seq !== at || body.prev !== prev) throw broken(at, 'does not follow the line before it')
    if (sha256Text(canonicalJson(body)) !== claimed) throw broken(at, 'was changed')
    prev = claimed
    return { ...body, hash: claimed }
  })
}

function readLine(row: string, at: number): TranscriptLine {
  try {
    const { facts, ...line } = parseLine(parseStrictJson(row, { maxBytes: MAX_LINE_BYTES }), '')
    return { ...line, facts: { ...facts } }
  } catch (error) {
    if (!isZtError(error)) throw error
    throw broken(at, 'is not a transcript line', error)
  }
}

function broken(at: number, what: string, cause?: unknown): ZtError {
  return new ZtError('ZT-422-CEREMONY', `transcript line ${at} ${what}`, { cause, details: { line: at } })
}
