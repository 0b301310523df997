// ztctl federation bundle: a bundle document on stdout, as the other side's configuration takes it for its first fetch.
import { ZtError } from '#shared/errors/error.ts'
import { parseTrustDomain, type TrustDomain } from '#shared/identity/names.ts'
import type { BundlesResult, NamedBundle } from '#shared/protocol/federation.ts'
import { withMesh } from '../client/live-mesh.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'

type Ask = (after: TrustDomain | undefined) => Promise<BundlesResult>

/** Of that trust domain, else our own: the first of all. ZT-404-TRUST-DOMAIN. */
async function find(ask: Ask, wanted: TrustDomain | undefined): Promise<NamedBundle> {
  let after: TrustDomain | undefined
  for (;;) {
    const { bundles, more } = await ask(after)
    const found = bundles.find(({ td }) => wanted === undefined || td === wanted)
    if (found !== undefined) return found
    after = bundles.at(-1)?.td
    if (!more || after === undefined)
      throw new ZtError('ZT-404-TRUST-DOMAIN', 'the hub holds no bundle of that trust domain')
  }
}

export async function execute(call: Invocation, io: Io): Promise<number> {
  const [name] = call.operands
  const wanted = name === undefined ? undefined : parseTrustDomain(name)
  const { document } = await withMesh({ call, io }, ({ current }) =>
    find((after) => current.hub('bundles', after === undefined ? {} : { after }), wanted),
  )
  io.stdout.write(`${document}\n`)
  return 0
}
