// What every reader says beside data that is suspect: which, since when and why. A reader that cannot know shows nothing
// as clean: without the deny list it fails.
import { isZtError, ZtError } from '#shared/errors/error.ts'
import type { DenyDocument } from '#shared/protocol/deny-list.ts'
import { Quarantine, type RunProcess, type Suspicion } from '#shared/protocol/quarantine.ts'
import type { Io } from '../io.ts'
import { warn } from '../output/report-error.ts'
import { rfc3339 } from '../output/time.ts'
import type { LiveMesh } from './live-mesh.ts'
import type { Mesh } from './mesh.ts'

/** Whose data is suspect now, as the hub signs it. ZT-503-DENY-LIST; ZT-403-REVOKED for who is revoked. */
export async function fetchQuarantine(mesh: Pick<Mesh, 'denyList'>): Promise<Quarantine> {
  const { entries } = await fetchDenyList(mesh)
  return new Quarantine(entries)
}

/** The deny list behind it, and its signed text. Errors: as fetchQuarantine(). */
export async function fetchDenyList(
  mesh: Pick<Mesh, 'denyList'>,
): Promise<DenyDocument & { readonly text: string }> {
  try {
    return await mesh.denyList()
  } catch (cause) {
    if (!isZtError(cause) || cause.code === 'ZT-403-REVOKED') throw cause
    throw new ZtError(
      'ZT-503-DENY-LIST',
      `the deny list could not be had (${cause.code}): it is not known which data is suspect`,
      { cause },
    )
  }
}

/** Says it on stderr, where it is in nobody's pipe. */
export function warnOf(what: string, suspicion: Suspicion, io: Io): void {
  warn(`${what} is quarantined: ${spanOf(suspicion)}: ${suspicion.reason}`, io)
}

/** "data since 2026-01-01T00:00:00.000Z is suspect", with its end if it has one. */
export function spanOf({ since, until }: Suspicion): string {
  const end = until === undefined ? '' : ` until ${rfc3339(until) ?? ''}`
  return `data since ${rfc3339(since) ?? ''}${end} is suspect`
}

/** The member `quarantined` of JSON output. */
export function quarantinedJson(suspicion: Suspicion | undefined): Readonly<Record<string, unknown>> | null {
  if (suspicion === undefined) return null
  const { since, until, reason } = suspicion
  return { since: rfc3339(since), until: rfc3339(until), reason }
}

/** When a node proved itself and was measured. Times are UTC milliseconds. */
interface Proved {
  readonly id: string
  readonly attestation: { readonly at: number } | null
  readonly tpm: { readonly quote: { readonly at: number } | null } | null
}

/** Why its newest proof or its newest quote is suspect, or undefined. */
export function suspicionOfProof(
  { id, attestation, tpm }: Proved,
  quarantine: Quarantine,
): Suspicion | undefined {
  const moments = [attestation?.at, tpm?.quote?.at].filter((at) => at !== undefined)
  const found = moments.map((at) => quarantine.ofNodeAt(id, at)).filter((each) => each !== undefined)
  return found.toSorted((a, b) => a.since - b.since)[0]
}

/** A run that is followed. */
export interface Watched extends RunProcess {
  /** `NODE/PROC`, as people name it */
  readonly name: string
  /** when the reading began, UTC, milliseconds */
  readonly readFrom: number
}

// A capability to read is granted under the list of its moment, and lives no longer than that.
const KNOWN_FOR_MS = 15_000

/**
 * Looks again when the reading has ended, if it took long: somebody may have been denied meanwhile, and what was shown
 * cannot be taken back. What is not known is said too; the output itself was right when it was shown.
 */
export async function lookAgain(
  watched: Watched,
  mesh: Pick<LiveMesh, 'refreshed'>,
  io: Io,
): Promise<Suspicion | undefined> {
  const { name, readFrom, ...run } = watched
  if (io.clock.now() - readFrom < KNOWN_FOR_MS) return undefined
  try {
    const suspicion = (await fetchQuarantine(await mesh.refreshed())).ofProcess(run)
    if (suspicion !== undefined) warnOf(name, suspicion, io)
    return suspicion
  } catch (error) {
    if (!isZtError(error)) throw error
    warn(`it is not known whether the output of ${name} is quarantined: ${error.message} (${error.code})`, io)
    return undefined
  }
}
