// Another trust domain whose bundle is fetched, as the tests of federation know it: its authorities, its endpoint's SVID,
// and how a relation to it stands.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { certificatesToPem } from '#shared/x509/pem.ts'
import { startBundleServer, type BundleServer } from './bundle-server.ts'
import { eventually } from './eventually.ts'
import { bundleText, foreignCa, foreignLeaf, x509Jwk, type ForeignCertificate } from './foreign-pki.ts'
import { openTestFederation, type TestFederation } from './relations.ts'
import { tempDir } from './temp-dir.ts'

// The real time: for https_web OpenSSL judges these certificates too.
export const NOW: number = Date.now()
const at = { at: NOW }

export const FOREIGN = 'other.example'
/** SPIFFE ID of its bundle endpoint */
export const SERVER = 'spiffe://other.example/bundle-server'

export const ca: ForeignCertificate = foreignCa(FOREIGN, at)
/** the authority that follows */
export const nextCa: ForeignCertificate = foreignCa(FOREIGN, { ...at, kind: 'P-384', name: 'next' })
/** an authority of the web, for https_web */
export const webCa: ForeignCertificate = foreignCa('web.example', { ...at, uris: [] })

export function spiffeServer(issuer: ForeignCertificate = ca, uri: string = SERVER): ForeignCertificate {
  return foreignLeaf(issuer, uri, at)
}

export function webServer(dns: string, issuer: ForeignCertificate = webCa): ForeignCertificate {
  return foreignLeaf(issuer, SERVER, { ...at, uris: [], dns: [dns] })
}

/** The bundle document of these authorities. */
export function documentOf(
  authorities: readonly ForeignCertificate[],
  sequence: number,
  refreshHint: number = 300,
): string {
  const members = { spiffe_sequence: sequence, spiffe_refresh_hint: refreshHint }
  return bundleText(
    authorities.map((one) => x509Jwk(one)),
    members,
  )
}

export async function fileWith(t: TestContext, content: string): Promise<string> {
  const path = join(await tempDir(t), 'file')
  await writeFile(path, content)
  return path
}

/** As the configuration has it: https_spiffe, with `given` for the first fetch. */
export async function spiffeRelation(t: TestContext, url: URL, given: string): Promise<object> {
  return {
    trustDomain: FOREIGN,
    endpointUrl: url.href,
    profile: 'https_spiffe',
    endpointSpiffeId: SERVER,
    bundleFile: await fileWith(t, given),
  }
}

/** As the configuration has it: https_web with a private authority. */
export async function webRelation(t: TestContext, url: URL): Promise<object> {
  return {
    trustDomain: FOREIGN,
    endpointUrl: url.href,
    profile: 'https_web',
    caFile: await fileWith(t, certificatesToPem([webCa.der])),
  }
}

/** Starts it, and resolves when every relation has been fetched or has failed. */
export async function fetched(made: TestFederation): Promise<TestFederation> {
  made.federation.start()
  await eventually('a fetch of every relation', () => {
    const now = made.clock.now()
    const done = made.federation.list().every((one) => one.failing !== null || one.fetched === now)
    return done ? true : undefined
  })
  return made
}

export function statusOf({ federation }: TestFederation): {
  sequence: string | null
  x509: number
  failing: string | null
} {
  const [{ sequence, x509, failing } = { sequence: null, x509: -1, failing: null }] = federation.list()
  return { sequence, x509, failing }
}

/** Code and reason of the row of the failure, once there is one. */
export function failureOf({ rows }: TestFederation): Promise<readonly unknown[]> {
  return eventually('a row of the failure', () => {
    const row = rows.rows.find(({ type }) => type === 'federation.failed')
    if (row === undefined) return undefined
    return [row.code, (row.obj?.['details'] as { reason?: string } | undefined)?.reason]
  })
}

/** A server with `chain`, and a federation that has fetched `body` from it once, or failed to. */
export async function spiffeFederation(
  t: TestContext,
  chain: readonly ForeignCertificate[],
  body: string = documentOf([ca], 2),
): Promise<{ server: BundleServer; made: TestFederation }> {
  const server = await startBundleServer(t, chain)
  server.body = body
  const relations = [await spiffeRelation(t, server.url, documentOf([ca], 1))]
  return { server, made: await fetched(await openTestFederation(t, { relations })) }
}
