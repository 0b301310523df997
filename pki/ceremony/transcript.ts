// Writes what happens in a ceremony, one line a step, on disk before the next step is taken: a failure or a crash leaves
// every step that was. How a transcript is read and checked is shared/protocol/ceremony-transcript.ts.
import { open, type FileHandle } from 'node:fs/promises'
import { canonicalJson } from '#shared/encoding/canonical-json.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import { lineHash, NO_LINE, readTranscriptLine, type Facts } from '#shared/protocol/ceremony-transcript.ts'

export interface TranscriptOptions {
  readonly file: string
  readonly clock: Clock
  /** told every step as it happens: the witness' line */
  readonly tell: (line: string) => void
  /** UTC, milliseconds: no line is earlier */
  readonly from: number
}

export class Transcript {
  readonly #handle: FileHandle
  readonly #options: TranscriptOptions
  readonly #steps: string[] = []
  #seq = 0
  #head = NO_LINE
  #at: number

  private constructor(handle: FileHandle, options: TranscriptOptions) {
    this.#handle = handle
    this.#options = options
    this.#at = options.from
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

  /** What was written, in order. */
  get steps(): readonly string[] {
    return this.#steps
  }

  /**
   * Writes a step; it is on disk when this returns. A step that cannot be written must not be taken: ZT-422-CEREMONY, with
   * nothing written, for one that nobody could read again. A clock that is put back stands still here.
   */
  async write(step: string, facts: Facts = {}): Promise<void> {
    const at = Math.max(this.#at, this.#options.clock.now())
    const body = { seq: this.#seq, prev: this.#head, at: new Date(at).toISOString(), step, facts }
    const line = { ...body, hash: lineHash(body) }
    const row = canonicalJson(line)
    readTranscriptLine(row, this.#seq)
    await this.#handle.write(`${row}\n`)
    await this.#handle.sync()
    this.#at = at
    this.#seq += 1
    this.#steps.push(step)
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

/** The state that a failure leaves after `steps`, for those who must go on from it: docs/ceremony.md says how. */
export function whatIsLeft(steps: readonly string[]): string {
  const count = (step: string): number => steps.filter((done) => done === step).length
  const signed = count('signed') + count('signed bundle')
  const found = [
    count('destroyed key') > 0 ? 'the key is destroyed' : '',
    count('made key') > 0 ? 'the new key is in the token' : '',
    signed > 0 ? `${signed} signatures were made` : '',
    count('wrote') > 0 ? `${count('wrote')} outputs were written` : '',
  ].filter((text) => text !== '')
  return found.length === 0 ? 'nothing was made, signed or written' : found.join('; ')
}
