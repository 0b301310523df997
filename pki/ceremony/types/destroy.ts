// The destroy ceremony: a key is destroyed in the token and shown to be gone. A key that the bundle in force trusts is out
// of its reach: that root is retired first.
import { hex } from '../certify.ts'
import { refuse } from '../fields.ts'
import type { DestroyCeremony } from '../file.ts'
import { heldBundle } from '../held.ts'
import { NOTHING, type Basis, type Work } from '../work.ts'

export function destroyWork(ceremony: DestroyCeremony, basis: Basis): Work {
  const held = heldBundle(ceremony.held, basis)
  if (held.roots.some(({ spki }) => hex(spki) === ceremony.spki))
    throw refuse('the bundle that is held trusts the key that is to be destroyed')
  return {
    plan: [`destroy the key "${ceremony.keyLabel}"`, `its public key has SHA-256 ${ceremony.spki}`],
    certificates: [],
    destroys: { label: ceremony.keyLabel, spki: ceremony.spki },
    outputs: () => new Map(),
    read: () => NOTHING,
  }
}
