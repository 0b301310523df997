// One question to several nodes at once. No node is silently left out: one that does not answer is in the result.
import { isZtError, type ZtError } from '#shared/errors/error.ts'
import { isName } from '#shared/identity/names.ts'
import type { NodeEntry } from '#shared/protocol/hub-ops.ts'
import type { Invocation } from '../grammar/invocation.ts'
import { quoted, usageError } from '../grammar/usage-error.ts'
import type { Io } from '../io.ts'
import { remark, warn } from '../output/report-error.ts'
import type { Mesh } from './mesh.ts'

export type NodeAnswer<T> =
  | { readonly node: string; readonly ok: true; readonly value: T }
  | { readonly node: string; readonly ok: false; readonly error: ZtError }

// A node that has drifted has an identity for some minutes more, and its log is worth reading above all.
const REACHABLE: readonly string[] = ['joined', 'drifted', 'distrusted']
const AT_ONCE = 16
const PARTIAL = 8

/** A node that had joined and cannot be asked now; `state` as `node ls` says it. */
export interface NotAsked {
  readonly node: string
  readonly state: NodeEntry['state']
}

export interface ChosenNodes {
  readonly asked: readonly string[]
  readonly notAsked: readonly NotAsked[]
}

/** The nodes of -n, else all that have joined. Errors: ZT-400-USAGE, and those of Mesh.hub(). */
export async function chosenNodes(call: Invocation, mesh: Mesh): Promise<ChosenNodes> {
  const given = namedNodes(call)
  if (given.length > 0) return { asked: given, notAsked: [] }
  const { nodes } = await mesh.hub('node.list', {})
  const isReachable = ({ state }: NodeEntry): boolean => REACHABLE.includes(state)
  return {
    asked: nodes.filter(isReachable).map(({ name }) => name),
    notAsked: nodes
      .filter((node) => !isReachable(node) && node.joined !== null)
      .map(({ name, state }) => ({ node: name, state })),
  }
}

/** `revoked`, or what became of a node since. */
export function reasonOf({ state }: Pick<NotAsked, 'state'>): string {
  return state === 'revoked' ? 'revoked' : 'allowed again, but not joined since'
}

/** Names the nodes that were left out: what they have is in no answer. */
export function sayNotAsked(nodes: readonly NotAsked[], io: Io): void {
  for (const each of nodes) warn(`${each.node} was not asked: it is ${reasonOf(each)}`, io)
}

/** The nodes of -n, each once. Errors: ZT-400-USAGE for a name that no node can have. */
export function namedNodes(call: Invocation): readonly string[] {
  const names = [...new Set(call.flags.all('node').flatMap((text) => text.split(',')))]
  for (const name of names) {
    if (!isName(name))
      throw usageError(`no node can be called ${quoted(name)}`, '`ztctl node ls` lists the nodes')
  }
  return names
}

/** The one node of -n. Errors: ZT-400-USAGE for none or several. */
export function oneNode(call: Invocation): string {
  const [name, second] = namedNodes(call)
  const hint = '`ztctl node ls` lists the nodes; ZTMESH_NODE sets one for all commands'
  if (name === undefined) throw usageError(`${call.verb.name} needs a node: -n NAME`, hint)
  if (second !== undefined) throw usageError(`${call.verb.name} takes one node`, hint)
  return name
}

/** Asks each node; a failure is an answer too, and only what is no ZtError is thrown. */
export async function askNodes<T>(
  nodes: readonly string[],
  ask: (node: string) => Promise<T>,
): Promise<readonly NodeAnswer<T>[]> {
  const answers: NodeAnswer<T>[] = []
  const waiting = [...nodes.entries()]
  const worker = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [index, node] = next
      answers[index] = await askOne(node, ask)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
  return answers
}

async function askOne<T>(node: string, ask: (node: string) => Promise<T>): Promise<NodeAnswer<T>> {
  try {
    return { node, ok: true, value: await ask(node) }
  } catch (error) {
    if (!isZtError(error)) throw error
    return { node, ok: false, error }
  }
}

/** The nodes that failed, for JSON. */
export function failuresOf(answers: readonly NodeAnswer<unknown>[]): readonly Record<string, string>[] {
  return answers.flatMap((answer) =>
    answer.ok ? [] : [{ node: answer.node, code: answer.error.code, message: answer.error.message }],
  )
}

/** Where one thing was asked for, its failure is that of the verb. Throws that failure. */
export function requireSome(answers: readonly NodeAnswer<unknown>[]): void {
  const [only, second] = answers
  if (only !== undefined && second === undefined && !only.ok) throw only.error
}

/** Says what failed, and gives the exit status: 0, or 8 when some of several failed. */
export function concludeFanOut(answers: readonly NodeAnswer<unknown>[], io: Io): number {
  const failed = answers.flatMap((answer) => (answer.ok ? [] : [answer]))
  for (const { node, error } of failed) remark(`${node}: ${error.message} (${error.code})`, io)
  return failed.length === 0 ? 0 : PARTIAL
}
