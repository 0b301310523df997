// A key of an SVID that is made in the TPM and stays there: what the node says is signed by the TPM, and whoever reads the
// agent's memory has nothing to sign with elsewhere. Between two signatures it is put aside as a context, which only this TPM
// can load; the TPM's next reset ends it. A key that has failed once is given up: it is not asked again, and the node renews.
import { ZtError } from '#shared/errors/error.ts'
import { sha256 } from '#shared/encoding/digest.ts'
import type { SigningKey } from '#shared/host/tpm/attester.ts'
import { parsePublic2b, type TpmPublic } from '#shared/tpm/public.ts'
import { parseTpmSignature, rawEcdsa, verifyTpmSignature } from '#shared/tpm/signature.ts'
import { spkiOfPublic } from '#shared/tpm/spki.ts'
import type { TpmAccess } from './tpm-access.ts'

/** How a key that is not in memory is doing. */
export interface SigningState {
  /** it signs no more */
  readonly isLost: boolean
  /** signatures that were asked for and are not made yet */
  readonly waiting: number
}

export class TpmSvidKey implements SigningState {
  /** DER SubjectPublicKeyInfo */
  readonly spki: Uint8Array
  /** for the TPM: what is certified, and what signs */
  readonly key: SigningKey
  /** Resolves when the key has failed to sign. */
  readonly lost: Promise<void>
  readonly #access: TpmAccess
  readonly #area: TpmPublic
  readonly #lose: () => void
  #isLost = false
  #waiting = 0

  private constructor(access: TpmAccess, key: SigningKey) {
    this.#access = access
    this.key = key
    this.#area = parsePublic2b(key.public)
    this.spki = spkiOfPublic(this.#area)
    const { promise, resolve } = Promise.withResolvers<void>()
    this.lost = promise
    this.#lose = resolve
  }

  /** Errors: those of TpmAccess.prove(). */
  static async create(access: TpmAccess): Promise<TpmSvidKey> {
    return new TpmSvidKey(access, await access.prove((tpm) => tpm.createSigningKey()))
  }

  get isLost(): boolean {
    return this.#isLost
  }

  get waiting(): number {
    return this.#waiting
  }

  /**
   * ECDSA on P-256 with SHA-256, `r || s`, in its turn. Rejects with ZT-503-TPM or ZT-422-TPM if the TPM does not sign, or signs
   * what does not verify, and from then on.
   */
  sign(data: Uint8Array): Promise<Uint8Array> {
    return this.#sign(data, false)
  }

  /** The same for the request of an admission, ahead of what waits. */
  signRequest(data: Uint8Array): Promise<Uint8Array> {
    return this.#sign(data, true)
  }

  async #sign(data: Uint8Array, ahead: boolean): Promise<Uint8Array> {
    const requireWanted = (): void => {
      if (this.#isLost) throw new ZtError('ZT-503-TPM', 'tpm: the key of the svid signs no more')
    }
    this.#waiting += 1
    try {
      requireWanted()
      const digest = sha256(data)
      const made = await this.#access.sign((tpm) => tpm.sign(this.key, digest), { ahead, requireWanted })
      const signature = parseTpmSignature(made)
      if (signature.algorithm === 'ecdsa' && verifyTpmSignature(this.#area, signature, data)) {
        const raw = rawEcdsa(signature, 'P-256')
        if (raw !== undefined) return raw
      }
      throw new ZtError('ZT-422-TPM', 'the tpm gave a signature that does not verify')
    } catch (error) {
      this.#isLost = true
      this.#lose()
      throw error
    } finally {
      this.#waiting -= 1
    }
  }
}
