// The hub's part in attestation by TPM, if its configuration names whom it trusts for it.
import { parseVkey } from '#shared/log/note.ts'
import { PcrPolicies } from '../admission/pcr-policies.ts'
import { TpmAttestor } from '../admission/tpm.ts'
import { readTpmTrust } from '../admission/tpm-trust.ts'
import type { Ground } from './ground.ts'

export interface TpmOffice {
  readonly attestor: TpmAttestor
  readonly policies: PcrPolicies
}

/** undefined: no evidence of a TPM is taken. Throws ZT-400-CONFIG, ZT-403-PCR-POLICY, ZT-409-PCR-POLICY. */
export async function openTpmOffice(ground: Ground): Promise<TpmOffice | undefined> {
  const { options, log: rows, store } = ground
  const { config, clock, log } = options
  const { tpm, trustDomain: td, id: hubId } = config
  if (tpm === undefined) return undefined
  const parts = { store: store.pcrPolicies, rows, clock, log, td, hubId, keys: tpm.policyKeys.map(parseVkey) }
  const policies = await PcrPolicies.open(parts, tpm.policyFile)
  const attestor = new TpmAttestor({ store, trust: readTpmTrust(tpm), policies, log })
  return { attestor, policies }
}
