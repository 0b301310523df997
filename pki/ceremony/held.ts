// The bundle in force: the one that the ceremonies before left so, by its digest in a transcript that officers signed.
// Nothing else is taken for it, so that no revocation is forgotten and no root trusted by bringing another file.
import { BUNDLE_TYP, parseJws } from '#shared/jose/jws.ts'
import { openBundle, type TrustBundle } from '#shared/x509/bundle.ts'
import { hex } from './certify.ts'
import { requireTrusted } from './describe.ts'
import { readAs, refuse, type InputFile } from './fields.ts'
import { bundleLeft } from './history.ts'
import type { Basis } from './work.ts'

const MAX_BYTES = 64 * 1024

/** Throws ZT-422-CEREMONY unless `input` is the bundle in force, opens as one, and trusts the root of the ceremony. */
export function heldBundle(input: InputFile, { inputs, root, before, now }: Basis): TrustBundle {
  const { bundle: digest, sequence } = bundleLeft(before)
  if (input.sha256 !== digest)
    throw refuse(
      sequence === ''
        ? 'no bundle is in force: no root ceremony came to its end'
        : `"${input.file}" is not the bundle in force, which is number ${sequence}: ${digest}`,
    )
  const text = Buffer.from(inputs.bytes(input)).toString('latin1')
  // Officers signed its digest, so whichever root signed it was one of ours: before a retirement it may be the other one.
  const held = readAs('the bundle in force', () => {
    const [signer = new Uint8Array()] = parseJws(text, { typ: BUNDLE_TYP, maxBytes: MAX_BYTES }).x5c
    return openBundle(text, { pinnedRoot: hex(signer) }, now)
  })
  requireTrusted(root, held)
  return held
}
