// ztctl ps: processes of all nodes, or of those that -n names. A node that does not answer is named, never left out.
import type { ProcEntry } from '#shared/protocol/results.ts'
import { exitText } from '../client/exit-code.ts'
import { askNodes, chosenNodes, concludeFanOut, failuresOf, requireSome } from '../client/fan-out.ts'
import { listProcesses } from '../client/find-process.ts'
import { withMesh } from '../client/live-mesh.ts'
import { rememberNames } from '../completion/names.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'
import { printListing, type Listing } from '../output/print.ts'
import { rfc3339, shortDuration } from '../output/time.ts'

interface Item {
  readonly node: string
  readonly entry: ProcEntry
}

export async function execute(call: Invocation, io: Io): Promise<number> {
  const answers = await withMesh({ call, io }, async ({ current }) =>
    askNodes(await chosenNodes(call, current), (node) => listProcesses(current, node, call.flags.has('all'))),
  )
  requireSome(answers)
  const items = answers.flatMap((answer) =>
    answer.ok ? answer.value.map((entry) => ({ node: answer.node, entry })) : [],
  )
  rememberNames(
    'processes',
    items.map(({ node, entry }) => `${node}/${entry.proc}`),
    io.env,
  )
  printListing({ ...listing(items, io), extra: { errors: failuresOf(answers) } }, call, io)
  return concludeFanOut(answers, io)
}

function listing(items: readonly Item[], io: Io): Listing<Item> {
  return {
    kind: 'ProcessList',
    headings: ['NODE', 'PROC', 'STATE', 'AGE', 'OWNER', 'PROGRAM'],
    items: items.toSorted((a, b) => a.entry.began - b.entry.began),
    toName: ({ entry }) => entry.proc,
    toRow: ({ node, entry }) => [
      node,
      entry.proc,
      entry.exit === undefined ? entry.state : exitText(entry.exit),
      shortDuration(io.clock.now() - entry.began),
      entry.owner.replace(/^spiffe:\/\/[^/]+\//, ''),
      entry.exe,
    ],
    toJson: ({ node, entry }) => ({
      node,
      proc: entry.proc,
      started: entry.started,
      state: entry.state,
      owner: entry.owner,
      exe: entry.exe,
      began: rfc3339(entry.began),
      ended: rfc3339(entry.ended),
      exit: entry.exit ?? null,
    }),
  }
}
