// ztctl: parses, loads the one verb that was asked for, reports, and exits with the status of §3 of the conventions.
import { createInterface } from 'node:readline/promises'
import { systemClock } from '#shared/host/clock.ts'
import { ztctl } from './ztctl.ts'
import type { Io } from './io.ts'
import { exitStatus, reportError } from './output/report-error.ts'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
const SIGPIPE_STATUS = 128 + 13

async function ask(question: string): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return await terminal.question(question)
  } finally {
    terminal.close()
  }
}

const readers = new Set<(signal: NodeJS.Signals) => void>()

function onSignal(handler: (signal: NodeJS.Signals) => void): () => void {
  for (const signal of SIGNALS) process.on(signal, handler)
  readers.add(handler)
  return () => {
    for (const signal of SIGNALS) process.off(signal, handler)
    readers.delete(handler)
  }
}

// A reader that has gone (`ztctl … | head`) is no error of ours: end as SIGPIPE would have ended us, in silence.
function onBrokenPipe(): void {
  if (readers.size === 0) process.exit(SIGPIPE_STATUS)
  for (const handler of readers) handler('SIGPIPE')
}

const io: Io = {
  env: process.env,
  clock: systemClock,
  stdout: process.stdout,
  stderr: process.stderr,
  ...(process.stdin.isTTY && process.stderr.isTTY ? { ask } : {}),
  onSignal,
}

let broken = false
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', () => {
    // Every write that was under way fails: the reader has gone once.
    if (!broken) onBrokenPipe()
    broken = true
  })
}

// What nobody waited for and nobody foresaw is reported like any other fault of ours, without its stack.
process.on('uncaughtException', (error) => {
  reportError(error, io, { json: false })
  process.exit(exitStatus(error, false))
})

// Waiting for time alone must not look like having nothing to do: timers of the clock do not keep a process alive.
setInterval(() => undefined, 2 ** 30)

process.exit(await ztctl(process.argv.slice(2), io))
