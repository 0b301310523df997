// The PCR policy in force. It only ever goes forward: a signed policy of an older version is refused, whoever brings it,
// because an older one may accept what a newer one has stopped accepting.
import { readFileSync } from 'node:fs'
import { ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { Logger } from '#shared/host/logger.ts'
import type { TrustDomain } from '#shared/identity/names.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import type { NoteVerifier } from '#shared/log/note.ts'
import type { RowDraft } from '#shared/log/row.ts'
import {
  DEFAULT_PCR_BANK,
  DEFAULT_PCR_INDICES,
  openPcrPolicy,
  type OpenedPcrPolicy,
} from '#shared/protocol/pcr-policy.ts'
import type { PcrWish } from '#shared/protocol/tpm-evidence.ts'
import type { RowWriter, WrittenRow } from '../audit/rows.ts'
import type { PcrPolicyStore, StoredPcrPolicy } from '../store/store.ts'

export interface PcrPolicyParts {
  readonly store: PcrPolicyStore
  readonly rows: RowWriter
  readonly clock: Clock
  readonly log: Logger
  readonly td: TrustDomain
  readonly hubId: SpiffeId
  /** whose policies are taken */
  readonly keys: readonly NoteVerifier[]
}

/** A policy as it is held: also the note, for whoever wants to see for themselves. */
export interface HeldPcrPolicy extends OpenedPcrPolicy {
  readonly note: string
  readonly appliedAt: number
  readonly appliedBy: string
}

/** Who brings a policy, for its row. */
export type BroughtBy = Pick<RowDraft, 'actor' | 'req' | 'pol'> & { readonly id: SpiffeId }

/** Dates and times are versions too; but one slip must not use up all numbers, after which no policy could follow. */
const MAX_STEP = 100_000_000_000_000

export class PcrPolicies {
  readonly #parts: PcrPolicyParts
  #held: HeldPcrPolicy | undefined

  private constructor(parts: PcrPolicyParts) {
    this.#parts = parts
  }

  /**
   * Reads what the store holds, and applies the policy of `file` if it is newer. ZT-403-PCR-POLICY if either is not
   * signed by a key of the configuration: a hub does not go on without the policy that it had.
   */
  static async open(parts: PcrPolicyParts, file: string | undefined): Promise<PcrPolicies> {
    const policies = new PcrPolicies(parts)
    const stored = await parts.store.current()
    if (stored !== undefined) policies.#held = policies.#open(stored)
    if (file !== undefined) await policies.#applyFile(file)
    return policies
  }

  get current(): HeldPcrPolicy | undefined {
    return this.#held
  }

  /** What a TPM is to quote: what the policy judges, or, while there is none, what says the most. */
  wish(): PcrWish {
    const policy = this.#held?.policy
    return {
      bank: policy?.bank ?? DEFAULT_PCR_BANK,
      indices: policy?.indices ?? DEFAULT_PCR_INDICES,
      eventLog: policy?.eventLog === 'required',
    }
  }

  /**
   * Puts a signed policy in force. ZT-403-PCR-POLICY if no configured key signed it for this mesh; ZT-409-PCR-POLICY if
   * it is not newer than the one in force, or of a version far beyond it.
   */
  async apply(
    note: string,
    by: BroughtBy,
  ): Promise<{ readonly version: number; readonly digest: string; readonly row: WrittenRow }> {
    const { store, rows, clock } = this.#parts
    const { policy, digest, signers } = this.#read(note)
    const { version } = policy
    this.#requireNewer(version)
    const { id, ...who } = by
    const sets = policy.sets.map((set) => set.name)
    const obj = { version, digest, signers, sets, before: this.#held?.policy.version ?? 0 }
    const row = await rows.append({ type: 'pcr_policy.applied', out: 'allow', ...who, obj })
    const stored = { version, digest, note, appliedAt: clock.now(), appliedBy: id }
    // If we crash before this, the row says what was about to be applied, and the policy before it is in force.
    if (!(await store.apply(stored))) throw notNewer(version)
    // A newer one may have been applied during the write.
    if (version > (this.#held?.policy.version ?? 0)) this.#held = this.#open(stored)
    return { version, digest, row }
  }

  async #applyFile(file: string): Promise<void> {
    const note = readPolicy(file)
    const { policy, digest } = this.#read(note)
    const held = this.#held
    if (held !== undefined && policy.version <= held.policy.version) {
      if (policy.version === held.policy.version && digest !== held.digest)
        throw new ZtError('ZT-409-PCR-POLICY', 'tpm.policyFile is another policy of the version in force')
      if (policy.version < held.policy.version)
        this.#parts.log.warn('tpm.policyFile is older than the PCR policy in force, and is not applied', {
          file: policy.version,
          in_force: held.policy.version,
        })
      return
    }
    await this.apply(note, { id: this.#parts.hubId })
  }

  #read(note: string): OpenedPcrPolicy {
    const { keys, td } = this.#parts
    return openPcrPolicy(note, { keys, td })
  }

  #open({ note, appliedAt, appliedBy }: StoredPcrPolicy): HeldPcrPolicy {
    return { ...this.#read(note), note, appliedAt, appliedBy }
  }

  #requireNewer(version: number): void {
    const before = this.#held?.policy.version ?? 0
    if (version <= before) throw notNewer(version)
    if (version - before > MAX_STEP)
      throw new ZtError('ZT-409-PCR-POLICY', `version ${version} leaves out more than ${MAX_STEP} versions`)
  }
}

const notNewer = (version: number): ZtError =>
  new ZtError('ZT-409-PCR-POLICY', `version ${version} is not newer than the PCR policy in force`)

function readPolicy(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new ZtError('ZT-400-CONFIG', 'tpm.policyFile cannot be read', { cause })
  }
}
