// The root ceremony: a new key in the token, its certificate, which names the quorum, and the first trust bundle.
import type { TrustBundle } from '#shared/x509/bundle.ts'
import { certificatesToPem } from '#shared/x509/pem.ts'
import { encodeOfficers } from '../officers-file.ts'
import { quorumDigest } from '../quorum.ts'
import type { CeremonyFile, RootCeremony } from '../file.ts'
import { certificateOf } from '../pem.ts'
import { day, peopleOf, rootPlan } from '../describe.ts'
import type { Content, Work } from '../work.ts'

export function rootWork(ceremony: RootCeremony, file: CeremonyFile): Work {
  const { trustDomain, outputs, quorum } = ceremony
  return {
    plan: [
      `make the key "${ceremony.keyLabel}" and the root of ${trustDomain}`,
      `valid from ${day(ceremony.notBefore)} until ${day(ceremony.notAfter)}`,
      ...peopleOf(quorum),
    ],
    newRoot: {
      label: ceremony.keyLabel,
      planOf: (spki) => rootPlan(ceremony, spki, quorumDigest(quorum)),
    },
    certificates: [],
    bundle: {
      of: (root): TrustBundle => ({
        trustDomain,
        ...ceremony.bundle,
        roots: root === undefined ? [] : [root],
        revokedIntermediates: [],
      }),
    },
    outputs: ({ newRoot, bundle = '' }, approvals) =>
      new Map<string, Content>([
        [outputs.certificate, certificatesToPem(newRoot === undefined ? [] : [newRoot.der])],
        [outputs.bundle, bundle],
        [outputs.officers, encodeOfficers(file, approvals)],
      ]),
    read: (content) => ({
      newRoot: certificateOf(content(outputs.certificate), outputs.certificate),
      certificates: [],
      bundle: Buffer.from(content(outputs.bundle)).toString('latin1'),
    }),
  }
}
