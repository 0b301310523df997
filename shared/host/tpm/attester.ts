// What a node does with its TPM: shows which TPM it is, makes a key that only attests, proves that both are in one TPM, quotes,
// and keeps keys and secrets that leave it as blobs alone.
//
// The attestation key is a child of a storage primary, not a primary itself. A primary is derived from the hierarchy's seed:
// the same template would give the same key for ever, to whoever asks, so a node that is set up again could not have a new one.
// A child comes from the TPM's random numbers and is a blob in the node's state folder: it is gone with the folder, it is useless
// to another TPM, and TPM2_Clear ends it. It is loaded for each use and never made persistent: a TPM has few places for that,
// and they are the administrator's.
//
// That primary is in the endorsement hierarchy. For a key of the owner's, a TPM blurs the reset counters and the firmware version
// in all that it attests (Part 1 §36.7), and the hub could tell neither a reboot nor a firmware by its number. A signing key lies
// beside it, so that it needs no password more than the attestation key does. Sealed data are the owner's.
//
// One operation at a time has the TPM to itself, and holds three objects at most: what every TPM has room for.
import { ZtError } from '#shared/errors/error.ts'
import {
  activateCredential,
  certify,
  certifyCreation,
  sign,
  type Attestation,
} from '#shared/tpm/attest-calls.ts'
import { HANDLE, PROPERTY } from '#shared/tpm/constants.ts'
import {
  contextLoad,
  contextSave,
  create,
  createPrimary,
  load,
  unseal,
  type CreationRecord,
  type TpmBlob,
  type TpmObject,
} from '#shared/tpm/object-calls.ts'
import type { PcrSelection } from '#shared/tpm/pcr.ts'
import { encodePublic2b } from '#shared/tpm/public.ts'
import {
  attestationKey,
  sealedData,
  signingKey,
  STORAGE_PRIMARY,
  type AkAlgorithm,
  type EndorsementKind,
} from '#shared/tpm/templates.ts'
import { systemClock, type Clock } from '../clock.ts'
import { TpmCommands } from './commands.ts'
import type { TpmDevice } from './device.ts'
import { EndorsementKeys, type Endorsement, type Passwords } from './endorsement.ts'
import { quoteRegisters, type Quote } from './registers.ts'

export interface AttesterOptions {
  /** of the hierarchies; empty unless given. They cross the bus as they are */
  readonly ownerPassword?: Uint8Array
  readonly endorsementPassword?: Uint8Array
  /** which endorsement key to show; the preferred of those that the TPM has, unless given */
  readonly endorsement?: EndorsementKind
  readonly clock?: Clock
}

export interface CreatedAk extends TpmBlob {
  /** TPMS_CREATION_DATA, its digest and ticket, and what the key itself says of its creation: TPMS_ATTEST, TPMT_SIGNATURE */
  readonly creation: CreationRecord & { readonly certifyInfo: Uint8Array; readonly signature: Uint8Array }
}

/** A key that is put aside between two uses. */
export interface SigningKey {
  /** TPM2B_PUBLIC */
  readonly public: Uint8Array
  /** TPMS_CONTEXT, encrypted by the TPM for itself: of no use to another one, nor after a reset */
  readonly context: Uint8Array
}

const NONE = new Uint8Array()
const MAX_SEALED_BYTES = 128

export class TpmAttester {
  readonly #device: TpmDevice
  readonly #tpm: TpmCommands
  readonly #keys: EndorsementKeys
  readonly #passwords: Passwords
  readonly #kind: EndorsementKind | undefined
  #endorsement: Endorsement | undefined
  #last: Promise<unknown> = Promise.resolve()

  private constructor(device: TpmDevice, options: AttesterOptions) {
    const { ownerPassword = NONE, endorsementPassword = NONE, clock = systemClock } = options
    this.#device = device
    this.#passwords = { owner: ownerPassword, endorsement: endorsementPassword }
    this.#tpm = new TpmCommands(device, clock)
    this.#keys = new EndorsementKeys(this.#tpm, this.#passwords)
    this.#kind = options.endorsement
  }

  /**
   * Resolves once the TPM answers; the device is the attester's from then on. Every operation throws ZT-503-TPM if the TPM
   * refuses or does not answer, and ZT-422-TPM if it answers what no TPM answers; nothing then stays in the TPM.
   */
  static async open(device: TpmDevice, options: AttesterOptions = {}): Promise<TpmAttester> {
    const attester = new TpmAttester(device, options)
    await attester.#tpm.ready()
    return attester
  }

  /** Waits for the operation under way, then closes the device. */
  async close(): Promise<void> {
    await this.#last
    await this.#device.close()
  }

  /** The endorsement key's TPM2B_PUBLIC, and its certificate first of all. ZT-412-EK if the TPM has none to show. */
  endorsement(): Promise<{ certificates: readonly Uint8Array[]; public: Uint8Array; kind: EndorsementKind }> {
    return this.#alone(async () => {
      const { certificates, area, kind } = await this.#found()
      return { certificates, public: encodePublic2b(area), kind }
    })
  }

  /** A new attestation key, with what it says of its own creation. `extraData`, at most 64 bytes, goes into that. */
  createAk(algorithm: AkAlgorithm = 'ecdsa-p256', extraData: Uint8Array = NONE): Promise<CreatedAk> {
    return this.#alone(() =>
      this.#tpm.withObject(this.#primary('endorsement'), async ({ handle: parent }) => {
        const made = await this.#tpm.run(create({ parent, area: attestationKey(algorithm) }))
        const said = await this.#tpm.withObject(load(parent, made), ({ handle }) =>
          this.#tpm.run(certifyCreation({ ak: handle, object: handle, extraData }, made.creation)),
        )
        const creation = { ...made.creation, certifyInfo: said.attest, signature: said.signature }
        return { public: made.public, private: made.private, creation }
      }),
    )
  }

  /** Throws ZT-503-TPM if `ak` is not an attestation key of this TPM (details.rc TPM_RC_INTEGRITY), as after TPM2_Clear. */
  checkAk(ak: TpmBlob): Promise<void> {
    return this.#alone(() => this.#withAk(ak, () => Promise.resolve()))
  }

  /**
   * The secret of a credential that was made for this TPM's endorsement key and for `ak`; the TPM refuses any other.
   * It crosses the bus in the clear. `blob` is a TPM2B_ID_OBJECT, `encryptedSecret` a TPM2B_ENCRYPTED_SECRET.
   */
  activate(ak: TpmBlob, blob: Uint8Array, encryptedSecret: Uint8Array): Promise<Uint8Array> {
    return this.#alone(async () => {
      const endorsement = await this.#found()
      return this.#withAk(ak, ({ handle }) =>
        this.#keys.use(endorsement, (ek, ekAuth) =>
          this.#tpm.run(activateCredential({ ak: handle, ek: ek.handle, ekAuth, blob, encryptedSecret })),
        ),
      )
    })
  }

  /** A quote of the registers by `ak` over `extraData` (at most 64 bytes), with the values that it is of. */
  quote(ak: TpmBlob, extraData: Uint8Array, selection: PcrSelection): Promise<Quote> {
    return this.#alone(() =>
      this.#withAk(ak, async ({ handle, area }) => {
        const hash = area.scheme?.hash ?? area.nameAlg
        return quoteRegisters(this.#tpm, { ak: handle, extraData, selection, hash })
      }),
    )
  }

  /**
   * A new P-256 key that signs what it is given and cannot leave the TPM. It lies in no place of the TPM's and in no file:
   * it lives as long as its context, which the TPM's next reset makes worthless.
   */
  createSigningKey(): Promise<SigningKey> {
    return this.#alone(() =>
      this.#tpm.withObject(this.#primary('endorsement'), async ({ handle: parent }) => {
        const made = await this.#tpm.run(create({ parent, area: signingKey() }))
        return this.#tpm.withObject(load(parent, made), async ({ handle }) => ({
          public: made.public,
          context: await this.#tpm.run(contextSave(handle)),
        }))
      }),
    )
  }

  /** That `key` is in this TPM, said by `ak`. */
  certify(ak: TpmBlob, { context }: SigningKey, extraData: Uint8Array): Promise<Attestation> {
    return this.#alone(() =>
      this.#withAk(ak, ({ handle }) =>
        this.#tpm.withObject(contextLoad(context), (key) =>
          this.#tpm.run(certify({ ak: handle, object: key.handle, extraData })),
        ),
      ),
    )
  }

  /** A TPMT_SIGNATURE over a SHA-256 digest. */
  sign({ context }: SigningKey, digest: Uint8Array): Promise<Uint8Array> {
    return this.#alone(() =>
      this.#tpm.withObject(contextLoad(context), ({ handle }) => this.#tpm.run(sign(handle, digest))),
    )
  }

  /** At most 128 bytes that only this TPM gives back, to whoever can use it. */
  seal(data: Uint8Array): Promise<TpmBlob> {
    if (data.length === 0 || data.length > MAX_SEALED_BYTES)
      throw new ZtError('ZT-413-SIZE', `cannot seal ${data.length} bytes: 1 to ${MAX_SEALED_BYTES}`)
    return this.#alone(() =>
      this.#tpm.withObject(this.#primary('owner'), async ({ handle: parent }) => {
        const made = await this.#tpm.run(create({ parent, area: sealedData(), data }))
        return { public: made.public, private: made.private }
      }),
    )
  }

  /** What was sealed. Throws ZT-503-TPM if that was not by this TPM (details.rc TPM_RC_INTEGRITY), as after TPM2_Clear. */
  unseal(blob: TpmBlob): Promise<Uint8Array> {
    return this.#alone(() =>
      this.#tpm.withChild(
        this.#primary('owner'),
        (parent) => load(parent, blob),
        ({ handle }) => this.#tpm.run(unseal(handle)),
      ),
    )
  }

  /** The maker's four letters, as the TPM says; not attested. */
  manufacturer(): Promise<string> {
    return this.#alone(async () => {
      const id = (await this.#tpm.property(PROPERTY.manufacturer)) ?? 0
      const letters = Buffer.alloc(4)
      letters.writeUInt32BE(id)
      return letters.toString('latin1').replace(/[^ -~]/g, '')
    })
  }

  async #found(): Promise<Endorsement> {
    this.#endorsement ??= await this.#keys.find(this.#kind)
    return this.#endorsement
  }

  #primary(hierarchy: keyof Passwords): ReturnType<typeof createPrimary> {
    return createPrimary({
      hierarchy: HANDLE[hierarchy],
      password: this.#passwords[hierarchy],
      area: STORAGE_PRIMARY,
    })
  }

  #withAk<T>(ak: TpmBlob, use: (object: TpmObject) => Promise<T>): Promise<T> {
    return this.#tpm.withChild(this.#primary('endorsement'), (parent) => load(parent, ak), use)
  }

  #alone<T>(operation: () => Promise<T>): Promise<T> {
    const result = this.#last.then(operation)
    this.#last = result.catch(() => undefined)
    return result
  }
}
