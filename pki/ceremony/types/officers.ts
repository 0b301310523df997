// The officers ceremony: another quorum in place of the one in force, which approves it. No key is touched.
import { quorumDigest } from '../quorum.ts'
import { encodeOfficers } from '../officers-file.ts'
import type { OfficersCeremony } from '../file.ts'
import { refuse } from '../fields.ts'
import { peopleOf } from '../describe.ts'
import { NOTHING, type Basis, type Work } from '../work.ts'

/** Throws ZT-422-CEREMONY if nothing changes. */
export function officersWork(ceremony: OfficersCeremony, { file, officers }: Basis): Work {
  const { quorum, outputs } = ceremony
  if (Buffer.compare(quorumDigest(quorum), quorumDigest(officers.inForce)) === 0)
    throw refuse('field "quorum" is the quorum in force')
  return {
    plan: ['put other officers in place of those in force', ...peopleOf(quorum)],
    certificates: [],
    changesOfficers: true,
    outputs: (_, approvals) => new Map([[outputs.officers, encodeOfficers(file, approvals, officers.links)]]),
    read: () => NOTHING,
  }
}
