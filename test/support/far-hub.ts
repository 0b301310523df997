// A hub on the other side of the air gap, for tests of ceremonies: answers the words that `ztctl` is given on the operators'
// page, with the real ladder and the real bundle, and no mesh around them. Its state is in FAR_HUB.
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { issueInfraLeaf } from '#pki/issuance/issue.ts'
import { LadderStore } from '#pki/issuance/ladder-store.ts'
import { openSealedKeyStore } from '#pki/keystore/sealed-file.ts'
import { createSealSecret } from '#pki/keystore/seal.ts'
import { systemClock } from '#shared/host/clock.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { generateP256 } from '#shared/jose/keys.ts'
import { summarizeTranscript, verifyTranscript } from '#shared/protocol/ceremony-transcript.ts'
import { signRootUsage } from '#shared/protocol/root-usage.ts'
import { openBundle, rootFingerprint, type TrustBundle } from '#shared/x509/bundle.ts'
import { parseCertificate } from '#shared/x509/certificate.ts'
import { createCsr, verifyCsr } from '#shared/x509/csr.ts'
import { certificatesFromPem } from '#shared/x509/pem.ts'

const HUB = parseSpiffeId('spiffe://mesh.example/hub/h1')
const dir = process.env['FAR_HUB'] ?? ''
const now = systemClock.now()
const held = join(dir, 'bundle.jws')

/** The bundle in force: the first one is pinned, every later one is signed by a root of the one before. */
async function bundleInForce(): Promise<TrustBundle> {
  const first = await readFile('bundle-1.jws', 'utf8')
  const [root = new Uint8Array()] = certificatesFromPem(await readFile('root.pem', 'utf8'))
  let bundle = openBundle(first, { pinnedRoot: rootFingerprint(parseCertificate(root)) }, now)
  const imported = existsSync(held) ? (await readFile(held, 'utf8')).trim().split('\n') : []
  for (const text of imported) bundle = openBundle(text, { trusted: bundle }, now)
  return bundle
}

async function ladder(bundle: TrustBundle): Promise<LadderStore> {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const secretFile = join(dir, 'secret')
  if (!existsSync(secretFile)) await createSealSecret(secretFile)
  const keys = await openSealedKeyStore({ dir: join(dir, 'keys'), secretFile })
  return LadderStore.open({ dir: join(dir, 'ladder'), keys, hub: HUB, now }, bundle)
}

async function importBundle(file: string): Promise<void> {
  const text = await readFile(file, 'utf8')
  openBundle(text, { trusted: await bundleInForce() }, now)
  await writeFile(held, `${text}\n`, { flag: 'a' })
}

/** Says that nothing but the last root of the bundle is in use. */
async function writeUsage(file: string): Promise<void> {
  const bundle = await bundleInForce()
  const { infra } = (await ladder(bundle)).ladder.current(now)
  const keys = generateP256()
  const csr = verifyCsr(createCsr(keys))
  const { chain } = issueInfraLeaf({
    issuer: infra,
    csr,
    id: HUB,
    ttlMs: 300_000,
    now,
    dnsNames: [],
    ips: [],
  })
  const { notBefore, notAfter, thumbprint } = parseCertificate(chain[0] ?? new Uint8Array())
  const identity = { id: HUB, chain, key: keys.privateKey, notBefore, notAfter, thumbprint }
  const roots = bundle.roots.map((root, at) => ({
    fingerprint: rootFingerprint(root),
    live: at === bundle.roots.length - 1 ? 12 : 0,
    since: Math.floor(now / 1000),
  }))
  await writeFile(file, `${signRootUsage(identity, { roots, now })}\n`, { flag: 'wx' })
}

const [noun, verb, file = '', ...flags] = process.argv.slice(2)
switch (`${noun} ${verb}`) {
  case 'ladder request': {
    const store = await ladder(await bundleInForce())
    const request = await store.makeRequest({ count: 3, now, fresh: flags.includes('--fresh') })
    await copyFile(request.file, file)
    break
  }
  case 'ladder import': {
    const bundle = await bundleInForce()
    await (await ladder(bundle)).importResponse(await readFile(file), { bundle, now })
    break
  }
  case 'ladder usage':
    await writeUsage(file)
    break
  case 'bundle import':
    await importBundle(file)
    break
  case 'ceremony anchor':
    summarizeTranscript(verifyTranscript(await readFile(file, 'utf8')))
    break
  default:
    throw new Error(`the page has a word that no hub knows: ${noun} ${verb}`)
}
