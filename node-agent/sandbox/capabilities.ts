// Which capabilities this machine can grant. A name that is not here is refused: a capability that nobody enforces
// would be one that everybody has.
import { ZtError } from '#shared/errors/error.ts'
import { isName } from '#shared/identity/names.ts'
import { identityAgent } from '#shared/protocol/sandbox-capability.ts'

export const ENFORCED_CAPABILITIES = ['network', 'read_anywhere', 'subprocess', 'workspace_rw'] as const

/** `identity` stands for `identity:<agent>`: in whose name a socket answers is nothing that a sandbox decides. */
export type Capability = (typeof ENFORCED_CAPABILITIES)[number] | 'identity'

const known: ReadonlyMap<string, Capability> = new Map(ENFORCED_CAPABILITIES.map((name) => [name, name]))

/**
 * The set that a sandbox is made from. What is not in it is taken away.
 * Errors: ZT-412-FACT with details.fact "capability" for any that is unknown, not implemented or named twice, and for
 * `read_anywhere` beside an identity: to reach its own socket a process may connect to any that it is shown (ADR 13).
 */
export function parseCapabilities(names: readonly string[]): ReadonlySet<Capability> {
  const set = new Set<Capability>()
  for (const name of names) {
    const capability = known.get(name) ?? identityOf(name)
    if (capability === undefined || set.has(capability)) refuse(name)
    set.add(capability)
  }
  if (set.has('identity') && set.has('read_anywhere'))
    refuse('read_anywhere', 'a process with an identity cannot be shown all of the host')
  return set
}

function identityOf(name: string): Capability | undefined {
  return isName(identityAgent([name])) ? 'identity' : undefined
}

function refuse(
  name: string,
  message: string = 'this node cannot enforce a capability that was asked for',
): never {
  throw new ZtError('ZT-412-FACT', message, {
    details: { fact: 'capability', capability: name.slice(0, 64) },
  })
}
