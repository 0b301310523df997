// From a ceremony file to what it will do: every input read, every check made that needs no key. The same code serves the
// officer who approves, the machine that runs, and the third party who goes over it.
import { readFile } from 'node:fs/promises'
import { basename, dirname, resolve } from 'node:path'
import { ZtError } from '#shared/errors/error.ts'
import type { Certificate } from '#shared/x509/certificate.ts'
import { isSignedBy, requireTime } from '#shared/x509/path.ts'
import { PROFILES } from '../issuance/profile.ts'
import { lintCertificate } from '../lint/lint.ts'
import { quorumDigest, type Quorum } from './quorum.ts'
import { day } from './describe.ts'
import { refuse } from './fields.ts'
import { inputsOf, parseCeremony, type Ceremony, type CeremonyFile, type LaterCeremony } from './file.ts'
import { openHistory } from './history.ts'
import { Inputs } from './inputs.ts'
import { openOfficers, settledQuorum, type Officers } from './officers-file.ts'
import { certificateOf } from './pem.ts'
import type { SignedTranscript } from './signatures.ts'
import { bundleWork, revokeWork } from './types/bundle.ts'
import { crossSignWork } from './types/cross-sign.ts'
import { destroyWork } from './types/destroy.ts'
import { ladderWork } from './types/ladder.ts'
import { officersWork } from './types/officers.ts'
import { retireRootWork } from './types/retire-root.ts'
import { rootWork } from './types/root.ts'
import { rotateRootWork } from './types/rotate-root.ts'
import type { Basis, Work } from './work.ts'

/** A ceremony file, and where it lies. */
export interface Reviewed extends CeremonyFile {
  readonly folder: string
  readonly name: string
}

export interface Prepared {
  readonly reviewed: Reviewed
  readonly work: Work
  /** in force while the ceremony is held */
  readonly quorum: Quorum
  /** whose word counts besides, in an emergency */
  readonly settled?: Quorum
  /** absent in a root ceremony */
  readonly root?: Certificate
  readonly before?: SignedTranscript
}

/** Throws ZT-422-CEREMONY for a file that is missing or breaks its rules. */
export async function readCeremonyFile(path: string): Promise<Reviewed> {
  const content = await readFile(path).catch((cause: unknown) => {
    throw refuse('the ceremony file cannot be read', cause)
  })
  return { ...parseCeremony(content), folder: dirname(resolve(path)), name: basename(path) }
}

/** Throws ZT-408-STALE unless the ceremony may be held at `now` (milliseconds). */
export function requireWindow({ window }: Ceremony, now: number): void {
  if (now >= window.from && now <= window.until) return
  throw new ZtError(
    'ZT-408-STALE',
    `the ceremony is to be held from ${day(window.from)} until ${day(window.until)}, and the clock says ${day(now)}`,
  )
}

/**
 * What the ceremony will do at `now` (milliseconds), or would do at the beginning of its window if that is to come.
 * Throws ZT-422-CEREMONY, ZT-403-QUORUM, ZT-408-CLOCK, ZT-412-RETIRE, and the codes of what is among its inputs.
 */
export async function prepare(reviewed: Reviewed, now: number): Promise<Prepared> {
  const { ceremony, folder } = reviewed
  if (ceremony.type === 'root')
    return { reviewed, work: rootWork(ceremony, reviewed), quorum: ceremony.quorum }
  const inputs = await Inputs.read(folder, inputsOf(ceremony))
  const at = Math.max(now, ceremony.window.from)
  const root = certificateOf(inputs.bytes(ceremony.root), 'field "root"')
  const officers = openOfficers(inputs.bytes(ceremony.officers), root)
  requireRoot(root, { ceremony, officers, at })
  const before = openHistory(ceremony, { inputs, officers, now: at })
  const basis: Basis = { file: reviewed, inputs, now: at, root, officers, before }
  const settled = emergencyQuorum(ceremony, basis)
  return {
    reviewed,
    work: workOf(ceremony, basis),
    quorum: officers.inForce,
    ...(settled === undefined ? {} : { settled }),
    root,
    before,
  }
}

/** By the root that is to go: the one that takes its place names whoever was in force when it was made. */
function emergencyQuorum(ceremony: LaterCeremony, { inputs, now }: Basis): Quorum | undefined {
  if (ceremony.type !== 'retire-root' || !ceremony.emergency) return undefined
  const retiring = certificateOf(inputs.bytes(ceremony.retiring), 'field "retiring"')
  return settledQuorum(openOfficers(inputs.bytes(ceremony.officers), retiring), now)
}

function workOf(ceremony: LaterCeremony, basis: Basis): Work {
  switch (ceremony.type) {
    case 'ladder':
      return ladderWork(ceremony, basis)
    case 'cross-sign':
      return crossSignWork(ceremony, basis)
    case 'bundle':
      return bundleWork(ceremony, basis)
    case 'revoke-intermediate':
      return revokeWork(ceremony, basis)
    case 'rotate-root':
      return rotateRootWork(ceremony, basis)
    case 'retire-root':
      return retireRootWork(ceremony, basis)
    case 'destroy':
      return destroyWork(ceremony, basis)
    case 'officers':
      return officersWork(ceremony, basis)
  }
}

interface RootContext {
  readonly ceremony: LaterCeremony
  readonly officers: Officers
  readonly at: number
}

/** A root of this trust domain, of our own making, and in its time. */
function requireRoot(root: Certificate, { ceremony, officers, at }: RootContext): void {
  const { trustDomain } = ceremony
  if (root.sans.uris.join() !== `spiffe://${trustDomain}`) throw refuse('the root is of another trust domain')
  lintCertificate(root, { profile: PROFILES.root, trustDomain, quorum: quorumDigest(officers.pinned) })
  if (!isSignedBy(root, root)) throw refuse('the root is not signed by itself')
  requireTime(root, at)
}
