// The rows of a log of a running program, read from its file beside it.
import { openLogReader } from '#shared/host/log-reader.ts'
import { parseRow, type RowBody } from '#shared/log/row.ts'

/** All rows that are committed now. */
export function rowsOf(file: string): RowBody[] {
  const reader = openLogReader(file)
  try {
    return Array.from(reader.rows(), (row) => parseRow(row.body))
  } finally {
    reader.close()
  }
}
