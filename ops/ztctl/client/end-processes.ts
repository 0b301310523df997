// Ends what a denied identity has running, node by node, with the authority of who asks: each end is a capability, a
// decision and a row of its own, like any other `kill`.
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import { askNodes, chosenNodes, type ChosenNodes, type NodeAnswer } from './fan-out.ts'
import { listProcesses } from './find-process.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Mesh } from './mesh.ts'
import { fetchQuarantine } from './quarantine.ts'

export interface Ended {
  readonly node: string
  readonly proc: string
  readonly state: string
}

export interface Ending extends Pick<ChosenNodes, 'notAsked'> {
  readonly answers: readonly NodeAnswer<readonly Ended[]>[]
}

/**
 * Ends every process of `owner` that is suspect by the list in force: of an identity that is denied all of them, of one
 * whose certificate is denied those that it may have been used for. A node that fails is in the answer.
 */
export async function endProcesses(owner: SpiffeId, call: Invocation, mesh: Mesh): Promise<Ending> {
  const suspect = await fetchQuarantine(mesh)
  const { asked, notAsked } = await chosenNodes(call, mesh)
  const answers = await askNodes(asked, async (node) => {
    const running = (await listProcesses(mesh, node, false)).filter((entry) => entry.state === 'running')
    const meant = running.filter(
      (entry) => entry.owner === owner && suspect.of({ id: owner, began: entry.began }) !== undefined,
    )
    const ended: Ended[] = []
    for (const { proc, started } of meant) {
      const order = { op: 'process.kill', node: mesh.nodeId(node), proc, started } as const
      const { result } = await mesh.command({ v: 1, ...order, signal: 'KILL', grace_ms: 0 })
      ended.push({ node, proc, state: result.state })
    }
    return ended
  })
  return { answers, notAsked }
}
