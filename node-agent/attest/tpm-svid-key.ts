// A key of an SVID that is made in the TPM and stays there: what the node says is signed by the TPM, and whoever reads the
// agent's memory has nothing to sign with elsewhere. Between two signatures it is put aside as a context, which only this TPM
// can load; the TPM's next reset ends it, and then the node renews.
import { ZtError } from '#shared/errors/error.ts'
import { sha256 } from '#shared/encoding/digest.ts'
import type { SigningKey } from '#shared/host/tpm/attester.ts'
import { parsePublic2b } from '#shared/tpm/public.ts'
import { parseTpmSignature } from '#shared/tpm/signature.ts'
import { spkiOfPublic } from '#shared/tpm/spki.ts'
import type { TpmAccess } from './tpm-access.ts'

export interface TpmSvidKey {
  /** DER SubjectPublicKeyInfo */
  readonly spki: Uint8Array
  /** for the TPM: what is certified, and what signs */
  readonly key: SigningKey
  /** ECDSA on P-256 with SHA-256, `r || s`. Rejects with ZT-503-TPM or ZT-422-TPM if the TPM does not sign. */
  readonly sign: (data: Uint8Array) => Promise<Uint8Array>
  /** Resolves when the TPM has not signed for the first time. */
  readonly lost: Promise<void>
}

const COORDINATE_BYTES = 32

/** Errors: those of TpmAccess.use(). */
export async function createTpmSvidKey(access: TpmAccess): Promise<TpmSvidKey> {
  const key = await access.use((tpm) => tpm.createSigningKey())
  const { promise: lost, resolve: lose } = Promise.withResolvers<void>()
  const sign = async (data: Uint8Array): Promise<Uint8Array> => {
    try {
      return rawSignature(await access.use((tpm) => tpm.sign(key, sha256(data))))
    } catch (error) {
      lose()
      throw error
    }
  }
  return { spki: spkiOfPublic(parsePublic2b(key.public)), key, sign, lost }
}

function rawSignature(tpmt: Uint8Array): Uint8Array {
  const signature = parseTpmSignature(tpmt)
  if (signature.algorithm !== 'ecdsa' || signature.hash !== 'sha256')
    throw new ZtError('ZT-422-TPM', 'the tpm signed in another way than the key is for')
  const raw = new Uint8Array(2 * COORDINATE_BYTES)
  for (const [part, end] of [
    [signature.r, COORDINATE_BYTES],
    [signature.s, 2 * COORDINATE_BYTES],
  ] as const) {
    if (part.length > COORDINATE_BYTES)
      throw new ZtError('ZT-422-TPM', 'the tpm signed with a number too long')
    raw.set(part, end - part.length)
  }
  return raw
}
