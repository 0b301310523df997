// ztctl federation ls
import type { RelationStatus } from '#shared/protocol/federation.ts'
import { withMesh } from '../client/live-mesh.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'
import { printListing } from '../output/print.ts'
import { rfc3339, shortDuration } from '../output/time.ts'

export async function execute(call: Invocation, io: Io): Promise<number> {
  const { relations } = await withMesh({ call, io }, ({ current }) => current.hub('federation.list', {}))
  const now = io.clock.now()
  printListing<RelationStatus>(
    {
      kind: 'FederationList',
      headings: ['TRUST DOMAIN', 'PROFILE', 'SEQUENCE', 'X509', 'JWT', 'FETCHED', 'FAILING', 'URL'],
      items: relations,
      toName: (relation) => relation.trust_domain,
      toRow: ({ trust_domain, profile, sequence, x509, jwt, fetched, failing, url }) => [
        trust_domain,
        profile,
        sequence ?? '-',
        String(x509),
        String(jwt),
        fetched === null ? 'never' : `${shortDuration(now - fetched)} ago`,
        failing ?? '-',
        url,
      ],
      toJson: ({ fetched, ...relation }) => ({ ...relation, fetched: rfc3339(fetched ?? undefined) }),
    },
    call,
    io,
  )
  return 0
}
