// The cross-sign ceremony: the key of another root, signed by this one (RFC 4210 §4.4, "new with old"), for relying
// parties that hold only this one. Nodes have no use for it: their chains have one intermediate and no more.
import { certificatesToPem } from '#shared/x509/pem.ts'
import { isSignedBy } from '#shared/x509/path.ts'
import { keyIdentifier } from '../../issuance/extension.ts'
import { PROFILES } from '../../issuance/profile.ts'
import { day, printOf, ROOT_NAME } from '../describe.ts'
import { refuse } from '../fields.ts'
import type { CrossSignCeremony } from '../file.ts'
import { certificateOf } from '../pem.ts'
import type { Basis, Work } from '../work.ts'

export function crossSignWork(ceremony: CrossSignCeremony, { inputs, root }: Basis): Work {
  const { trustDomain, notBefore, notAfter, outputs } = ceremony
  const subject = certificateOf(inputs.bytes(ceremony.subject), 'field "subject"')
  if (Buffer.compare(subject.spki, root.spki) === 0) throw refuse('field "subject" is the root itself')
  if (
    !subject.isCa ||
    subject.sans.uris.join() !== `spiffe://${trustDomain}` ||
    !isSignedBy(subject, subject)
  )
    throw refuse('field "subject" is not a root of the trust domain')
  for (const { notBefore: from, notAfter: until } of [root, subject]) {
    if (notBefore < from || notAfter > until)
      throw refuse('the certificate would be valid outside of the life of one of the roots')
  }
  const profile = PROFILES['cross-root']
  const template = {
    profile,
    issuer: root.subjectDer,
    subject: ROOT_NAME,
    notBefore,
    notAfter,
    spki: subject.spki,
    names: { uri: `spiffe://${trustDomain}`, dns: [], ips: [] },
    issuerKeyId: root.subjectKeyId ?? keyIdentifier(root.spki),
  }
  return {
    plan: [
      `sign the key of the root ${printOf(subject)}`,
      `with "${ceremony.keyLabel}", valid from ${day(notBefore)} until ${day(notAfter)}`,
    ],
    certificates: [{ what: 'cross-sign', template, context: { profile, trustDomain } }],
    outputs: ({ certificates }) =>
      new Map([[outputs.certificate, certificatesToPem(certificates.map(({ der }) => der))]]),
    read: (content) => ({
      certificates: [certificateOf(content(outputs.certificate), outputs.certificate)],
    }),
  }
}
