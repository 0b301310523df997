// Signs a trust bundle with a root's key: linted first, verified by code that is not ours, and opened as a node would.
import { verify, X509Certificate } from 'node:crypto'
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
import type { LintedBundle } from '../lint/bundle.ts'
import { failed, hex } from './certify.ts'
import type { Facts } from '#shared/protocol/ceremony-transcript.ts'

/**
 * The bundle as "zt-bundle+jws". Throws ZT-401-BUNDLE if a node that pins this root would refuse it, ZT-500-KEYSTORE for
 * a signature that OpenSSL does not verify.
 */
export async function bundleOf(
  linted: LintedBundle,
  signer: { readonly root: Certificate; readonly key: StoredKey; readonly now: number },
): Promise<string> {
  const { root, key, now } = signer
  const text = await signBundle(linted.bundle, {
    alg: 'ES384',
    x5c: [root.der],
    sign: async (data) => rawSignature(await key.sign(linted.redeem(data, root)), 'P-384'),
  })
  requireBundle(text, { bundle: linted.bundle, root, now })
  return text
}

/** Throws unless `text` is `bundle`, signed by `root`: by our own code and by OpenSSL. */
export function requireBundle(
  text: string,
  { bundle, root, now }: { readonly bundle: TrustBundle; readonly root: Certificate; readonly now: number },
): void {
  const read = openBundle(text, { pinnedRoot: rootFingerprint(root) }, now)
  if (read.sequence !== bundle.sequence) throw failed('the bundle has another number than was meant')
  // Same sequence, so same content: what was signed is what was meant.
  requireNewer(read, bundle)
  const split = text.lastIndexOf('.')
  const { publicKey } = new X509Certificate(Buffer.from(root.der))
  const key = { key: publicKey, dsaEncoding: 'ieee-p1363' } as const
  const signature = Buffer.from(text.slice(split + 1), 'base64url')
  if (!verify('sha384', Buffer.from(text.slice(0, split), 'latin1'), key, signature))
    throw failed('openssl does not verify the signature of the bundle')
}

/** What a transcript says of a bundle. */
export function bundleFacts(text: string, bundle: TrustBundle, root: Certificate): Facts {
  return {
    sequence: String(bundle.sequence),
    signer: rootFingerprint(root),
    roots: bundle.roots.map(rootFingerprint).join(' '),
    revoked: String(bundle.revokedIntermediates.length),
    tbs: hex(Buffer.from(text.slice(0, text.lastIndexOf('.')), 'latin1')),
    bundle: hex(Buffer.from(text, 'latin1')),
  }
}
