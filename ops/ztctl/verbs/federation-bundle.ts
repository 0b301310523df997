// ztctl federation bundle: a bundle document on stdout, as the other side's configuration takes it for its first fetch; or
// all of them as one map.
import { ZtError } from '#shared/errors/error.ts'
import { parseTrustDomain, type TrustDomain } from '#shared/identity/names.ts'
import type { BundlesResult, NamedBundle } from '#shared/protocol/federation.ts'
import { parseBundleDocument, type BundleDocument } from '#shared/spiffe/bundle-document.ts'
import { buildBundleMap } from '#shared/spiffe/bundle-map.ts'
import { withMesh } from '../client/live-mesh.ts'
import type { Invocation } from '../grammar/invocation.ts'
import { usageError } from '../grammar/usage-error.ts'
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

/** Every bundle under its name, as one SPIFFE bundle map. ZT-422-SPIFFE-BUNDLE for one that does not hold. */
export async function bundleMapOf(ask: Ask): Promise<string> {
  const found: BundleDocument[] = []
  let after: TrustDomain | undefined
  for (;;) {
    const { bundles, more } = await ask(after)
    found.push(...bundles.map(({ td, document }) => parseBundleDocument(document, td)))
    after = bundles.at(-1)?.td
    if (!more || after === undefined) return buildBundleMap(found)
  }
}

export async function execute(call: Invocation, io: Io): Promise<number> {
  const [name] = call.operands
  const isMap = call.flags.has('map')
  if (isMap && name !== undefined)
    throw usageError('--map is of all trust domains', 'leave out the name, or --map')
  const wanted = name === undefined ? undefined : parseTrustDomain(name)
  const text = await withMesh({ call, io }, async ({ current }) => {
    const ask: Ask = (after) => current.hub('bundles', after === undefined ? {} : { after })
    return isMap ? bundleMapOf(ask) : (await find(ask, wanted)).document
  })
  io.stdout.write(`${text}\n`)
  return 0
}
