// The transcript of a ceremony as others read it: one line a step, each bound to the one before it by its hash. The last
// hash, the head, stands for all of them: officers sign it, the next ceremony names it, and the hub's log anchors it.
import { canonicalJson } from '#shared/encoding/canonical-json.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import { base64urlText, integer, object, record, string, type Parser } from '#shared/encoding/shape.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { isZtError, ZtError } from '#shared/errors/error.ts'

export type Facts = Readonly<Record<string, string>>

export interface TranscriptBody {
  readonly seq: number
  /** hash of the line before; 43 times "A" before the first */
  readonly prev: string
  /** RFC 3339, UTC */
  readonly at: string
  readonly step: string
  readonly facts: Facts
}

export interface TranscriptLine extends TranscriptBody {
  /** base64url SHA-256 of the canonical JSON of the other fields */
  readonly hash: string
}

/** What a whole transcript says about its ceremony. */
export interface TranscriptSummary {
  readonly trustDomain: string
  readonly type: string
  /** lower-case hex SHA-256 of the canonical ceremony file */
  readonly ceremony: string
  /** head of the transcript of the ceremony before; empty for a root ceremony */
  readonly previous: string
  readonly head: string
  /** UTC, milliseconds: of the last line */
  readonly endedAt: number
  readonly outcome: 'done' | 'failed'
}

export const NO_LINE: string = 'A'.repeat(43)

const MAX_LINE_BYTES = 64 * 1024
const MAX_LINES = 1024

const hash = base64urlText({ min: 32, max: 32 })
const parseLine: Parser<TranscriptLine> = object({
  seq: integer({ min: 0 }),
  prev: hash,
  at: string({ min: 24, max: 24, pattern: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/ }),
  step: string({ min: 1, max: 64 }),
  facts: record(/^[a-zA-Z0-9]{1,32}$/, string({ max: 4096 }), { max: 32 }),
  hash,
})

/** The hash of a line. */
export function lineHash(body: TranscriptBody): string {
  return sha256Text(canonicalJson(body))
}

/** The lines of a transcript that is whole and unchanged up to its last line; else ZT-422-CEREMONY naming the line. */
export function verifyTranscript(text: string): readonly TranscriptLine[] {
  const rows = text.split('\n')
  if (rows.pop() !== '' || rows.length === 0) throw broken(rows.length, 'is cut short')
  if (rows.length > MAX_LINES) throw broken(MAX_LINES, 'is one too many')
  let [prev, time] = [NO_LINE, '']
  return rows.map((row, at) => {
    const { hash: claimed, ...body } = readTranscriptLine(row, at)
    if (body.seq !== at || body.prev !== prev) throw broken(at, 'does not follow the line before it')
    if (lineHash(body) !== claimed) throw broken(at, 'was changed')
    // One form and one length, so the order of the texts is that of the times.
    if (!isTime(body.at) || body.at < time)
      throw broken(at, 'is dated before the line before it, or on no day')
    prev = claimed
    time = body.at
    return { ...body, hash: claimed }
  })
}

/** What the lines say; ZT-422-CEREMONY naming the line if they do not begin and end as a ceremony does. */
export function summarizeTranscript(lines: readonly TranscriptLine[]): TranscriptSummary {
  const [first, last] = [lines[0], lines.at(-1)]
  const { type = '', trustDomain = '', sha256 = '', previous = '' } = first?.facts ?? {}
  if (first?.step !== 'ceremony' || type === '' || trustDomain === '' || sha256 === '')
    throw broken(0, 'does not say which ceremony it is')
  const outcome = last?.step
  if (last === undefined || (outcome !== 'done' && outcome !== 'failed'))
    throw broken(lines.length, 'is missing: the ceremony has no end')
  const endedAt = Date.parse(last.at)
  return { trustDomain, type, ceremony: sha256, previous, head: last.hash, endedAt, outcome }
}

/** Line number `at` as it stands in a transcript, without the newline; ZT-422-CEREMONY if nobody could read it. */
export function readTranscriptLine(row: string, at: number): TranscriptLine {
  try {
    const { facts, ...rest } = parseLine(parseStrictJson(row, { maxBytes: MAX_LINE_BYTES }), '')
    const line = { ...rest, facts: { ...facts } }
    // One content, one text: what was anchored or named by the digest of its file has no second form.
    if (canonicalJson(line) !== row) throw new ZtError('ZT-422-SCHEMA', 'is not canonical json')
    return line
  } catch (error) {
    if (!isZtError(error)) throw error
    throw broken(at, 'is not a transcript line', error)
  }
}

function isTime(text: string): boolean {
  const at = Date.parse(text)
  return !Number.isNaN(at) && new Date(at).toISOString() === text
}

function broken(at: number, what: string, cause?: unknown): ZtError {
  return new ZtError('ZT-422-CEREMONY', `transcript line ${at} ${what}`, { cause, details: { line: at } })
}
