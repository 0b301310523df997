// A process by what a person types: NODE/PROC, PROC, or the first characters of an id that are enough to tell it apart.
import { ZtError } from '#shared/errors/error.ts'
import type { ProcEntry } from '#shared/protocol/results.ts'
import type { Invocation } from '../grammar/invocation.ts'
import { quoted, usageError } from '../grammar/usage-error.ts'
import { askNodes, chosenNodes, namedNodes, reasonOf, type ChosenNodes, type NodeAnswer } from './fan-out.ts'
import type { Mesh } from './mesh.ts'

export interface FoundProcess {
  readonly node: string
  readonly entry: ProcEntry
}

interface Wanted extends ChosenNodes {
  /** an id or the beginning of one, with its `p-` */
  readonly prefix: string
  readonly text: string
}

/** The one process that `text` means. Errors: ZT-404-PROC, ZT-400-USAGE when it means several, those of the nodes. */
export async function findProcess(text: string, call: Invocation, mesh: Mesh): Promise<FoundProcess> {
  const wanted = await parseWanted(text, call, mesh)
  const answers = await askNodes(wanted.asked, (node) => listProcesses(mesh, node, true))
  const found = answers.flatMap((answer) =>
    answer.ok ? answer.value.map((entry) => ({ node: answer.node, entry })) : [],
  )
  return onlyMatch(wanted, found, answers)
}

/** All processes that a node knows; without those that have ended unless `all`. */
export async function listProcesses(mesh: Mesh, node: string, all: boolean): Promise<readonly ProcEntry[]> {
  const { result } = await mesh.command({ v: 1, op: 'process.list', node: mesh.nodeId(node), all })
  return result.procs
}

async function parseWanted(text: string, call: Invocation, mesh: Mesh): Promise<Wanted> {
  const match = /^(?:([a-z0-9-]{1,63})\/)?((?:p-)?[a-z2-7]{1,20})$/.exec(text)
  if (match === null) {
    throw usageError(`${quoted(text)} is no process`, 'write NODE/PROC or PROC, as `ztctl ps` prints them')
  }
  const [, node, id = ''] = match
  const named = namedNodes(call)
  if (node !== undefined && named.length > 0 && !named.includes(node)) {
    throw usageError(
      `${quoted(text)} is not on node ${named.join(', ')}`,
      'leave out -n, or the NODE/ before the id',
    )
  }
  const chosen = node === undefined ? await chosenNodes(call, mesh) : { asked: [node], notAsked: [] }
  return { ...chosen, prefix: id.startsWith('p-') ? id : `p-${id}`, text }
}

function onlyMatch(
  { prefix, text, asked, notAsked }: Wanted,
  found: readonly FoundProcess[],
  answers: readonly NodeAnswer<unknown>[],
): FoundProcess {
  const exact = found.filter(({ entry }) => entry.proc === prefix)
  const matches = exact.length > 0 ? exact : found.filter(({ entry }) => entry.proc.startsWith(prefix))
  const [first, second] = matches
  if (first !== undefined && second === undefined) return first
  if (second !== undefined) {
    const names = matches.slice(0, 5).map(({ node, entry }) => `${node}/${entry.proc}`)
    throw usageError(`${quoted(text)} means ${matches.length} processes`, `one of: ${names.join(', ')}`)
  }
  // "No such process" may be said only by nodes that were asked.
  for (const answer of answers) if (!answer.ok) throw answer.error
  const others = notAsked.map((each) => `${each.node} (${reasonOf(each)})`).join(', ')
  const message = `no process ${quoted(text)} on ${asked.join(', ') || 'any node'}`
  throw new ZtError('ZT-404-PROC', others === '' ? message : `${message}; not asked: ${others}`)
}
