// ztctl kill: ends a process with everything it started, and says when that is done.
import { constants } from 'node:os'
import { isZtError, type ZtError } from '#shared/errors/error.ts'
import { KILL_SIGNALS, type KillSignal } from '#shared/protocol/command.ts'
import { Quarantine, type RunProcess } from '#shared/protocol/quarantine.ts'
import type { KillResult } from '#shared/protocol/results.ts'
import { exitText } from '../client/exit-code.ts'
import { askNodes, concludeFanOut, failuresOf, requireSome } from '../client/fan-out.ts'
import { findProcess } from '../client/find-process.ts'
import { withMesh } from '../client/live-mesh.ts'
import type { Mesh } from '../client/mesh.ts'
import { fetchQuarantine, quarantinedJson, warnOf } from '../client/quarantine.ts'
import type { Flags, Invocation } from '../grammar/invocation.ts'
import { quoted, usageError } from '../grammar/usage-error.ts'
import type { Io } from '../io.ts'
import { printListing } from '../output/print.ts'
import { warn } from '../output/report-error.ts'

interface Order {
  readonly signal?: KillSignal
  readonly grace_ms?: number
}

interface Killed extends KillResult {
  readonly node: string
  /** as the node said before */
  readonly run: RunProcess
}

const DEFAULT_GRACE_MS = 10_000
const MAX_GRACE_MS = 60_000

export async function execute(call: Invocation, io: Io): Promise<number> {
  const order = readOrder(call.flags)
  const { answers, quarantine } = await withMesh({ call, io }, async ({ current }) => {
    const answered = await askNodes(call.operands, (text) => kill({ text, order }, call, current))
    return { answers: answered, quarantine: await knownQuarantine(current) }
  })
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
      toJson: ({ node, proc, started, state, exit, run }) => ({
        node,
        proc,
        started,
        state,
        exit: exit ?? null,
        quarantined:
          quarantine instanceof Quarantine ? quarantinedJson(quarantine.ofProcess(run)) : 'unknown',
      }),
    },
    call,
    io,
  )
  sayQuarantine(items, quarantine, io)
  return concludeFanOut(answers, io)
}

// What was asked for is done by now, whether or not the list can be had.
async function knownQuarantine(mesh: Mesh): Promise<Quarantine | ZtError> {
  try {
    return await fetchQuarantine(mesh)
  } catch (error) {
    if (isZtError(error)) return error
    throw error
  }
}

function sayQuarantine(items: readonly Killed[], quarantine: Quarantine | ZtError, io: Io): void {
  if (!(quarantine instanceof Quarantine)) {
    const { message, code } = quarantine
    warn(`it is not known whether what the nodes say is quarantined: ${message} (${code})`, io)
    return
  }
  for (const { node, proc, run } of items) {
    const suspicion = quarantine.ofProcess(run)
    if (suspicion !== undefined) warnOf(`${node}/${proc}`, suspicion, io)
  }
}

async function kill(
  { text, order }: { readonly text: string; readonly order: Order },
  call: Invocation,
  mesh: Mesh,
): Promise<Killed> {
  const { node, entry } = await findProcess(text, call, mesh)
  const { proc, started, owner, began } = entry
  const id = mesh.nodeId(node)
  const { result } = await mesh.command({
    v: 1,
    op: 'process.kill',
    node: id,
    proc,
    started,
    ...order,
  })
  return {
    ...result,
    node,
    run: { owner, node: id, began, ...(entry.ended !== undefined && { ended: entry.ended }) },
  }
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
