// What an SVID stands on, in the words of the log's rows and of `node inspect`: the same in the row of the attestation,
// in that of the SVID, and in the store.
import type { JsonObject } from '#shared/encoding/json-value.ts'
import type { NodeAttestation } from '#shared/protocol/node-inspection.ts'
import type { QuoteStep } from '../store/store.ts'
import type { Attested } from './attestor.ts'
import type { Issued } from './credentials.ts'

/** It stayed with the machine that had it. */
export function isRenewal({ how }: Attested): boolean {
  return how === 'device-key' || how === 'tpm'
}

/** Level, evidence and the policy that accepted it (identity.md §4 T14). */
export function groundsOf({ lvl, evidence, tpm }: Attested): JsonObject {
  const policy = tpm?.policy
  return {
    lvl,
    evidence,
    svid_key: tpm?.svidKey ?? 'soft',
    ...(policy !== undefined && {
      pcr_policy: { version: policy.version, set: policy.set, digest: policy.digest },
    }),
  }
}

/** Which TPM it was, and how often it had started. */
export function machineOf({ tpm }: Attested): JsonObject {
  if (tpm === undefined) return {}
  const { resets, restarts, safe, firmware } = tpm.step.quote.clock
  return { tpm: { ek: tpm.ek, resets, restarts, safe, firmware } }
}

/** What to say of a TPM that was reset or restarted since its last quote; undefined if it was not, or there was none. */
export function rebootOf({ quote, before }: QuoteStep): JsonObject | undefined {
  if (before === undefined) return undefined
  const { resets, restarts, firmware } = quote.clock
  if (before.resets === resets && before.restarts === restarts) return undefined
  return {
    resets: [before.resets, resets],
    restarts: [before.restarts, restarts],
    firmware: [before.firmware, firmware],
  }
}

export function attestationOf(
  { lvl, how, evidence, tpm }: Attested,
  { svid, link }: Pick<Issued, 'svid' | 'link'>,
  { rows, at }: Pick<NodeAttestation, 'rows' | 'at'>,
): NodeAttestation {
  return {
    at,
    how: tpm !== undefined ? 'tpm' : how === 'device-key' ? how : 'join-token',
    lvl,
    svidKey: tpm?.svidKey ?? 'soft',
    evidence,
    policy: tpm?.policy ?? null,
    svid,
    ...(link !== undefined && { link: { serial: link.serial, x5t: link.x5t } }),
    rows,
  }
}
