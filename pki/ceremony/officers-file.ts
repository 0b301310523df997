// The proof of who the officers are: the ceremony file that named the first quorum, then every change of it with the
// approvals of those who were in force before. It is believed only from the quorum on that a root's certificate names.
import { array, base64urlText, literal, object, string } from '#shared/encoding/shape.ts'
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import type { Certificate } from '#shared/x509/certificate.ts'
import { pinsQuorum } from '../issuance/quorum-pin.ts'
import { refused, requireQuorum } from './approval.ts'
import { readAs, refuse } from './fields.ts'
import { parseCeremony, type CeremonyFile } from './file.ts'
import { quorumDigest, type Quorum } from './quorum.ts'

interface Link {
  /** the canonical ceremony file that names the quorum */
  readonly ceremony: string
  readonly approvals: readonly string[]
}

interface Change {
  readonly quorum: Quorum
  /** verifier keys of those who approved it */
  readonly approvers: readonly string[]
  /** UTC, milliseconds: of the last approval */
  readonly at: number
}

/** Quorums in order, each approved by the one before; the last is in force. */
export interface Officers {
  /** the whole file: what stands before the pinned quorum belongs to an older root, or to nobody */
  readonly links: readonly Link[]
  /** from the pinned one on: nothing proves those before it */
  readonly quorums: readonly Quorum[]
  /** how the quorums after the pinned one came about, in order */
  readonly changes: readonly Change[]
  /** the one that the root's certificate names */
  readonly pinned: Quorum
  readonly inForce: Quorum
}

const MAX_BYTES = 512 * 1024
const MAX_LINKS = 64
/** How long everybody can see a change of officers before it counts in an emergency. */
const SETTLED_MS = 7 * 86_400_000

const parseShape = object({
  type: literal('zt-officers'),
  v: literal(1),
  links: array(
    object({
      ceremony: base64urlText({ min: 2, max: 64 * 1024 }),
      approvals: array(string({ max: 4096 }), { min: 1, max: 16 }),
    }),
    { min: 1, max: MAX_LINKS },
  ),
})

/** The file of a quorum that `file` names, after those of `before`. */
export function encodeOfficers(
  file: CeremonyFile,
  approvals: readonly string[],
  before: readonly Link[] = [],
): Uint8Array {
  const link = { ceremony: encodeBase64url(file.canonical), approvals }
  return canonicalBytes({ type: 'zt-officers', v: 1, links: [...before, link] })
}

/**
 * The officers under `root`. Throws ZT-403-QUORUM (foreign) unless one of the quorums is the one that the root's
 * certificate names, and as requireQuorum() for a change that those before did not approve.
 */
export function openOfficers(content: Uint8Array, root: Certificate): Officers {
  const { links } = readAs('officers file', () =>
    parseShape(parseStrictJson(content, { maxBytes: MAX_BYTES }), ''),
  )
  const changes: Change[] = []
  for (const link of links) changes.push(changeOf(link, changes.at(-1)?.quorum))
  const quorums = changes.map(({ quorum }) => quorum)
  const inForce = quorums.at(-1)
  if (inForce === undefined) throw refuse('officers file: it is empty')
  const first = quorums.findIndex((quorum) => pinsQuorum(root, quorumDigest(quorum)))
  const pinned = quorums[first]
  if (pinned === undefined)
    throw refused('foreign', "the officers are not those that the root's certificate names")
  return { links, quorums: quorums.slice(first), changes: changes.slice(first + 1), pinned, inForce }
}

/**
 * Whose word counts in an emergency at `now`: the pinned quorum, or one that as many of those before put in force as an
 * emergency needs, or that was approved seven days ago. Otherwise those who are too few for an emergency would first put
 * in force whom they need. The times are those of the approvers; that they lie shows in the hub's log.
 */
export function settledQuorum({ pinned, changes }: Officers, now: number): Quorum {
  let [settled, latest] = [pinned, 0]
  for (const { quorum, approvers, at } of changes) {
    latest = Math.max(latest, at)
    const agreed = approvers.filter((vkey) => settled.officers.includes(vkey)).length
    if (agreed >= settled.emergency || latest + SETTLED_MS <= now) settled = quorum
  }
  return settled
}

function changeOf({ ceremony: encoded, approvals }: Link, before: Quorum | undefined): Change {
  const file = parseCeremony(decodeBase64url(encoded, 'ceremony'))
  const { ceremony } = file
  if (ceremony.type !== (before === undefined ? 'root' : 'officers'))
    throw refuse(`officers file: a ${ceremony.type} ceremony does not name officers there`)
  // Approvals were fresh when they were counted; here they count whenever they were given.
  for (const note of approvals) requireGivenBefore(note, ceremony.window.until)
  const [quorum, at] = [before ?? ceremony.quorum, timeOf(approvals)]
  const approvers = requireQuorum(file, approvals, { quorum, now: at }).map(({ vkey }) => vkey)
  return { quorum: ceremony.quorum, approvers, at }
}

function requireGivenBefore(note: string, until: number): void {
  if (!(timeOf([note]) <= until)) throw refused('stale', 'a change of officers was approved after its window')
}

function timeOf(notes: readonly string[]): number {
  return Math.max(...notes.map((note) => Date.parse(note.split('\n')[4] ?? '')))
}
