// Signs a trust bundle with the root's key, and sees that a node would take it.
import {
  openBundle,
  requireNewer,
  rootFingerprint,
  signBundle,
  type TrustBundle,
} from '#shared/x509/bundle.ts'
import type { Certificate } from '#shared/x509/certificate.ts'
import { rawSignature } from '#shared/x509/ecdsa-signature.ts'
import type { StoredKey } from '../keystore/keystore.ts'

/** The bundle as "zt-bundle+jws". Throws ZT-401-BUNDLE if a node that pins this root would refuse it. */
export async function bundleOf(
  bundle: TrustBundle,
  signer: { readonly root: Certificate; readonly key: StoredKey; readonly now: number },
): Promise<string> {
  const { root, key, now } = signer
  const text = await signBundle(bundle, {
    alg: 'ES384',
    x5c: [root.der],
    sign: async (data) => rawSignature(await key.sign(data), 'P-384'),
  })
  const read = openBundle(text, { pinnedRoot: rootFingerprint(root) }, now)
  // Same sequence, so same content: what was signed is what was meant.
  requireNewer(read, bundle)
  return text
}
