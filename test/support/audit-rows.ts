// The rows of a log of a running program, read from its file beside it.
import { openLogReader } from '#shared/host/log-reader.ts'
import { parseRow, type RowBody } from '#shared/log/row.ts'
import { eventually } from './eventually.ts'

/** All rows that are committed now. */
export function rowsOf(file: string): RowBody[] {
  const reader = openLogReader(file)
  try {
    return Array.from(reader.rows(), (row) => parseRow(row.body))
  } finally {
    reader.close()
  }
}

/** How the log says that a message was judged, once it was: `accepted`, or the code of its refusal. */
export function judgementOf(file: string, digest: string): Promise<string> {
  return eventually('a message to be judged', () => {
    const row = rowsOf(file).find(({ req }) => req?.env === digest)
    return row?.type === 'cmd.accepted' ? 'accepted' : row?.code
  })
}
