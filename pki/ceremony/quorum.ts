// Who decides: officers by their public keys, and how many of them must approve. The quorum in force is bound to the root
// by its digest in the root's certificate (pki/issuance/extension.ts), so nobody can bring a set of their own.
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import { sha256 } from '#shared/encoding/digest.ts'
import { array, integer, object, type Parser } from '#shared/encoding/shape.ts'
import { parseVkey, type NoteVerifier } from '#shared/log/note.ts'
import { officerKey, refuse } from './fields.ts'

export interface Quorum {
  /** how many officers must approve */
  readonly threshold: number
  /** how many, for what is done before its time */
  readonly emergency: number
  /** C2SP note verifier keys, no name and no key twice */
  readonly officers: readonly string[]
}

const MIN_THRESHOLD = 2
const MAX_OFFICERS = 16

const parseShape: Parser<Quorum> = object({
  threshold: integer({ min: MIN_THRESHOLD, max: MAX_OFFICERS }),
  emergency: integer({ min: MIN_THRESHOLD + 1, max: MAX_OFFICERS }),
  officers: array(officerKey, { min: MIN_THRESHOLD + 1, max: MAX_OFFICERS }),
})

/** Two officers or more, an emergency needs more of them than that, and no officer counts twice. */
export const parseQuorum: Parser<Quorum> = (value, path) => {
  const quorum = parseShape(value, path)
  const { threshold, emergency } = quorum
  const officers = officersOf(quorum)
  if (new Set(officers.map(({ name }) => name)).size !== officers.length)
    throw refuse(`field "${path}.officers" has a name twice`)
  const keys = officers.map(({ publicKey }) => publicKey.export({ format: 'jwk' }).x)
  if (new Set(keys).size !== keys.length) throw refuse(`field "${path}.officers" has a key twice`)
  if (emergency <= threshold) throw refuse(`field "${path}.emergency" is not above the threshold`)
  if (emergency > officers.length) throw refuse(`field "${path}.emergency" is above the number of officers`)
  return quorum
}

export function officersOf(quorum: Quorum): readonly NoteVerifier[] {
  return quorum.officers.map(parseVkey)
}

/** What a root's certificate says of its quorum. */
export function quorumDigest({ threshold, emergency, officers }: Quorum): Uint8Array {
  return sha256(canonicalBytes({ threshold, emergency, officers }))
}
