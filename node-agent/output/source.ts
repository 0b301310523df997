// What a stream of output is read from: a process's log files, or the rows of the audit log.
import type { ExitStatus } from '#shared/protocol/results.ts'

export type StreamName = 'stdout' | 'stderr'

export interface SourceChunk {
  /** empty: nothing there yet, or the end */
  readonly data: Uint8Array
  /** of the first byte of `data`; behind the one that was asked for if there is a gap */
  readonly offset: number
  /** bytes that are gone for good: from, and up to but without */
  readonly gap?: { readonly from: number; readonly to: number }
  /** nothing ever comes after `data` */
  readonly end: boolean
}

export interface OutputSource {
  readonly streams: readonly StreamName[]
  /** At most `maxBytes` bytes from `offset` on; never waits for more to be written. */
  read(stream: StreamName, offset: number, maxBytes: number): Promise<SourceChunk>
  /** How it ended, once that is recorded; asked for after every stream has come to its end. */
  exit(): Promise<ExitStatus>
  close(): Promise<void>
}
