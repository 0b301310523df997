// What a ceremony will do, decided whole before a key is touched. It is the same for those who approve it, for the machine
// that does it, and for a third party who goes over it again afterwards: each builds it from the file and its inputs.
import type { Certificate } from '#shared/x509/certificate.ts'
import type { TrustBundle } from '#shared/x509/bundle.ts'
import type { CertificatePlan } from './certify.ts'
import type { CeremonyFile } from './file.ts'
import type { Inputs } from './inputs.ts'
import type { Officers } from './officers-file.ts'
import type { SignedTranscript } from './signatures.ts'

/** What every later ceremony stands on. */
export interface Basis {
  readonly file: CeremonyFile
  readonly inputs: Inputs
  /** UTC, milliseconds: what times are held against */
  readonly now: number
  readonly root: Certificate
  readonly officers: Officers
  readonly before: SignedTranscript
}

/** What the keys made. */
export interface Made {
  /** of the key that was made */
  readonly newRoot?: Certificate
  readonly certificates: readonly Certificate[]
  /** "zt-bundle+jws" */
  readonly bundle?: string
}

export interface NewRoot {
  readonly label: string
  readonly planOf: (spki: Uint8Array) => CertificatePlan
}

export interface NewBundle {
  /** the bundle that it takes the place of; absent: the first */
  readonly held?: TrustBundle
  readonly of: (newRoot: Certificate | undefined) => TrustBundle
}

export type Content = Uint8Array | string

export interface Work {
  /** for people, a line each */
  readonly plan: readonly string[]
  readonly newRoot?: NewRoot
  /** signed by the root's key, in this order */
  readonly certificates: readonly CertificatePlan[]
  readonly bundle?: NewBundle
  readonly destroys?: { readonly label: string; readonly spki: string }
  /** true: other officers are in force afterwards */
  readonly changesOfficers?: boolean
  /** the files to write; `approvals` are the notes that were counted */
  readonly outputs: (made: Made, approvals: readonly string[]) => ReadonlyMap<string, Content>
  /** the reverse: what was made, out of the files that were written */
  readonly read: (content: (file: string) => Uint8Array) => Made
}

export const NOTHING: Made = { certificates: [] }
