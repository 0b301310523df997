// Which capabilities this machine can grant. A name that is not here is refused: a capability that nobody enforces
// would be one that everybody has.
import { ZtError } from '#shared/errors/error.ts'

export const ENFORCED_CAPABILITIES = ['network', 'read_anywhere', 'subprocess', 'workspace_rw'] as const

export type Capability = (typeof ENFORCED_CAPABILITIES)[number]

const known: ReadonlyMap<string, Capability> = new Map(ENFORCED_CAPABILITIES.map((name) => [name, name]))

/**
 * The set that a sandbox is made from. What is not in it is taken away.
 * Errors: ZT-412-FACT with details.fact "capability" for any that is unknown, not implemented or named twice.
 */
export function parseCapabilities(names: readonly string[]): ReadonlySet<Capability> {
  const set = new Set<Capability>()
  for (const name of names) {
    const capability = known.get(name)
    if (capability === undefined || set.has(capability)) refuse(name)
    set.add(capability)
  }
  return set
}

function refuse(name: string): never {
  throw new ZtError('ZT-412-FACT', 'this node cannot enforce a capability that was asked for', {
    details: { fact: 'capability', capability: name.slice(0, 64) },
  })
}
