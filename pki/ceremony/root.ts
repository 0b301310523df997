// The root ceremony: a new key in the token, its certificate, and the first trust bundle.
import { rootFingerprint, type TrustBundle } from '#shared/x509/bundle.ts'
import { certificatesToPem } from '#shared/x509/pem.ts'
import { keyIdentifier } from '../issuance/extension.ts'
import { PROFILES } from '../issuance/profile.ts'
import { commonName } from '../issuance/tbs.ts'
import type { KeyStore } from '../keystore/keystore.ts'
import { bundleOf } from './bundle.ts'
import { certify, hex } from './certify.ts'
import type { RootCeremony } from './file.ts'
import type { CeremonyFolder } from './folder.ts'
import type { Transcript } from './transcript.ts'

export interface Desk {
  readonly keys: KeyStore
  readonly folder: CeremonyFolder
  readonly transcript: Transcript
  /** UTC, milliseconds */
  readonly now: number
}

/** Throws ZT-409-LABEL if the key exists. A failure after the key was made leaves it, unused, under its label. */
export async function runRoot(ceremony: RootCeremony, desk: Desk): Promise<void> {
  const { keys, folder, transcript, now } = desk
  const { trustDomain } = ceremony
  const key = await keys.generate({ label: ceremony.keyLabel, curve: 'P-384' })
  await transcript.write('made key', { label: key.label, spki: hex(key.spki) })
  const name = commonName('ztmesh root')
  const template = {
    profile: PROFILES.root,
    issuer: name,
    subject: name,
    notBefore: ceremony.notBefore,
    notAfter: ceremony.notAfter,
    spki: key.spki,
    names: { uri: `spiffe://${trustDomain}`, dns: [], ips: [] },
    issuerKeyId: keyIdentifier(key.spki),
  }
  const context = { profile: PROFILES.root, trustDomain }
  const root = await certify({ what: 'root', template, context }, { keys, key, transcript })
  const bundle: TrustBundle = { trustDomain, ...ceremony.bundle, roots: [root], revokedIntermediates: [] }
  const signed = await bundleOf(bundle, { root, key, now })
  await transcript.write('signed bundle', {
    sequence: String(bundle.sequence),
    fingerprint: rootFingerprint(root),
  })
  await folder.write(ceremony.outputs.certificate, certificatesToPem([root.der]))
  await folder.write(ceremony.outputs.bundle, signed)
}
