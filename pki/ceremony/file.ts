// The one file that says what a ceremony does: reviewed before, approved by its digest, and read strictly. Everything
// that it names lies beside it and is bound by SHA-256. Where the keys are is not its matter: see local.ts.
import {
  array,
  boolean,
  integer,
  literal,
  nullable,
  object,
  parsed,
  union,
  type Parser,
} from '#shared/encoding/shape.ts'
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import type { TrustDomain } from '#shared/identity/names.ts'
import { parseSpiffeId, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import { parseHostName, parseIpAddress } from '../issuance/host-name.ts'
import {
  fileName,
  hexDigest,
  inputFile,
  instant,
  keyLabel,
  personName,
  readAs,
  refreshHint,
  refuse,
  sequence,
  trustDomain,
  type InputFile,
} from './fields.ts'
import { parseQuorum, type Quorum } from './quorum.ts'

interface CeremonyHead {
  readonly v: 1
  /** true: the keys are for trying things out, and answers may come from a file instead of a terminal */
  readonly demo: boolean
  readonly trustDomain: TrustDomain
  /** who asks for the ceremony; never one of its approvers */
  readonly requester: string
  /** SHA-256 of the program that is to be used (`ceremony digest`); null, in demonstrations only: any */
  readonly tool: string | null
  /** UTC, milliseconds: when it may be held */
  readonly window: { readonly from: number; readonly until: number }
}

/** A ceremony under a root that is there. */
interface LaterHead extends CeremonyHead {
  /** certificate of the root under which the officers act: PEM */
  readonly root: InputFile
  /** the officers in force: see officers-file.ts */
  readonly officers: InputFile
  /** transcript of the ceremony before; its signatures lie beside it, as `FILE.sigs` */
  readonly after: InputFile
}

interface SigningHead extends LaterHead {
  /** of the key of `root` */
  readonly keyLabel: string
}

/** A newer bundle in place of the one that is held. */
interface NewBundle {
  readonly held: InputFile
  readonly sequence: number
  readonly refreshHint: number
}

/** Makes a root's key, its certificate, the first bundle, and decides who its officers are. */
export interface RootCeremony extends CeremonyHead {
  readonly type: 'root'
  readonly keyLabel: string
  readonly quorum: Quorum
  /** UTC, milliseconds */
  readonly notBefore: number
  readonly notAfter: number
  readonly bundle: { readonly sequence: number; readonly refreshHint: number }
  readonly outputs: {
    readonly certificate: string
    readonly bundle: string
    readonly officers: string
    readonly transcript: string
  }
}

/** Signs the intermediates of a ladder request. */
export interface LadderCeremony extends SigningHead {
  readonly type: 'ladder'
  readonly request: InputFile
  /** the bundle in force: no key that it revokes is signed again */
  readonly held: InputFile
  /** the response that this one continues; null: begin anew */
  readonly previous: InputFile | null
  /** all that the infra authorities may name besides SPIFFE IDs */
  readonly infra: { readonly dns: readonly string[]; readonly ips: readonly Uint8Array[] }
  readonly outputs: { readonly response: string; readonly transcript: string }
}

/** The key of another root, signed by this one, for those who hold only this one (RFC 4210 §4.4: "new with old"). */
export interface CrossSignCeremony extends SigningHead {
  readonly type: 'cross-sign'
  readonly subject: InputFile
  readonly notBefore: number
  readonly notAfter: number
  readonly outputs: { readonly certificate: string; readonly transcript: string }
}

/** A newer bundle with the same roots, which may forget revocations of intermediates that have ended. */
export interface BundleCeremony extends SigningHead {
  readonly type: 'bundle'
  readonly bundle: NewBundle
  /** ladder responses: what of them has ended is revoked no longer */
  readonly forget: readonly InputFile[]
  readonly outputs: { readonly bundle: string; readonly transcript: string }
}

/** A newer bundle in which intermediates of a hub count no longer. */
export interface RevokeCeremony extends SigningHead {
  readonly type: 'revoke-intermediate'
  readonly bundle: NewBundle
  readonly hub: SpiffeId
  /** ladder responses of that hub */
  readonly ladders: readonly InputFile[]
  /** indexes of the rungs that were stolen; null: every rung that has not ended */
  readonly rungs: readonly number[] | null
  readonly outputs: { readonly bundle: string; readonly transcript: string }
}

/** Makes a second root's key and certificate, and a bundle with both, signed by the first. */
export interface RotateRootCeremony extends SigningHead {
  readonly type: 'rotate-root'
  readonly newKeyLabel: string
  readonly notBefore: number
  readonly notAfter: number
  readonly bundle: NewBundle
  readonly outputs: { readonly certificate: string; readonly bundle: string; readonly transcript: string }
}

/** A bundle without the old root, signed by the new one, which `root` and `keyLabel` name. */
export interface RetireRootCeremony extends SigningHead {
  readonly type: 'retire-root'
  readonly retiring: InputFile
  /** transcript of the ceremony that made the new root; its signatures lie beside it */
  readonly rotation: InputFile
  /** root-usage statements, one of each of `hubs` */
  readonly usage: readonly InputFile[]
  /** every hub of the mesh, so that officers see whether one was left out */
  readonly hubs: readonly SpiffeId[]
  /** true: before seven days have passed, with the higher quorum */
  readonly emergency: boolean
  /** ladder responses of the retiring root: what is revoked of them need not be remembered, as nothing below it counts */
  readonly forget: readonly InputFile[]
  readonly bundle: NewBundle
  readonly outputs: { readonly bundle: string; readonly transcript: string }
}

/** Destroys a key in the token and shows that it is gone. */
export interface DestroyCeremony extends LaterHead {
  readonly type: 'destroy'
  /** of the key that is destroyed */
  readonly keyLabel: string
  /** hex SHA-256 of its SubjectPublicKeyInfo */
  readonly spki: string
  /** the bundle in force, which must not trust that key */
  readonly held: InputFile
  readonly outputs: { readonly transcript: string }
}

/** Puts another quorum in place of the one in force, which approves it. */
export interface OfficersCeremony extends LaterHead {
  readonly type: 'officers'
  readonly quorum: Quorum
  readonly outputs: { readonly officers: string; readonly transcript: string }
}

export type SigningCeremony =
  | LadderCeremony
  | CrossSignCeremony
  | BundleCeremony
  | RevokeCeremony
  | RotateRootCeremony
  | RetireRootCeremony

export type LaterCeremony = SigningCeremony | DestroyCeremony | OfficersCeremony

export type Ceremony = RootCeremony | LaterCeremony

/** A ceremony as its file says it, and the digest that stands for the file. */
export interface CeremonyFile {
  readonly ceremony: Ceremony
  /** RFC 8785 form of the file: what officers approve */
  readonly canonical: Uint8Array
}

const MAX_BYTES = 64 * 1024
const MAX_WINDOW_MS = 31 * 86_400_000
const MAX_FILES = 16
const DEMO_PREFIX = 'demo-'

const head = {
  v: literal(1),
  demo: boolean,
  trustDomain,
  requester: personName,
  tool: nullable(hexDigest),
  window: object({ from: instant, until: instant }),
}
const later = { ...head, root: inputFile, officers: inputFile, after: inputFile }
const signing = { ...later, keyLabel }
const life = { notBefore: instant, notAfter: instant }
const newBundle = object({ held: inputFile, sequence, refreshHint })
const transcript = fileName
const files = array(inputFile, { max: MAX_FILES })

const parseShape: Parser<Ceremony> = union('type', {
  root: object({
    type: literal('root'),
    ...head,
    ...life,
    keyLabel,
    quorum: parseQuorum,
    bundle: object({ sequence, refreshHint }),
    outputs: object({ certificate: fileName, bundle: fileName, officers: fileName, transcript }),
  }),
  ladder: object({
    type: literal('ladder'),
    ...signing,
    request: inputFile,
    held: inputFile,
    previous: nullable(inputFile),
    infra: object({
      dns: array(parsed(parseHostName), { max: 32 }),
      ips: array(parsed(parseIpAddress), { max: 32 }),
    }),
    outputs: object({ response: fileName, transcript }),
  }),
  'cross-sign': object({
    type: literal('cross-sign'),
    ...signing,
    ...life,
    subject: inputFile,
    outputs: object({ certificate: fileName, transcript }),
  }),
  bundle: object({
    type: literal('bundle'),
    ...signing,
    bundle: newBundle,
    forget: files,
    outputs: object({ bundle: fileName, transcript }),
  }),
  'revoke-intermediate': object({
    type: literal('revoke-intermediate'),
    ...signing,
    bundle: newBundle,
    hub: parsed(parseSpiffeId),
    ladders: array(inputFile, { min: 1, max: MAX_FILES }),
    rungs: nullable(array(integer({ min: 0, max: 1_000_000 }), { min: 1, max: 64 })),
    outputs: object({ bundle: fileName, transcript }),
  }),
  'rotate-root': object({
    type: literal('rotate-root'),
    ...signing,
    ...life,
    newKeyLabel: keyLabel,
    bundle: newBundle,
    outputs: object({ certificate: fileName, bundle: fileName, transcript }),
  }),
  'retire-root': object({
    type: literal('retire-root'),
    ...signing,
    retiring: inputFile,
    rotation: inputFile,
    usage: array(inputFile, { min: 1, max: MAX_FILES }),
    hubs: array(parsed(parseSpiffeId), { min: 1, max: MAX_FILES }),
    emergency: boolean,
    forget: files,
    bundle: newBundle,
    outputs: object({ bundle: fileName, transcript }),
  }),
  destroy: object({
    type: literal('destroy'),
    ...later,
    keyLabel,
    spki: hexDigest,
    held: inputFile,
    outputs: object({ transcript }),
  }),
  officers: object({
    type: literal('officers'),
    ...later,
    quorum: parseQuorum,
    outputs: object({ officers: fileName, transcript }),
  }),
})

/** Reads a ceremony file. Throws ZT-422-CEREMONY for anything unknown, missing or contradictory. */
export function parseCeremony(content: Uint8Array): CeremonyFile {
  const [ceremony, canonical] = readAs('ceremony file', () => {
    const value = parseStrictJson(content, { maxBytes: MAX_BYTES })
    return [parseShape(value, ''), canonicalBytes(value)] as const
  })
  checkNames(ceremony)
  checkTimes(ceremony)
  checkDemo(ceremony)
  return { ceremony, canonical }
}

/** Every file that the ceremony reads, in the order in which it names them. */
export function inputsOf(ceremony: Ceremony): readonly InputFile[] {
  if (ceremony.type === 'root') return []
  return [ceremony.after, ceremony.officers, ceremony.root, ...ownInputs(ceremony)]
}

/** Labels of the keys that the ceremony touches. */
export function labelsOf(ceremony: Ceremony): readonly string[] {
  if (ceremony.type === 'officers') return []
  return ceremony.type === 'rotate-root' ? [ceremony.keyLabel, ceremony.newKeyLabel] : [ceremony.keyLabel]
}

function ownInputs(ceremony: LaterCeremony): readonly InputFile[] {
  switch (ceremony.type) {
    case 'ladder':
      return [ceremony.request, ceremony.held, ...(ceremony.previous === null ? [] : [ceremony.previous])]
    case 'cross-sign':
      return [ceremony.subject]
    case 'bundle':
      return [ceremony.bundle.held, ...ceremony.forget]
    case 'revoke-intermediate':
      return [ceremony.bundle.held, ...ceremony.ladders]
    case 'rotate-root':
      return [ceremony.bundle.held]
    case 'retire-root':
      return [
        ceremony.bundle.held,
        ceremony.retiring,
        ceremony.rotation,
        ...ceremony.usage,
        ...ceremony.forget,
      ]
    case 'destroy':
      return [ceremony.held]
    case 'officers':
      return []
  }
}

function checkNames(ceremony: Ceremony): void {
  const names = Object.values(ceremony.outputs)
  if (new Set(names).size !== names.length) throw refuse('field "outputs" names one file twice')
  const read = new Set(inputsOf(ceremony).map(({ file }) => file))
  if (names.some((name) => read.has(name))) throw refuse('field "outputs" names an input')
  const labels = labelsOf(ceremony)
  if (new Set(labels).size !== labels.length) throw refuse('field "newKeyLabel" is that of the old key')
}

function checkTimes(ceremony: Ceremony): void {
  const { from, until } = ceremony.window
  if (until <= from) throw refuse('field "window.until" is not after "window.from"')
  if (until - from > MAX_WINDOW_MS) throw refuse('field "window" is over 31 days long')
  if ('notBefore' in ceremony && ceremony.notAfter <= ceremony.notBefore)
    throw refuse('field "notAfter" is not after "notBefore"')
}

/** A demonstration can be scripted, so keys that people are asked about are out of its reach; and the reverse. */
function checkDemo(ceremony: Ceremony): void {
  if (!ceremony.demo && ceremony.tool === null)
    throw refuse('field "tool" must name the program, as only a demonstration may leave it open')
  for (const label of labelsOf(ceremony)) {
    if (label.startsWith(DEMO_PREFIX) === ceremony.demo) continue
    throw refuse(
      ceremony.demo
        ? `a demonstration uses keys whose label begins with "${DEMO_PREFIX}"`
        : `labels that begin with "${DEMO_PREFIX}" are for demonstrations`,
    )
  }
}
