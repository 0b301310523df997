// What operators may know of machines' proofs, and the one thing of them that they may change: the PCR policy.
import { sha256Text } from '#shared/encoding/digest.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { NodeName, TrustDomain } from '#shared/identity/names.ts'
import { nodeId, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import type { HubAction } from '#shared/policy/facts.ts'
import type { AttestationResults } from '#shared/protocol/attestation-ops.ts'
import type { NodeInspection } from '#shared/protocol/node-inspection.ts'
import { setsFor } from '#shared/protocol/pcr-policy.ts'
import type { PcrPolicies } from '../admission/pcr-policies.ts'
import { actorOf } from '../audit/rows.ts'
import { requireAllowed, type Policy } from '../authority/policy.ts'
import type { Decided } from '../revocation/revocation.ts'
import type { HubStore, NodeRecord } from '../store/store.ts'
import { stateOf, type Asking, type Done } from './registry.ts'

export interface AttestationOfficeParts {
  readonly trustDomain: TrustDomain
  readonly clock: Clock
  readonly store: Pick<HubStore, 'nodes'>
  readonly policy: Policy
  /** undefined where the configuration takes no TPMs */
  readonly pcrPolicies: PcrPolicies | undefined
}

export class AttestationOffice {
  readonly #parts: AttestationOfficeParts

  constructor(parts: AttestationOfficeParts) {
    this.#parts = parts
  }

  /** ZT-403-POLICY, ZT-404-NODE. */
  async inspect(
    { node: name }: { readonly node: NodeName },
    asking: Asking,
  ): Promise<Done<AttestationResults['node.inspect']>> {
    this.#require(asking, 'node.inspect', name)
    const { nodes } = this.#parts.store
    const node = await nodes.find(name)
    if (node === undefined) throw new ZtError('ZT-404-NODE', 'the node is not registered')
    const attestation = (await nodes.attestation(name)) ?? null
    return { result: { ...this.#registered(name, node), attestation } }
  }

  /** ZT-403-POLICY, ZT-403-PCR-POLICY, ZT-409-PCR-POLICY, ZT-412-TPM. */
  async applyPolicy(
    { note }: { readonly note: string },
    asking: Asking,
  ): Promise<Done<AttestationResults['pcr-policy.apply']>> {
    const { by, request, policy } = this.#require(asking, 'pcr-policy.apply')
    const policies = this.#policies()
    const brought = { id: by.id, actor: actorOf(by), req: request, pol: policy }
    const { version, digest, row } = await policies.apply(note, brought)
    return { result: { version, digest }, row }
  }

  /** ZT-403-POLICY, ZT-412-TPM. */
  async showPolicy(asking: Asking): Promise<Done<AttestationResults['pcr-policy.show']>> {
    this.#require(asking, 'pcr-policy.show')
    const { current } = this.#policies()
    if (current === undefined) return { result: { policy: null } }
    const { note, appliedAt, appliedBy } = current
    return { result: { policy: { note, appliedAt, appliedBy: appliedBy as SpiffeId } } }
  }

  #registered(name: NodeName, node: NodeRecord): Omit<NodeInspection, 'attestation'> {
    const { device, tpm, log, lvl, boot, fence } = node
    return {
      name,
      id: nodeId(this.#parts.trustDomain, name),
      state: stateOf(node),
      lvl,
      boot,
      fence,
      log: log?.origin ?? null,
      device: device === undefined ? null : sha256Text(device),
      tpm:
        tpm === undefined
          ? null
          : { ek: tpm.ek, maker: tpm.maker, quote: tpm.quote ?? null, drifted: tpm.drifted ?? null },
      policy: tpm === undefined ? null : this.#policyFor(name),
    }
  }

  #policyFor(name: NodeName): NodeInspection['policy'] {
    const held = this.#parts.pcrPolicies?.current
    if (held === undefined) return null
    const { version, bank } = held.policy
    const sets = setsFor(held.policy, name).map((set) => ({
      name: set.name,
      notAfter: set.notAfter ?? null,
      values: set.values,
    }))
    return { version, digest: held.digest, bank, sets }
  }

  #policies(): PcrPolicies {
    const { pcrPolicies } = this.#parts
    if (pcrPolicies !== undefined) return pcrPolicies
    throw new ZtError('ZT-412-TPM', 'this hub takes no evidence of a TPM, so it has no PCR policy')
  }

  #require({ caller, request }: Asking, action: HubAction, target?: string): Decided {
    const judgement = this.#parts.policy.onHub(caller.id, {
      action,
      ...(target !== undefined && { target }),
    })
    requireAllowed(judgement)
    return { by: caller, request, policy: judgement.row }
  }
}
