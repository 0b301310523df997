// Aligned text columns. Cells come from other machines, so each is made safe for a terminal first.
import { safeText } from './safe-text.ts'

export interface TableOptions {
  readonly headings: readonly string[]
  readonly rows: readonly (readonly string[])[]
  readonly showHeadings: boolean
  /** columns of the terminal; undefined never cuts */
  readonly width?: number | undefined
}

/** The table, one line a row, each ended by a line feed. Only the last column is cut to the width. */
export function renderTable({ headings, rows, showHeadings, width }: TableOptions): string {
  const cells = rows.map((row) => row.map(safeText))
  const lines = showHeadings ? [headings, ...cells] : cells
  const widths = headings.map((_, column) => Math.max(0, ...lines.map((line) => (line[column] ?? '').length)))
  return lines.map((line) => `${cut(joinLine(line, widths), width)}\n`).join('')
}

function joinLine(line: readonly string[], widths: readonly number[]): string {
  return line
    .map((cell, column) => (column === line.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
    .join('  ')
    .trimEnd()
}

function cut(line: string, width: number | undefined): string {
  return width === undefined || width < 20 || line.length <= width ? line : `${line.slice(0, width - 1)}…`
}
