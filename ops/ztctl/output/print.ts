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

/** Prints one object: apiVersion first, indented, ended by a line feed. */
export function printJson(object: Readonly<Record<string, unknown>>, io: Io): void {
  io.stdout.write(`${JSON.stringify({ apiVersion: API_VERSION, ...object }, undefined, 2)}\n`)
}

/** True if the result is to be JSON. */
export function wantsJson(call: Invocation): boolean {
  return call.flags.one('output') === 'json'
}
