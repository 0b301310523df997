// What a node sends when its log is exported: JSON lines, first what log it is, then its signed heads, then its rows.
// Nothing in it proves itself: who receives it verifies it against the keys and anchors that the hub holds.
import {
  array,
  base64urlText,
  integer,
  literal,
  object,
  string,
  union,
  type Parser,
} from '#shared/encoding/shape.ts'
import { canonicalJson } from '#shared/encoding/canonical-json.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { bytes32Field, noteField, originField } from './fields.ts'

export interface ExportedLog {
  readonly kind: 'log'
  readonly origin: string
  /** the node's own word, to be compared with the registered keys */
  readonly vkeys: readonly string[]
  /** number of the first row that follows */
  readonly from: number
  /** rows in the log */
  readonly size: number
}

export interface ExportedHead {
  readonly kind: 'head'
  readonly note: string
}

/** prev, body and hash as stored, base64url */
export interface ExportedRow {
  readonly kind: 'row'
  readonly seq: number
  readonly prev: string
  readonly body: string
  readonly hash: string
}

export type ExportLine = ExportedLog | ExportedHead | ExportedRow

/** Bytes of one line, at most. */
export const MAX_EXPORT_LINE_BYTES: number = 96 * 1024

const line: Parser<ExportLine> = union('kind', {
  log: object({
    kind: literal('log'),
    origin: originField,
    vkeys: array(string({ min: 1, max: 300 }), { min: 1, max: 1024 }),
    from: integer({ min: 0 }),
    size: integer({ min: 0 }),
  }),
  head: object({ kind: literal('head'), note: noteField }),
  row: object({
    kind: literal('row'),
    seq: integer({ min: 0 }),
    prev: bytes32Field,
    body: base64urlText({ min: 1, max: 65_503 }),
    hash: bytes32Field,
  }),
})

/** One line with its newline. */
export function formatExportLine(value: ExportLine): string {
  return `${canonicalJson(value)}\n`
}

/** ZT-413-SIZE, ZT-422-SCHEMA. */
export function parseExportLine(text: string): ExportLine {
  return line(parseStrictJson(text, { maxBytes: MAX_EXPORT_LINE_BYTES }), '')
}
