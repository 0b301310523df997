// The identity that a TPM's maker gave it: an endorsement key that the TPM derives again at will, and the certificate of that key
// in the TPM's non-volatile memory. A certificate counts only if the TPM does make its key.
import { isZtError, ZtError } from '#shared/errors/error.ts'
import { byPolicy, type TpmAuthorization } from '#shared/tpm/call.ts'
import { HANDLE, HANDLE_RANGE, PROPERTY } from '#shared/tpm/constants.ts'
import { certificatesInArea, certifiesKey } from '#shared/tpm/ek-area.ts'
import { createPrimary, type TpmObject } from '#shared/tpm/object-calls.ts'
import { isReadable, nvRead, nvReadPublic } from '#shared/tpm/platform-calls.ts'
import { policyEndorsement, policyOr } from '#shared/tpm/policy-calls.ts'
import { parsePublic, type EccPublic, type RsaPublic } from '#shared/tpm/public.ts'
import {
  ENDORSEMENT_TEMPLATES,
  withNonce,
  type EndorsementKind,
  type EndorsementTemplate,
} from '#shared/tpm/templates.ts'
import { sessionNonce, type TpmCommands } from './commands.ts'

export interface Passwords {
  readonly owner: Uint8Array
  readonly endorsement: Uint8Array
}

export interface Endorsement {
  readonly kind: EndorsementKind
  /** DER: the endorsement key's, then those that the TPM keeps of its issuers, at most four in all */
  readonly certificates: readonly Uint8Array[]
  /** what the TPM makes the key from */
  readonly template: RsaPublic | EccPublic
  /** the key, as the TPM made it */
  readonly area: TpmObject['area']
}

// EK Credential Profile 2.5 §2.2.1.5.2: the indices for the certificates between the endorsement certificate and its root.
const CHAIN_FIRST = 0x01c0_0100
const CHAIN_END = 0x01c0_0200
// As many as a hub takes: the root is one that it has.
const MAX_CERTIFICATES = 4
const MAX_NV_BYTES = 8192
// Part 2 §6.13: every TPM reads this much at a time, also one that does not say how much.
const SMALLEST_NV_BUFFER = 64
const LARGEST_NV_BUFFER = 2048

export class EndorsementKeys {
  readonly #tpm: TpmCommands
  readonly #passwords: Passwords

  constructor(tpm: TpmCommands, passwords: Passwords) {
    this.#tpm = tpm
    this.#passwords = passwords
  }

  /**
   * The preferred endorsement key that the TPM has with its certificate, or the one of `kind`. Throws ZT-412-EK if there
   * is none: no certificate, or none whose key the TPM makes.
   */
  async find(kind?: EndorsementKind): Promise<Endorsement> {
    const present = new Set(await this.#tpm.handles(HANDLE_RANGE.nvIndex))
    let reason = 'no certificate'
    for (const [name, template] of ENDORSEMENT_TEMPLATES) {
      if ((kind !== undefined && kind !== name) || !present.has(template.certificateIndex)) continue
      const found = await this.#certified(template, present)
      if (found !== undefined) {
        const chain = await this.#issuers(present)
        return {
          kind: name,
          ...found,
          certificates: [found.certificate, ...chain].slice(0, MAX_CERTIFICATES),
        }
      }
      reason = 'no certificate of a key that it makes'
    }
    throw new ZtError('ZT-412-EK', `the TPM has no endorsement key to show: ${reason}`, {
      details: { reason },
    })
  }

  /** Runs `use` with the key in the TPM and an authorisation for its use. */
  async use<T>(
    { kind, template }: Endorsement,
    use: (ek: TpmObject, auth: TpmAuthorization) => Promise<T>,
  ): Promise<T> {
    return this.#tpm.withObject(this.#make(template), (ek) =>
      this.#tpm.withPolicySession(template.nameAlg, async (session) => {
        await this.#tpm.run(policyEndorsement(session, this.#passwords.endorsement))
        const branches = ENDORSEMENT_TEMPLATES.get(kind)?.policyBranches ?? []
        if (branches.length > 0) await this.#tpm.run(policyOr(session, branches))
        return use(ek, byPolicy(session, sessionNonce()))
      }),
    )
  }

  async #certified(
    candidate: EndorsementTemplate,
    present: ReadonlySet<number>,
  ): Promise<(Pick<Endorsement, 'template' | 'area'> & { certificate: Uint8Array }) | undefined> {
    const stored = await this.#readArea(candidate.certificateIndex)
    const [certificate] = unlessMalformed(() => certificatesInArea(stored)) ?? []
    if (certificate === undefined) return undefined
    const template = await this.#ownTemplate(candidate, present)
    const area = await this.#tpm.withObject(this.#make(template), (ek) => Promise.resolve(ek.area))
    const certified = unlessMalformed(() => certifiesKey(certificate, area)) === true
    return certified ? { template, area, certificate } : undefined
  }

  /** The TPM's own template and nonce, where its maker left any (EK Credential Profile 2.5, B.3.1, B.3.2). */
  async #ownTemplate(
    { area, templateIndex, nonceIndex }: EndorsementTemplate,
    present: ReadonlySet<number>,
  ): Promise<RsaPublic | EccPublic> {
    if (templateIndex !== undefined && present.has(templateIndex)) {
      const stored = await this.#readArea(templateIndex)
      const own = unlessMalformed(() => parsePublic(stored))
      if (own !== undefined && own.type !== 'keyedHash') return own
    }
    if (nonceIndex === undefined || !present.has(nonceIndex)) return area
    return withNonce(area, await this.#readArea(nonceIndex))
  }

  async #issuers(present: ReadonlySet<number>): Promise<readonly Uint8Array[]> {
    const indices = [...present].filter((index) => index >= CHAIN_FIRST && index < CHAIN_END)
    const pieces: Uint8Array[] = []
    for (const index of indices.toSorted((a, b) => a - b).slice(0, MAX_CERTIFICATES))
      pieces.push(await this.#readArea(index))
    // They are a help for the hub, which may know the issuers itself: what cannot be read is not there.
    return unlessMalformed(() => certificatesInArea(new Uint8Array(Buffer.concat(pieces)))) ?? []
  }

  #make(area: RsaPublic | EccPublic): ReturnType<typeof createPrimary> {
    return createPrimary({ hierarchy: HANDLE.endorsement, password: this.#passwords.endorsement, area })
  }

  /** All of an area; empty if it has not been written, or neither its own empty password nor the owner's reads it. */
  async #readArea(index: number): Promise<Uint8Array> {
    const area = await this.#tpm.run(nvReadPublic(index))
    if (!isReadable(area)) return new Uint8Array()
    if (area.bytes > MAX_NV_BYTES)
      throw new ZtError('ZT-422-TPM', `the area 0x${index.toString(16)} has ${area.bytes} bytes`)
    const atOnce = await this.#nvBuffer()
    const pieces: Uint8Array[] = []
    for (let offset = 0; offset < area.bytes; offset += atOnce) {
      const length = Math.min(atOnce, area.bytes - offset)
      const input = { area, offset, length, ownerPassword: this.#passwords.owner }
      pieces.push(await this.#tpm.run(nvRead(input)))
    }
    return new Uint8Array(Buffer.concat(pieces))
  }

  async #nvBuffer(): Promise<number> {
    const most = (await this.#tpm.property(PROPERTY.nvBufferMax)) ?? SMALLEST_NV_BUFFER
    return Math.min(Math.max(most, SMALLEST_NV_BUFFER), LARGEST_NV_BUFFER)
  }
}

/** What `read` makes of an area; undefined if its content is malformed, so that the TPM's other keys are still tried. */
function unlessMalformed<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (isZtError(error, 'ZT-422-TPM')) return undefined
    throw error
  }
}
