// A node's rows, exported by the node as a stream of entries and verified as they come.
import { ZtError } from '#shared/errors/error.ts'
import type { LogTrust, LogReport } from '#shared/log/verify-log.ts'
import type { Frame } from '#shared/protocol/output-frame.ts'
import type { Mesh } from '../client/mesh.ts'
import { OutputStream } from '../client/output-stream.ts'
import { EntryReader } from './entry-reader.ts'
import type { HeldHeads } from './held-heads.ts'
import { LogCheck } from './log-check.ts'
import { LogCopyWriter } from './log-copy.ts'
import type { SuspectRows } from './suspect-rows.ts'

export interface ExportOptions {
  readonly node: string
  readonly trust: LogTrust & { readonly vkey: string }
  /** takes the heads of the hub's log that the rows name */
  readonly held: HeldHeads
  /** takes the rows, to count those that are quarantined */
  readonly rows: SuspectRows
  /** where a copy is written, as the rows come */
  readonly copy: string | undefined
  /** silence after which the export counts as broken, milliseconds */
  readonly silenceMs: number
}

/** Verifies all rows of a node. What is wrong with them is in the report; errors are those of Mesh.command(). */
export async function verifyNodeLog(mesh: Mesh, options: ExportOptions): Promise<LogReport> {
  const node = mesh.nodeId(options.node)
  const stream = new OutputStream(mesh, { node, proc: 'audit' })
  const { held, rows } = options
  const check = new LogCheck(options.trust, (row) => {
    held.take(row)
    rows.take(row)
  })
  try {
    const command = { v: 1, op: 'audit.export', node, from: 0, out: stream.request } as const
    const { result, jti, checkpoint } = await mesh.command(command)
    // The head of the signed receipt is in our hands now: an export that is cut short of it is caught by it.
    check.expect([checkpoint])
    stream.activate(result.out, jti)
    await readExport({ stream, check, mesh, checkpoint }, options)
  } finally {
    stream.close()
  }
  return check.report()
}

interface Export {
  readonly stream: OutputStream
  readonly check: LogCheck
  readonly mesh: Mesh
  readonly checkpoint: string
}

async function readExport(given: Export, options: ExportOptions): Promise<void> {
  const { origin, vkey } = options.trust
  const copied = { origin, vkey, checkpoints: [given.checkpoint] }
  const copy = options.copy === undefined ? undefined : new LogCopyWriter(options.copy, copied)
  try {
    const reader = new EntryReader()
    while (await readFrame({ ...given, reader, copy }, options.silenceMs)) {
      // Each round takes one frame.
    }
    if (reader.pending > 0) given.check.fail(new ZtError('ZT-422-SCHEMA', 'the export ends inside a row'))
  } finally {
    copy?.close()
  }
}

interface Reading extends Export {
  readonly reader: EntryReader
  readonly copy: LogCopyWriter | undefined
}

/** True while there may be more. */
async function readFrame(
  { stream, check, mesh, reader, copy }: Reading,
  silenceMs: number,
): Promise<boolean> {
  const frame = await nextFrame(stream, mesh, silenceMs)
  if (frame === undefined)
    return check.fail(new ZtError('ZT-504-TIMEOUT', 'the export stopped before its end'))
  if (frame.kind === 'eof' || frame.kind === 'exit') return false
  if (frame.kind !== 'stdout') return true
  for (const entry of reader.push(frame.data)) {
    copy?.add(entry)
    if (!check.push(entry)) return false
  }
  stream.consumed(frame.data.length)
  return true
}

async function nextFrame(stream: OutputStream, mesh: Mesh, silenceMs: number): Promise<Frame | undefined> {
  const late = new AbortController()
  const timer = mesh.clock.after(silenceMs, () => late.abort())
  try {
    const event = await stream.next(late.signal)
    return event?.kind === 'frame' ? event.frame : undefined
  } finally {
    timer.cancel()
  }
}
