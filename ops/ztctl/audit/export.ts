// A node's rows, exported by the node as a stream of entries and verified as they come.
import { isZtError, ZtError } from '#shared/errors/error.ts'
import { claimedHead } from '#shared/log/checkpoint.ts'
import type { LogTrust, LogReport } from '#shared/log/verify-log.ts'
import type { Frame } from '#shared/protocol/output-frame.ts'
import type { Mesh } from '../client/mesh.ts'
import { OutputStream } from '../client/output-stream.ts'
import { EntryReader } from './entry-reader.ts'
import { LogCheck } from './log-check.ts'
import { LogCopyWriter } from './log-copy.ts'

export interface ExportOptions {
  readonly node: string
  readonly trust: LogTrust & { readonly vkey: string }
  readonly copy: string | undefined
  /** silence after which the export counts as broken, milliseconds */
  readonly timeoutMs: number
}

/** Verifies all rows of a node. What is wrong with them is in the report; errors are those of Mesh.command(). */
export async function verifyNodeLog(mesh: Mesh, options: ExportOptions): Promise<LogReport> {
  const node = mesh.nodeId(options.node)
  const stream = new OutputStream(mesh, { node, proc: 'audit' })
  try {
    const command = { v: 1, op: 'audit.export', node, from: 0, out: stream.request } as const
    const { result, jti, checkpoint } = await mesh.command(command)
    stream.activate(result.out, jti)
    return await readExport({ stream, checkpoint, mesh }, options)
  } finally {
    stream.close()
  }
}

interface Export {
  readonly stream: OutputStream
  /** signed head from the receipt: the rows up to its size are what is verified */
  readonly checkpoint: string
  readonly mesh: Mesh
}

async function readExport({ stream, checkpoint, mesh }: Export, options: ExportOptions): Promise<LogReport> {
  const { trust } = options
  const check = new LogCheck(trust)
  check.expect([checkpoint])
  const { size } = claimedHead(checkpoint)
  const { origin, vkey } = trust
  const copy =
    options.copy === undefined
      ? undefined
      : new LogCopyWriter(options.copy, { origin, vkey, checkpoints: [checkpoint] })
  try {
    await pushRows({ stream, mesh, size, copy, timeoutMs: options.timeoutMs }, check)
  } catch (cause) {
    if (!isZtError(cause)) throw cause
    check.fail(cause)
  } finally {
    copy?.close()
  }
  return check.report()
}

interface Rows {
  readonly stream: OutputStream
  readonly mesh: Mesh
  readonly size: number
  readonly copy: LogCopyWriter | undefined
  readonly timeoutMs: number
}

async function pushRows({ stream, mesh, size, copy, timeoutMs }: Rows, check: LogCheck): Promise<void> {
  const reader = new EntryReader()
  while (check.size < size) {
    const frame = await nextFrame(stream, mesh, timeoutMs)
    // The node says that there is nothing more: if that is too early, the report says so.
    if (frame.kind === 'eof' || frame.kind === 'exit') return
    if (frame.kind !== 'stdout') continue
    for (const entry of reader.push(frame.data)) {
      // Rows behind the signed head came after it, and are for the next time.
      if (check.size === size) return
      copy?.add(entry)
      if (!check.push(entry)) return
    }
    stream.consumed(frame.data.length)
  }
}

async function nextFrame(stream: OutputStream, mesh: Mesh, timeoutMs: number): Promise<Frame> {
  const late = new AbortController()
  const timer = mesh.clock.after(timeoutMs, () => late.abort())
  try {
    const event = await stream.next(late.signal)
    if (event?.kind === 'frame') return event.frame
    throw new ZtError('ZT-504-TIMEOUT', 'the export stopped before its end')
  } finally {
    timer.cancel()
  }
}
