// The one way results reach stdout: a table for people, or one JSON object with apiVersion and kind for programs.
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'
import { renderTable } from './table.ts'

export const API_VERSION = 'ztmesh/v1'

export interface Listing<T> {
  /** for example "ProcessList" */
  readonly kind: string
  readonly headings: readonly string[]
  readonly items: readonly T[]
  readonly toRow: (item: T) => readonly string[]
  readonly toJson: (item: T) => Readonly<Record<string, unknown>>
  /** what -q prints of an item */
  readonly toName: (item: T) => string
  /** further members of the JSON object, beside items */
  readonly extra?: Readonly<Record<string, unknown>>
}

/** Prints a list as the flags say: -o json, then -q, then a table. */
export function printListing<T>(listing: Listing<T>, call: Invocation, io: Io): void {
  if (wantsJson(call)) {
    printJson({ kind: listing.kind, ...listing.extra, items: listing.items.map(listing.toJson) }, io)
  } else if (call.flags.has('quiet')) {
    io.stdout.write(listing.items.map((item) => `${listing.toName(item)}\n`).join(''))
  } else {
    io.stdout.write(
      renderTable({
        headings: listing.headings,
        rows: listing.items.map(listing.toRow),
        showHeadings: !call.flags.has('no-headers'),
        width: io.stdout.isTTY === true ? io.stdout.columns : undefined,
      }),
    )
  }
}

// JSON.stringify() escapes C0 itself. DEL, C1, separators and bidirectional controls stand in strings alone, so that an
// escape in their place is the same JSON, and a terminal is not steered by it.
// oxlint-disable-next-line no-control-regex -- they are the very thing that is escaped
const STEERING = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu

/** Prints one object: apiVersion first, indented, ended by a line feed, harmless for a terminal. */
export function printJson(object: Readonly<Record<string, unknown>>, io: Io): void {
  const json = JSON.stringify({ apiVersion: API_VERSION, ...object }, undefined, 2)
  io.stdout.write(`${json.replaceAll(STEERING, escaped)}\n`)
}

/** True if the result is to be JSON. */
export function wantsJson(call: Invocation): boolean {
  return call.flags.one('output') === 'json'
}

function escaped(character: string): string {
  return `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`
}
