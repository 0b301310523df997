// A whole authority in memory, for tests: root, both intermediates, the bundle, and any certificate somebody wants to
// see refused. Made by the same code that issues for real; keys are thrown away with the test.
import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import { infraConstraints, workloadConstraints, type InfraNames } from '#pki/issuance/constraint.ts'
import { keyIdentifier } from '#pki/issuance/extension.ts'
import { parseIpAddress } from '#pki/issuance/host-name.ts'
import { issueInfraLeaf, issueSvid, type Issuer } from '#pki/issuance/issue.ts'
import { PROFILES, type ProfileName } from '#pki/issuance/profile.ts'
import {
  assembleCertificate,
  buildTbs,
  commonName,
  EMPTY_NAME,
  serialNumber,
  type Template,
} from '#pki/issuance/tbs.ts'
import type { Identity } from '#shared/identity/identity.ts'
import { parseTrustDomain, type TrustDomain } from '#shared/identity/names.ts'
import { parseSpiffeId, principalKind } from '#shared/identity/spiffe-id.ts'
import { generateP256, spkiOf, thumbprint } from '#shared/jose/keys.ts'
import type { Signer } from '#shared/jose/jws.ts'
import { signBundle, type TrustBundle } from '#shared/x509/bundle.ts'
import { parseCertificate, type Certificate } from '#shared/x509/certificate.ts'
import { canonicalSignature } from '#shared/x509/ecdsa-signature.ts'
import { createCsr, verifyCsr } from '#shared/x509/csr.ts'

export interface TestAuthority {
  readonly certificate: Certificate
  readonly key: KeyObject
}

export interface TestPki {
  readonly trustDomain: TrustDomain
  readonly root: TestAuthority
  readonly workload: Issuer
  readonly infra: Issuer
  readonly bundle: TrustBundle
  /** the bundle as "zt-bundle+jws" */
  readonly signedBundle: string
  /** An identity of that path ("/node/n1"), five minutes from `now`; hub and NATS get `localhost` and loopback. */
  identity(path: string, now?: number): Identity
}

export interface TestPkiOptions {
  readonly trustDomain?: string
  /** UTC, milliseconds: the middle of the intermediates' day */
  readonly now: number
  readonly sequence?: number
}

const HOUR = 3_600_000
const LOOPBACK = ['127.0.0.1', '::1']
const INFRA_NAMES: InfraNames = { dns: ['localhost'], ips: LOOPBACK.map(parseIpAddress) }

export async function makeTestPki(options: TestPkiOptions): Promise<TestPki> {
  const trustDomain = parseTrustDomain(options.trustDomain ?? 'mesh.example')
  const at = Math.floor(options.now / 1000) * 1000
  const root = makeRoot(trustDomain, at)
  const workload = makeIntermediate('workload-ca', { root, trustDomain, at })
  const infra = makeIntermediate('infra-ca', { root, trustDomain, at })
  const bundle: TrustBundle = {
    trustDomain,
    sequence: options.sequence ?? 1,
    refreshHint: 300,
    roots: [root.certificate],
    revokedIntermediates: [],
  }
  const identity = (path: string, now: number = options.now): Identity =>
    makeIdentity(`spiffe://${trustDomain}${path}`, { workload, infra, now })
  return {
    trustDomain,
    root,
    workload,
    infra,
    bundle,
    signedBundle: await signBundle(bundle, rootSigner(root)),
    identity,
  }
}

/** Signs bundles with a root in memory. */
export function rootSigner({ certificate, key }: TestAuthority): Signer {
  return {
    alg: 'ES384',
    x5c: [certificate.der],
    sign: (data) => sign('sha384', data, { key, dsaEncoding: 'ieee-p1363' }),
  }
}

export function makeRoot(trustDomain: TrustDomain, at: number): TestAuthority {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  const spki = spkiOf(publicKey)
  const name = commonName('ztmesh root')
  const certificate = signTemplate(
    {
      profile: PROFILES.root,
      serial: serialNumber(),
      issuer: name,
      subject: name,
      notBefore: at - 24 * HOUR,
      notAfter: at + 3650 * 24 * HOUR,
      spki,
      names: { uri: `spiffe://${trustDomain}`, dns: [], ips: [] },
      issuerKeyId: keyIdentifier(spki),
    },
    privateKey,
  )
  return { certificate, key: privateKey }
}

/** An intermediate of `root`, valid from 12 hours before `at` to 12 hours after; `change` bends it. */
export function makeIntermediate(
  name: 'workload-ca' | 'infra-ca',
  { root, trustDomain, at }: { root: TestAuthority; trustDomain: TrustDomain; at: number },
  change: Partial<Template> = {},
): Issuer {
  const keys = generateP256()
  const template: Template = {
    profile: PROFILES[name],
    serial: serialNumber(),
    issuer: root.certificate.subjectDer,
    subject: commonName(`ztmesh ${name} test`),
    notBefore: at - 12 * HOUR,
    notAfter: at + 12 * HOUR,
    spki: keys.spki,
    names: { uri: `spiffe://${trustDomain}`, dns: [], ips: [] },
    constraints:
      name === 'workload-ca' ? workloadConstraints(trustDomain) : infraConstraints(trustDomain, INFRA_NAMES),
    issuerKeyId: keyIdentifier(root.certificate.spki),
    ...change,
  }
  return { certificate: signTemplate(template, root.key), key: keys.privateKey }
}

/** A leaf of `issuer` for new keys; `change` bends it in any way that a profile can be bent. */
export function makeLeaf(
  issuer: Issuer,
  { uri, at, profile = 'svid' }: { uri: string; at: number; profile?: ProfileName },
  change: Partial<Template> = {},
): { certificate: Certificate; key: KeyObject } {
  const keys = generateP256()
  const template: Template = {
    profile: PROFILES[profile],
    serial: serialNumber(),
    issuer: issuer.certificate.subjectDer,
    subject: EMPTY_NAME,
    notBefore: at - 30_000,
    notAfter: at + 300_000,
    spki: keys.spki,
    names: { uri, dns: [], ips: [] },
    issuerKeyId: keyIdentifier(issuer.certificate.spki),
    ...change,
  }
  return { certificate: signTemplate(template, issuer.key), key: keys.privateKey }
}

/** Signs what the template says with `key`, whether they fit together or not. */
export function signTemplate(template: Template, key: KeyObject): Certificate {
  const tbs = buildTbs(template)
  const { issuerCurve } = template.profile
  const hash = issuerCurve === 'P-256' ? 'sha256' : 'sha384'
  const raw = sign(hash, tbs, { key, dsaEncoding: 'ieee-p1363' })
  return parseCertificate(assembleCertificate(tbs, issuerCurve, canonicalSignature(raw, issuerCurve)))
}

function makeIdentity(uri: string, pki: { workload: Issuer; infra: Issuer; now: number }): Identity {
  const id = parseSpiffeId(uri)
  const keys = generateP256()
  const order = { csr: verifyCsr(createCsr(keys)), id, ttlMs: 300_000, now: pki.now }
  const isInfra = ['hub', 'nats'].includes(principalKind(id))
  const { chain, notBefore, notAfter } = isInfra
    ? issueInfraLeaf({ ...order, issuer: pki.infra, dnsNames: ['localhost'], ips: LOOPBACK })
    : issueSvid({ ...order, issuer: pki.workload })
  const [leaf = new Uint8Array()] = chain
  return { id, chain, key: keys.privateKey, notBefore, notAfter, thumbprint: thumbprint(leaf) }
}
