// ztctl logs: what a process wrote, from the beginning or the last lines, and with -f what it writes until it ends.
import { constants } from 'node:os'
import { exitCodeOfEnding } from '../client/exit-code.ts'
import { findProcess } from '../client/find-process.ts'
import { Follower, type OutputSink, type StreamName } from '../client/follower.ts'
import { withMesh, type LiveMesh } from '../client/live-mesh.ts'
import { pipeSink, tailSink } from '../client/pipe-sink.ts'
import { fetchQuarantine, lookAgain, warnOf } from '../client/quarantine.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'

const INTERRUPTED = 130

export async function execute(call: Invocation, io: Io): Promise<number> {
  return withMesh({ call, io }, (mesh) => printLogs(mesh, call, io))
}

async function printLogs(mesh: LiveMesh, call: Invocation, io: Io): Promise<number> {
  const readFrom = io.clock.now()
  const [{ node, entry }, quarantine] = await Promise.all([
    findProcess(call.operands[0] ?? '', call, mesh.current),
    fetchQuarantine(mesh.current),
  ])
  const watched = { ...entry, node: mesh.current.nodeId(node), name: `${node}/${entry.proc}`, readFrom }
  const suspicion = quarantine.ofProcess(watched)
  // Before the first byte of it, and where it is in nobody's pipe.
  if (suspicion !== undefined) warnOf(watched.name, suspicion, io)
  const target = { node: mesh.current.nodeId(node), proc: entry.proc, started: entry.started }
  const stop = new AbortController()
  // ^C ends the printing; the process is not touched.
  let status = INTERRUPTED
  const unlisten = io.onSignal((signal) => {
    status = 128 + constants.signals[signal]
    stop.abort()
  })
  const follow = call.flags.has('follow')
  const sink = sinkOf(call, io)
  try {
    const ending = await new Follower({
      mesh,
      target,
      sink,
      clock: io.clock,
      follow,
      stop: stop.signal,
    }).run()
    if (ending.kind === 'stopped') return status
    // A process that had ended may say so before the end of its replay.
    if (ending.kind === 'exit') await sink.replayed()
    if (ending.kind === 'replayed' || follow) return exitCodeOfEnding(ending)
    return exitCodeOfEnding({ ...ending, kind: 'replayed' })
  } finally {
    unlisten()
    if (suspicion === undefined) await lookAgain(watched, mesh, io)
  }
}

function sinkOf(call: Invocation, io: Io): OutputSink {
  const only = onlyOne(call.flags.has('stdout'), call.flags.has('stderr'))
  const lines = call.flags.integer('tail')
  return lines === undefined ? pipeSink(io, only) : tailSink(io, lines, only)
}

function onlyOne(stdout: boolean, stderr: boolean): StreamName | undefined {
  if (stdout === stderr) return undefined
  return stdout ? 'stdout' : 'stderr'
}
