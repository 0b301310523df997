// The digest that ties an SVID to what was shown for it, where no TPM was: who keeps the evidence can show that it is the
// same. That of a TPM's evidence is hub/attestation's.
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import { sha256Text } from '#shared/encoding/digest.ts'

/** `sha-256:` and the digest of a key's proof over its transcript. A join token is a secret, so none is in `shown`. */
export function evidenceDigest(
  shown: { readonly type: 'join-token' | 'device-key'; readonly spki: Uint8Array; readonly proof: string },
  transcript: Uint8Array,
): string {
  const { type, spki, proof } = shown
  const text = { type, spki: encodeBase64url(spki), proof, transcript: encodeBase64url(transcript) }
  return `sha-256:${sha256Text(canonicalBytes({ purpose: 'ztmesh-evidence-v1', ...text }))}`
}
