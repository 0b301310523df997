// ztctl node ls
import type { NodeEntry } from '#shared/protocol/hub-ops.ts'
import type { Suspicion } from '#shared/protocol/quarantine.ts'
import { assuranceText } from '../attestation/inspection.ts'
import { withMesh } from '../client/live-mesh.ts'
import { fetchQuarantine, quarantinedJson } from '../client/quarantine.ts'
import { rememberNames } from '../completion/names.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'
import { printListing } from '../output/print.ts'
import { rfc3339, shortDuration } from '../output/time.ts'

export async function execute(call: Invocation, io: Io): Promise<number> {
  const [{ nodes }, quarantine] = await withMesh({ call, io }, ({ current }) =>
    Promise.all([current.hub('node.list', {}), fetchQuarantine(current)]),
  )
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
      headings: ['NAME', 'STATE', 'ASSURANCE', 'JOINED', 'SEEN', 'ANCHORED', 'QUARANTINED'],
      items,
      toName: (node) => node.name,
      toRow: (node) => [
        node.name,
        node.state,
        assuranceText(node),
        ago(node.joined),
        ago(node.seen),
        ago(node.anchored),
        quarantine.ofNode(node.id).map(stretchText).join('; ') || '-',
      ],
      toJson: (node) => ({
        name: node.name,
        id: node.id,
        state: node.state,
        assurance: node.lvl,
        svidKey: node.svidKey,
        joined: rfc3339(node.joined ?? undefined),
        seen: rfc3339(node.seen ?? undefined),
        anchored: rfc3339(node.anchored ?? undefined),
        // The first stretch, and all of them: data of the node is suspect in each.
        quarantined: quarantinedJson(quarantine.ofNode(node.id)[0]),
        quarantines: quarantine.ofNode(node.id).map(quarantinedJson),
      }),
    },
    call,
    io,
  )
  return 0
}

function stretchText({ since, until }: Suspicion): string {
  return `${rfc3339(since) ?? ''} to ${rfc3339(until) ?? 'now'}`
}
