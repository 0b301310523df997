// ztctl node ls
import type { NodeEntry } from '#shared/protocol/hub-ops.ts'
import { withMesh } from '../client/live-mesh.ts'
import { rememberNames } from '../completion/names.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'
import { printListing } from '../output/print.ts'
import { rfc3339, shortDuration } from '../output/time.ts'

const ASSURANCE = ['-', 'join token', 'TPM', 'TPM + image'] as const

export async function execute(call: Invocation, io: Io): Promise<number> {
  const { nodes } = await withMesh({ call, io }, ({ current }) => current.hub('node.list', {}))
  const items = nodes.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  rememberNames(
    'nodes',
    items.map((node) => node.name),
    io.env,
  )
  const now = io.clock.now()
  const ago = (at: number | null): string => (at === null ? 'never' : `${shortDuration(now - at)} ago`)
  printListing<NodeEntry>(
    {
      kind: 'NodeList',
      headings: ['NAME', 'STATE', 'ASSURANCE', 'JOINED', 'SEEN', 'ANCHORED'],
      items,
      toName: (node) => node.name,
      toRow: (node) => [
        node.name,
        node.state,
        ASSURANCE[node.lvl] ?? String(node.lvl),
        ago(node.joined),
        ago(node.seen),
        ago(node.anchored),
      ],
      toJson: (node) => ({
        name: node.name,
        id: node.id,
        state: node.state,
        assurance: node.lvl,
        joined: rfc3339(node.joined ?? undefined),
        seen: rfc3339(node.seen ?? undefined),
        anchored: rfc3339(node.anchored ?? undefined),
      }),
    },
    call,
    io,
  )
  return 0
}
