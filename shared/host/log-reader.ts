// Reads a log file, or a copy of one, without ever writing to it, and verifies it. The file may be hostile: its tables
// are checked before the first row is read, and every byte that is used is checked after.
import { setImmediate as yieldToLoop } from 'node:timers/promises'
import type { RowRecord, StoredRow } from '#shared/log/record.ts'
import { rowOf } from '#shared/log/record.ts'
import { LogVerifier, type LogReport, type LogTrust } from '#shared/log/verify-log.ts'
import { LogStore } from './log-store.ts'

export interface LogReader {
  /** rows that the file says it has */
  readonly size: number
  /** `prev`, `body` and `hash` as stored, unverified */
  rows(from?: number, to?: number): Iterable<StoredRow>
  records(from?: number, to?: number): Iterable<RowRecord>
  /** every stored head, as signed notes */
  checkpoints(): string[]
  close(): void
}

/**
 * Opens a log file for reading; a copy needs its `-wal` file beside it if there was one. All reads see one moment.
 * ZT-490-UNVERIFIABLE if it is not the file of a log.
 */
export function openLogReader(file: string): LogReader {
  const store = LogStore.openReadOnly(file)
  const { size } = store.head()
  const records = (from: number = 0, to: number = size): Iterable<RowRecord> => store.records(from, to)
  return {
    size,
    records,
    *rows(from, to) {
      for (const record of records(from, to)) yield rowOf(record)
    },
    checkpoints: () => store.checkpoints().map((stored) => stored.note),
    close: () => store.close(),
  }
}

// About two milliseconds of work between looks at the event loop.
const ROWS_AT_ONCE = 256

/**
 * Verifies the log in `file` without holding up the event loop. Never throws for what is in the file: a file that
 * cannot be read is reported as ZT-490-UNVERIFIABLE. ZT-422-NOTE when a vkey of `trust` is malformed.
 */
export async function verifyLogFile(file: string, trust: LogTrust): Promise<LogReport> {
  const verifier = new LogVerifier(trust)
  let reader: LogReader | undefined
  try {
    reader = openLogReader(file)
    verifier.addCheckpoints(reader.checkpoints())
    await pushAll(reader.records(), verifier)
  } catch (cause) {
    verifier.unreadable(cause)
  } finally {
    reader?.close()
  }
  return verifier.report()
}

async function pushAll(records: Iterable<RowRecord>, verifier: LogVerifier): Promise<void> {
  let count = 0
  for (const record of records) {
    if (!verifier.push(record)) return
    count += 1
    if (count % ROWS_AT_ONCE === 0) await yieldToLoop()
  }
}
