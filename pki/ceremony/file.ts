// The one file that says what a ceremony does: reviewed before, recorded by its digest, and read strictly. Everything
// that it names lies beside it and is bound by SHA-256. Where the keys are is not its matter: see local.ts.
import {
  array,
  base64urlText,
  boolean,
  integer,
  literal,
  nullable,
  object,
  optional,
  parsed,
  string,
  union,
  type Parser,
} from '#shared/encoding/shape.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import { parseTrustDomain, type TrustDomain } from '#shared/identity/names.ts'
import { parseHostName, parseIpAddress } from '../issuance/host-name.ts'
import { requireLabel } from '../keystore/keystore.ts'

export interface InputFile {
  readonly file: string
  /** lower-case hex */
  readonly sha256: string
}

interface CeremonyHead {
  readonly v: 1
  /** true: the key is for trying things out, and the ceremony asks nobody */
  readonly demo: boolean
  readonly trustDomain: TrustDomain
  /** of the root's key */
  readonly keyLabel: string
}

/** Makes a root's key, its certificate and the first bundle. */
export interface RootCeremony extends CeremonyHead {
  readonly type: 'root'
  /** UTC, milliseconds */
  readonly notBefore: number
  readonly notAfter: number
  readonly bundle: { readonly sequence: number; readonly refreshHint: number }
  readonly outputs: { readonly certificate: string; readonly bundle: string; readonly transcript: string }
}

/** Signs the intermediates of a ladder request, and a newer bundle if one is due. */
export interface LadderCeremony extends CeremonyHead {
  readonly type: 'ladder'
  readonly root: InputFile
  readonly request: InputFile
  /** the response that this one continues; null: begin anew */
  readonly previous: InputFile | null
  /** all that the infra authorities may name besides SPIFFE IDs */
  readonly infra: { readonly dns: readonly string[]; readonly ips: readonly Uint8Array[] }
  readonly bundle: {
    readonly held: InputFile
    readonly sequence: number
    readonly refreshHint: number
    /** all of them: base64url SHA-256 of the SubjectPublicKeyInfo each */
    readonly revokedIntermediates: readonly string[]
  } | null
  readonly outputs: { readonly response: string; readonly bundle?: string; readonly transcript: string }
}

export type Ceremony = RootCeremony | LadderCeremony

const MAX_BYTES = 64 * 1024
const DEMO_PREFIX = 'demo-'

// A plain name: nothing is read or written outside of the ceremony's folder.
const fileName = string({ min: 1, max: 128, pattern: /^[A-Za-z0-9][A-Za-z0-9._-]*$/ })
const inputFile: Parser<InputFile> = object({
  file: fileName,
  sha256: string({ min: 64, max: 64, pattern: /^[0-9a-f]{64}$/ }),
})
const instant: Parser<number> = (value, path) => {
  const text = string({ min: 20, max: 20, pattern: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/ })(value, path)
  return parsed(() => requireInstant(text))(value, path)
}
const label: Parser<string> = (value, path) => {
  const text = string({ max: 63 })(value, path)
  return parsed(() => (requireLabel(text), text))(value, path)
}
const sequence = integer({ min: 1 })
const refreshHint = integer({ min: 10, max: 86_400 })

const head = { v: literal(1), demo: boolean, trustDomain: parsed(parseConstrainable), keyLabel: label }

const parseShape: Parser<Ceremony> = union('type', {
  root: object({
    type: literal('root'),
    ...head,
    notBefore: instant,
    notAfter: instant,
    bundle: object({ sequence, refreshHint }),
    outputs: object({ certificate: fileName, bundle: fileName, transcript: fileName }),
  }),
  ladder: object({
    type: literal('ladder'),
    ...head,
    root: inputFile,
    request: inputFile,
    previous: nullable(inputFile),
    infra: object({
      dns: array(parsed(parseHostName), { max: 32 }),
      ips: array(parsed(parseIpAddress), { max: 32 }),
    }),
    bundle: nullable(
      object({
        held: inputFile,
        sequence,
        refreshHint,
        revokedIntermediates: array(base64urlText({ min: 32, max: 32 }), { max: 256 }),
      }),
    ),
    outputs: object({ response: fileName, bundle: optional(fileName), transcript: fileName }),
  }),
})

/**
 * Reads a ceremony file. Throws ZT-422-CEREMONY for anything unknown, missing or contradictory, and for files that are
 * not demonstrations: those need witnesses and a quorum, which this program cannot ask for yet.
 */
export function parseCeremony(content: Uint8Array): Ceremony {
  const ceremony = parseFile(content)
  const names = Object.values(ceremony.outputs)
  if (new Set(names).size !== names.length) throw refuse('field "outputs" names one file twice')
  if (ceremony.type === 'ladder') checkLadder(ceremony)
  else if (ceremony.notAfter <= ceremony.notBefore) throw refuse('field "notAfter" is not after "notBefore"')
  requireDemo(ceremony)
  return ceremony
}

export function refuse(what: string, cause?: unknown): ZtError {
  return new ZtError('ZT-422-CEREMONY', what, { cause })
}

function parseFile(content: Uint8Array): Ceremony {
  try {
    return parseShape(parseStrictJson(content, { maxBytes: MAX_BYTES }), '')
  } catch (error) {
    if (!isZtError(error)) throw error
    throw refuse(`ceremony file: ${error.message}`, error)
  }
}

function checkLadder({ bundle, outputs }: LadderCeremony): void {
  if ((bundle === null) !== (outputs.bundle === undefined)) {
    throw refuse('field "outputs.bundle" goes with field "bundle", and only with it')
  }
}

function requireDemo({ demo, keyLabel }: CeremonyHead): void {
  if (!demo) {
    throw refuse(
      'a ceremony that is no demonstration needs witnesses and a quorum, which this version cannot ask for',
    )
  }
  // Nobody is asked, so a key that people were asked about is out of reach.
  if (!keyLabel.startsWith(DEMO_PREFIX))
    throw refuse(`a demonstration uses a key whose label begins with "${DEMO_PREFIX}"`)
}

/**
 * RFC 5280 §4.2.1.10: a URI is constrained by its host, which is then a domain name. A trust domain that is an address,
 * or spelled with a final period, would make intermediates under which nothing verifies.
 */
function parseConstrainable(value: unknown): TrustDomain {
  return parseTrustDomain(parseHostName(value))
}

function requireInstant(text: string): number {
  const at = Date.parse(text)
  // Date.parse takes 24:00:00 and 30 February.
  if (Number.isNaN(at) || new Date(at).toISOString() !== text.replace('Z', '.000Z'))
    throw refuse('is not a date')
  return at
}
