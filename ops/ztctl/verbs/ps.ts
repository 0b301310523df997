// ztctl ps: processes of all nodes, or of those that -n names. A node that does not answer, or that nobody may ask, is
// named, never left out in silence.
import type { Suspicion } from '#shared/protocol/quarantine.ts'
import type { ProcEntry } from '#shared/protocol/results.ts'
import { exitText } from '../client/exit-code.ts'
import {
  askNodes,
  chosenNodes,
  concludeFanOut,
  failuresOf,
  requireSome,
  sayNotAsked,
  type ChosenNodes,
  type NodeAnswer,
} from '../client/fan-out.ts'
import { listProcesses } from '../client/find-process.ts'
import { withMesh } from '../client/live-mesh.ts'
import type { Mesh } from '../client/mesh.ts'
import { fetchQuarantine, quarantinedJson, warnOf } from '../client/quarantine.ts'
import { rememberNames } from '../completion/names.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'
import { printListing, type Listing } from '../output/print.ts'
import { rfc3339, shortDuration } from '../output/time.ts'

interface Item {
  readonly node: string
  readonly entry: ProcEntry
  readonly suspicion: Suspicion | undefined
}

interface Listed extends Pick<ChosenNodes, 'notAsked'> {
  readonly answers: readonly NodeAnswer<readonly ProcEntry[]>[]
}

export async function execute(call: Invocation, io: Io): Promise<number> {
  const { answers, notAsked, quarantine, nodeId } = await withMesh({ call, io }, async ({ current }) => {
    const [listed, known] = await Promise.all([listAll(call, current), fetchQuarantine(current)])
    return { ...listed, quarantine: known, nodeId: (name: string) => current.nodeId(name) }
  })
  sayNotAsked(notAsked, io)
  requireSome(answers)
  const items = answers.flatMap((answer) =>
    answer.ok
      ? answer.value.map((entry) => {
          const suspicion = quarantine.ofProcess({ ...entry, node: nodeId(answer.node) })
          return { node: answer.node, entry, suspicion }
        })
      : [],
  )
  rememberNames(
    'processes',
    items.map(({ node, entry }) => `${node}/${entry.proc}`),
    io.env,
  )
  printListing({ ...listing(items, io), extra: { errors: failuresOf(answers), notAsked } }, call, io)
  for (const { node, entry, suspicion } of items)
    if (suspicion !== undefined) warnOf(`${node}/${entry.proc}`, suspicion, io)
  return concludeFanOut(answers, io)
}

async function listAll(call: Invocation, mesh: Mesh): Promise<Listed> {
  const all = call.flags.has('all')
  const { asked, notAsked } = await chosenNodes(call, mesh)
  return { answers: await askNodes(asked, (node) => listProcesses(mesh, node, all)), notAsked }
}

function listing(items: readonly Item[], io: Io): Listing<Item> {
  return {
    kind: 'ProcessList',
    headings: ['NODE', 'PROC', 'STATE', 'AGE', 'OWNER', 'PROGRAM'],
    items: items.toSorted((a, b) => a.entry.began - b.entry.began),
    toName: ({ entry }) => entry.proc,
    toRow: ({ node, entry, suspicion }) => [
      node,
      entry.proc,
      `${entry.exit === undefined ? entry.state : exitText(entry.exit)}${suspicion === undefined ? '' : ', quarantined'}`,
      shortDuration(io.clock.now() - entry.began),
      entry.owner.replace(/^spiffe:\/\/[^/]+\//, ''),
      entry.exe,
    ],
    toJson: ({ node, entry, suspicion }) => ({
      node,
      proc: entry.proc,
      started: entry.started,
      state: entry.state,
      owner: entry.owner,
      exe: entry.exe,
      began: rfc3339(entry.began),
      ended: rfc3339(entry.ended),
      exit: entry.exit ?? null,
      quarantined: quarantinedJson(suspicion),
    }),
  }
}
