// What machines with a TPM may have started: expected PCR values in named sets, as one signed note (C2SP signed-note).
// Several sets may be accepted at once, each until a time of its own, which is how an update of an OS is lived through.
import { canonicalJson } from '#shared/encoding/canonical-json.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import {
  array,
  boolean,
  integer,
  literal,
  object,
  oneOf,
  optional,
  parsed,
  record,
  refuseField,
  string,
  type Parser,
} from '#shared/encoding/shape.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import { parseTrustDomain, type NodeName, type TrustDomain } from '#shared/identity/names.ts'
import { openNote, signNote, type NoteSigner, type NoteVerifier } from '#shared/log/note.ts'
import { millisField, nodeNameField } from './fields.ts'

/** SHA-1 is never accepted (identity.md §4 A6). */
export type PcrBank = 'sha256' | 'sha384'

/** From the index in decimal to the value in lower-case hex. */
export type PcrValues = Readonly<Record<string, string>>

export interface PcrSet {
  readonly name: string
  /** UTC, milliseconds: from then on the set accepts nothing; without it, it has no end */
  readonly notAfter?: number
  /** the nodes that it is for; without it, all */
  readonly nodes?: readonly NodeName[]
  /** one value for each index of the policy */
  readonly values: PcrValues
}

export interface PcrPolicy {
  readonly v: 1
  readonly td: TrustDomain
  /** counts up: a hub never goes back to a lower one */
  readonly version: number
  readonly bank: PcrBank
  /** ascending, each once: what every quote is of */
  readonly indices: readonly number[]
  readonly sets: readonly PcrSet[]
  /** `required`: a quote comes with the event log, which must replay to it; `ignored` unless given */
  readonly eventLog?: 'required' | 'ignored'
  /** TPMS_CLOCK_INFO.safe must be YES; false unless given, because an unclean power-off clears it until the next tick */
  readonly requireSafeClock?: boolean
}

export interface OpenedPcrPolicy {
  readonly policy: PcrPolicy
  /** `sha-256:` and the digest of the signed text: what audit rows name it by */
  readonly digest: string
  /** names of the keys that signed */
  readonly signers: readonly string[]
}

/** What a hub without a policy has quoted: firmware, boot loader, Secure Boot state. */
export const DEFAULT_PCR_BANK: PcrBank = 'sha256'
export const DEFAULT_PCR_INDICES: readonly number[] = [0, 1, 2, 3, 4, 5, 6, 7]

/** The first line of the signed text. */
export const PCR_POLICY_HEAD = 'ztmesh-pcr-policy/v1\n'
const MAX_BYTES = 15 * 1024
/** 16 and 23 anybody may reset, 17 to 22 a locality may (identity.md §4 T13): none of them says what was started. */
const LAST_STATIC_PCR = 15
const HEX_DIGITS: Readonly<Record<PcrBank, number>> = { sha256: 64, sha384: 96 }

const labelField = string({ min: 1, max: 63, pattern: /^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$/ })

export const pcrBankField: Parser<PcrBank> = oneOf(['sha256', 'sha384'])

/** PCR values as a message carries them; which indices and which length is for who knows the bank. */
export const pcrValuesField: Parser<PcrValues> = record(
  /^(?:[0-9]|1[0-9]|2[0-3])$/,
  string({ max: 96, pattern: /^(?:[0-9a-f]{64}|[0-9a-f]{96})$/ }),
  { max: 24 },
)

/** Indices of PCRs that say what was started: 0 to 15, ascending, each once. */
export const pcrIndicesField: Parser<readonly number[]> = (value, path) => {
  const indices = array(integer({ min: 0, max: LAST_STATIC_PCR }), { min: 1, max: LAST_STATIC_PCR + 1 })(
    value,
    path,
  )
  for (const [at, index] of indices.entries())
    if (at > 0 && index <= (indices[at - 1] ?? 0)) refuseField(path, 'must ascend and name no index twice')
  return indices
}

const shape = object({
  v: literal(1),
  td: parsed(parseTrustDomain),
  version: integer({ min: 1 }),
  bank: pcrBankField,
  indices: pcrIndicesField,
  sets: array(
    object({
      name: labelField,
      notAfter: optional(millisField),
      nodes: optional(array(nodeNameField, { min: 1, max: 256 })),
      values: pcrValuesField,
    }),
    { min: 1, max: 64 },
  ),
  eventLog: optional(oneOf(['required', 'ignored'])),
  requireSafeClock: optional(boolean),
})

/** ZT-422-SCHEMA unless every set has exactly the policy's indices, in its bank, under a name of its own. */
export const parsePcrPolicy: Parser<PcrPolicy> = (value, path) => {
  const policy: PcrPolicy = shape(value, path)
  const names = new Set<string>()
  for (const [at, set] of policy.sets.entries()) {
    const where = `${path === '' ? '' : `${path}.`}sets[${at}]`
    if (names.has(set.name)) refuseField(`${where}.name`, 'is the name of another set')
    names.add(set.name)
    requireValues(policy, set.values, `${where}.values`)
  }
  return policy
}

/** The policy of a text that is not signed yet. ZT-422-SCHEMA, ZT-400-MALFORMED. */
export function parsePcrPolicyText(text: string | Uint8Array): PcrPolicy {
  return parsePcrPolicy(parseStrictJson(text, { maxBytes: MAX_BYTES }), '')
}

/** The signed note. ZT-413-SIZE for a policy that no note can hold. */
export function signPcrPolicy(policy: PcrPolicy, signers: readonly NoteSigner[]): string {
  const text = `${PCR_POLICY_HEAD}${canonicalJson(parsePcrPolicy(policy, ''))}\n`
  if (Buffer.byteLength(text) > MAX_BYTES)
    throw new ZtError('ZT-413-SIZE', `a PCR policy is larger than ${MAX_BYTES} bytes`)
  return signNote(text, signers)
}

/**
 * Opens a policy that one of `keys` signed for this trust domain. Throws ZT-403-PCR-POLICY for any that none of them
 * signed, that is for another trust domain, or that is not a policy; the cause says why.
 */
export function openPcrPolicy(
  note: string,
  expected: { readonly keys: readonly NoteVerifier[]; readonly td: TrustDomain },
): OpenedPcrPolicy {
  const { text, signers } = openSigned(note, expected.keys)
  const policy = readSigned(text)
  if (policy.td !== expected.td) throw refused('the PCR policy is for another trust domain')
  return {
    policy,
    digest: `sha-256:${sha256Text(Buffer.from(text))}`,
    signers: signers.map(({ name }) => name),
  }
}

/** The sets that accept that node at `now`. */
export function acceptedSets(policy: PcrPolicy, node: NodeName, now: number): readonly PcrSet[] {
  return setsFor(policy, node).filter(({ notAfter }) => notAfter === undefined || now < notAfter)
}

/** The sets that are for that node, whether or not their time is over. */
export function setsFor(policy: PcrPolicy, node: NodeName): readonly PcrSet[] {
  return policy.sets.filter(({ nodes }) => nodes === undefined || nodes.includes(node))
}

function requireValues({ bank, indices }: PcrPolicy, values: PcrValues, path: string): void {
  const named = Object.keys(values)
  if (named.length !== indices.length || indices.some((index) => values[String(index)] === undefined))
    refuseField(path, 'must have exactly the indices of the policy')
  if (Object.values(values).some((value) => value.length !== HEX_DIGITS[bank]))
    refuseField(path, `must be digests of ${bank}`)
}

function openSigned(note: string, keys: readonly NoteVerifier[]): ReturnType<typeof openNote> {
  try {
    return openNote(note, keys)
  } catch (cause) {
    if (!isZtError(cause)) throw cause
    throw refused('no configured policy key signed the PCR policy', cause)
  }
}

function readSigned(text: string): PcrPolicy {
  if (!text.startsWith(PCR_POLICY_HEAD)) throw refused('the note is signed, and is not a PCR policy')
  try {
    const policy = parsePcrPolicyText(text.slice(PCR_POLICY_HEAD.length, -1))
    if (canonicalJson(policy) === text.slice(PCR_POLICY_HEAD.length, -1)) return policy
  } catch (cause) {
    if (!isZtError(cause)) throw cause
    throw refused('the signed PCR policy breaks its rules', cause)
  }
  throw refused('the signed PCR policy is not in its canonical form')
}

function refused(message: string, cause?: unknown): ZtError {
  return new ZtError('ZT-403-PCR-POLICY', message, { cause })
}
