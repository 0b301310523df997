// The rotation of the root: a second key and its certificate, and a bundle with both roots that the first one signs, so
// that every node takes the second. From its end on at least seven days pass before retire-root.ts.
import { certificatesToPem } from '#shared/x509/pem.ts'
import { day, rootPlan } from '../describe.ts'
import type { RotateRootCeremony } from '../file.ts'
import { heldBundle } from '../held.ts'
import { certificateOf } from '../pem.ts'
import { quorumDigest } from '../quorum.ts'
import type { Basis, Work } from '../work.ts'

export function rotateRootWork(ceremony: RotateRootCeremony, basis: Basis): Work {
  const { outputs, bundle } = ceremony
  const held = heldBundle(bundle.held, basis)
  return {
    plan: [
      `make the key "${ceremony.newKeyLabel}" and a second root of ${ceremony.trustDomain}`,
      `valid from ${day(ceremony.notBefore)} until ${day(ceremony.notAfter)}`,
      `sign bundle ${bundle.sequence} with ${held.roots.length + 1} roots by "${ceremony.keyLabel}"`,
    ],
    newRoot: {
      label: ceremony.newKeyLabel,
      planOf: (spki) => rootPlan(ceremony, spki, quorumDigest(basis.officers.inForce)),
    },
    certificates: [],
    bundle: {
      held,
      of: (root) => ({
        ...held,
        sequence: bundle.sequence,
        refreshHint: bundle.refreshHint,
        roots: root === undefined ? held.roots : [...held.roots, root],
      }),
    },
    outputs: ({ newRoot, bundle: text = '' }) =>
      new Map([
        [outputs.certificate, certificatesToPem(newRoot === undefined ? [] : [newRoot.der])],
        [outputs.bundle, text],
      ]),
    read: (content) => ({
      newRoot: certificateOf(content(outputs.certificate), outputs.certificate),
      certificates: [],
      bundle: Buffer.from(content(outputs.bundle)).toString('latin1'),
    }),
  }
}
