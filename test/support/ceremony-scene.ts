// Where tests of ceremonies begin: a root, a hub with its ladder, a rotation half done.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { approve } from '#pki/ceremony/approval.ts'
import { parseCeremony, type CeremonyFile } from '#pki/ceremony/file.ts'
import { issueInfraLeaf } from '#pki/issuance/issue.ts'
import { LadderStore, type WrittenRequest } from '#pki/issuance/ladder-store.ts'
import { openSealedKeyStore } from '#pki/keystore/sealed-file.ts'
import { createSealSecret } from '#pki/keystore/seal.ts'
import type { Identity } from '#shared/identity/identity.ts'
import { parseSpiffeId, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import { summarizeTranscript, verifyTranscript } from '#shared/protocol/ceremony-transcript.ts'
import { signRootUsage, type RootUsage } from '#shared/protocol/root-usage.ts'
import { rootFingerprint } from '#shared/x509/bundle.ts'
import { parseCertificate, type Certificate } from '#shared/x509/certificate.ts'
import { createCsr, verifyCsr } from '#shared/x509/csr.ts'
import { certificatesFromPem } from '#shared/x509/pem.ts'
import { generateP256 } from '#shared/jose/keys.ts'
import type { NoteSigner } from '#shared/log/note.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { CeremonyTable, TRUST_DOMAIN } from './ceremony.ts'
import { tempDir } from './temp-dir.ts'

export const DAY = 86_400_000
export const HUB: SpiffeId = parseSpiffeId(`spiffe://${TRUST_DOMAIN}/hub/h1`)

export interface CeremonyScene {
  readonly table: CeremonyTable
  readonly clock: ManualClock
  readonly store: LadderStore
}

/** A table, and a hub that has asked for nothing yet. */
export async function ceremonyScene(t: TestContext): Promise<CeremonyScene> {
  const dir = await tempDir(t)
  const clock = new ManualClock()
  const table = await CeremonyTable.lay(dir, { clock })
  const secretFile = join(dir, 'hub-secret')
  await createSealSecret(secretFile)
  const keys = await openSealedKeyStore({ dir: join(dir, 'hub-keys'), secretFile })
  const options = { dir: join(dir, 'ladder'), keys, hub: HUB, now: clock.now() }
  return { table, clock, store: await LadderStore.open(options, undefined) }
}

/** The root is made. */
export async function rooted(t: TestContext): Promise<CeremonyScene> {
  const scene = await ceremonyScene(t)
  await scene.table.run(scene.table.rootFile())
  return scene
}

/** The root is made and a request of `count` rungs waits. */
export async function requested(
  t: TestContext,
  count: number = 2,
): Promise<CeremonyScene & { request: WrittenRequest }> {
  const scene = await rooted(t)
  return { ...scene, request: await scene.store.makeRequest({ count, now: scene.clock.now() }) }
}

/** The hub stands on a ladder of `count` rungs. */
export async function climbed(
  t: TestContext,
  count: number = 2,
): Promise<CeremonyScene & { request: WrittenRequest }> {
  const scene = await requested(t, count)
  const { table, store, clock, request } = scene
  await table.run(await table.ladderFile(request))
  await store.importResponse(await table.read('ladder.json'), {
    bundle: await table.bundle(),
    now: clock.now(),
  })
  return scene
}

/** Two roots are trusted, and the hub stands on a ladder under the new one; `days` have passed since. */
export async function rotated(t: TestContext, days: number): Promise<CeremonyScene> {
  const scene = await rooted(t)
  const { table, clock, store } = scene
  await table.run(await table.rotateFile())
  clock.advance(days * DAY)
  const request = await store.makeRequest({ count: 2, now: clock.now() })
  const root = await table.input('root-2.pem')
  await table.run(await table.ladderFile(request, { root, keyLabel: 'demo-root-2' }))
  const bundle = await table.bundle('bundle-2.jws')
  await store.importResponse(await table.read('ladder.json'), { bundle, now: clock.now() })
  return scene
}

/**
 * What the hub says of the SVIDs that chain to the first root: a file in the table's folder. `since` (milliseconds) is when
 * it took the second root: at once, unless given; null: it never did.
 */
export async function usageFile(
  { table, store, clock }: CeremonyScene,
  live: number,
  { file = 'usage.jws', since }: { readonly file?: string; readonly since?: number | null } = {},
): Promise<string> {
  const rotation = summarizeTranscript(verifyTranscript(await table.text('rotate.transcript')))
  const took = since === undefined ? rotation.endedAt : since
  const entry = async (name: string, count: number, from: number | null): Promise<RootUsage> => ({
    fingerprint: rootFingerprint(await certificateIn(table, name)),
    live: count,
    ...(from === null ? {} : { since: Math.ceil(from / 1000) }),
  })
  const roots = [await entry('root.pem', live, clock.now() - 90 * DAY), await entry('root-2.pem', 5, took)]
  const now = clock.now()
  await writeFile(join(table.dir, file), `${signRootUsage(hubIdentity(store, now), { roots, now })}\n`)
  return file
}

export async function certificateIn(table: CeremonyTable, file: string): Promise<Certificate> {
  const [der = new Uint8Array()] = certificatesFromPem(await table.text(file))
  return parseCertificate(der)
}

/** A ceremony file as its officers see it. */
export function reviewed(content: object): CeremonyFile {
  return parseCeremony(Buffer.from(JSON.stringify(content)))
}

/** Approvals of `content` by these officers, at this time. */
export function approvedBy(content: object, officers: readonly NoteSigner[], at: number): string[] {
  return officers.map((officer) => approve(reviewed(content), officer, at))
}

/** Changes one character of a file. */
export async function bend(file: string, from: string, to: string): Promise<void> {
  const text = await readFile(file, 'utf8')
  if (!text.includes(from)) throw new Error(`"${from}" is not in ${file}`)
  await writeFile(file, text.replace(from, to))
}

function hubIdentity(store: LadderStore, now: number): Identity {
  const keys = generateP256()
  const csr = verifyCsr(createCsr(keys))
  const { chain } = issueInfraLeaf({
    issuer: store.ladder.current(now).infra,
    csr,
    id: HUB,
    ttlMs: 300_000,
    now,
    dnsNames: [],
    ips: [],
  })
  const leaf = parseCertificate(chain[0] ?? new Uint8Array())
  const { notBefore, notAfter, thumbprint } = leaf
  return { id: HUB, chain, key: keys.privateKey, notBefore, notAfter, thumbprint }
}
