// Staying: a machine that joined proves with its device key, over a fresh challenge, that it is still the same one.
// A name that is unknown and a proof that fails look alike from outside.
import { ZtError } from '#shared/errors/error.ts'
import { publicKeyFromSpki } from '#shared/jose/keys.ts'
import type { Evidence } from '#shared/protocol/admission.ts'
import type { NodeStore } from '../store/store.ts'
import { requireProof, type AttestContext, type Attested, type Attestor } from './attestor.ts'
import { evidenceDigest } from './evidence-digest.ts'

const DEVICE_KEY_LEVEL = 1

export class DeviceKeyAttestor implements Attestor {
  readonly #nodes: Pick<NodeStore, 'find'>

  constructor(nodes: Pick<NodeStore, 'find'>) {
    this.#nodes = nodes
  }

  async attest(evidence: Evidence, context: AttestContext): Promise<Attested | undefined> {
    if (evidence.type !== 'device-key') return undefined
    const node = await this.#nodes.find(context.node)
    // identity.md §4 A22: before its proof, because an attestation key can sign a text as a device key would.
    if (node !== undefined && (node.tpm !== undefined || node.lvl > DEVICE_KEY_LEVEL))
      throw new ZtError('ZT-412-TPM', 'the node is registered with a TPM and must prove itself with it')
    if (node?.device === undefined)
      throw new ZtError('ZT-401-EVIDENCE', 'the proof of the device key does not hold')
    requireProof(publicKeyFromSpki(node.device), evidence.proof, context.transcript)
    if (node.revokedAt !== undefined) throw new ZtError('ZT-403-REVOKED', 'the node is revoked')
    const shown = { type: evidence.type, spki: node.device, proof: evidence.proof }
    const digest = evidenceDigest(shown, context.transcript)
    return { lvl: DEVICE_KEY_LEVEL, device: node.device, how: 'device-key', evidence: digest }
  }
}
