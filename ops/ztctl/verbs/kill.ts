// ztctl kill: ends a process with everything it started, and says when that is done.
import { constants } from 'node:os'
import { KILL_SIGNALS, type KillSignal } from '#shared/protocol/command.ts'
import type { KillResult } from '#shared/protocol/results.ts'
import { exitText } from '../client/exit-code.ts'
import { askNodes, concludeFanOut, failuresOf, requireSome } from '../client/fan-out.ts'
import { findProcess } from '../client/find-process.ts'
import { withMesh } from '../client/live-mesh.ts'
import type { Mesh } from '../client/mesh.ts'
import type { Flags, Invocation } from '../grammar/invocation.ts'
import { quoted, usageError } from '../grammar/usage-error.ts'
import type { Io } from '../io.ts'
import { printListing } from '../output/print.ts'

interface Order {
  readonly signal?: KillSignal
  readonly grace_ms?: number
}

interface Killed extends KillResult {
  readonly node: string
}

const DEFAULT_GRACE_MS = 10_000
const MAX_GRACE_MS = 60_000

export async function execute(call: Invocation, io: Io): Promise<number> {
  const order = readOrder(call.flags)
  const answers = await withMesh({ call, io }, ({ current }) =>
    askNodes(call.operands, (text) => kill({ text, order }, call, current)),
  )
  requireSome(answers)
  const items = answers.flatMap((answer) => (answer.ok ? [answer.value] : []))
  printListing<Killed>(
    {
      kind: 'KillList',
      headings: ['NODE', 'PROC', 'STATE', 'END'],
      items,
      extra: { errors: failuresOf(answers) },
      toName: ({ proc }) => proc,
      toRow: ({ node, proc, state, exit }) => [node, proc, state, exit === undefined ? '-' : exitText(exit)],
      toJson: ({ node, proc, started, state, exit }) => ({ node, proc, started, state, exit: exit ?? null }),
    },
    call,
    io,
  )
  return concludeFanOut(answers, io)
}

async function kill(
  { text, order }: { readonly text: string; readonly order: Order },
  call: Invocation,
  mesh: Mesh,
): Promise<Killed> {
  const { node, entry } = await findProcess(text, call, mesh)
  const { proc, started } = entry
  const { result } = await mesh.command({
    v: 1,
    op: 'process.kill',
    node: mesh.nodeId(node),
    proc,
    started,
    ...order,
  })
  return { ...result, node }
}

function readOrder(flags: Flags): Order {
  const given = flags.one('signal')
  const signal = given === undefined ? undefined : parseSignal(given)
  const grace = flags.durationMs('grace')
  if (grace !== undefined && grace > MAX_GRACE_MS) throw usageError('--grace is over 60s', 'give at most 60s')
  if (signal === 'KILL') return { signal, grace_ms: 0 }
  if (signal === undefined) return { grace_ms: grace ?? DEFAULT_GRACE_MS }
  return grace === undefined ? { signal } : { signal, grace_ms: grace }
}

/** A signal by name, with or without SIG, or by number. Errors: ZT-400-USAGE. */
export function parseSignal(text: string): KillSignal {
  const name = /^\d+$/.test(text) ? nameOf(Number(text)) : text.toUpperCase().replace(/^SIG/, '')
  const signal = KILL_SIGNALS.find((known) => known === name)
  if (signal !== undefined) return signal
  throw usageError(`${quoted(text)} is no signal that can be sent`, `choices: ${KILL_SIGNALS.join(', ')}`)
}

function nameOf(number: number): string {
  const found = Object.entries(constants.signals).find(([, value]) => value === number)
  return (found?.[0] ?? '').replace(/^SIG/, '')
}
