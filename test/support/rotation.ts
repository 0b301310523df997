// A rotation of the root in three bundles, as the ceremonies make them, and a hub that hands out whatever it is told to.
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { systemClock } from '#shared/host/clock.ts'
import type { HubPlace } from '#shared/host/catch-up.ts'
import { rootFingerprint, signBundle, type TrustBundle } from '#shared/x509/bundle.ts'
import { certificatesToPem } from '#shared/x509/pem.ts'
import { makeRoot, makeTestPki, rootSigner, type TestAuthority, type TestPki } from './test-pki.ts'

export interface Rotation {
  readonly pki: TestPki
  readonly oldRoot: TestAuthority
  readonly newRoot: TestAuthority
  /** hex fingerprints */
  readonly old: string
  readonly next: string
  /** the old root alone; both, signed by the old one; the new one alone, signed by itself */
  readonly texts: readonly [string, string, string]
  readonly bundles: readonly [TrustBundle, TrustBundle, TrustBundle]
  /** any bundle, signed by any root */
  sign(change: Partial<TrustBundle>, root: TestAuthority): Promise<string>
}

export async function makeRotation(now: number): Promise<Rotation> {
  const pki = await makeTestPki({ now })
  const oldRoot = pki.root
  const newRoot = makeRoot(pki.trustDomain, now)
  const sign: Rotation['sign'] = (change, root) => signBundle({ ...pki.bundle, ...change }, rootSigner(root))
  const both: TrustBundle = {
    ...pki.bundle,
    sequence: 2,
    roots: [oldRoot.certificate, newRoot.certificate],
  }
  const last: TrustBundle = { ...pki.bundle, sequence: 3, roots: [newRoot.certificate] }
  return {
    pki,
    oldRoot,
    newRoot,
    old: rootFingerprint(oldRoot.certificate),
    next: rootFingerprint(newRoot.certificate),
    texts: [pki.signedBundle, await sign(both, oldRoot), await sign(last, newRoot)],
    bundles: [pki.bundle, both, last],
    sign,
  }
}

export interface BundleServer extends HubPlace {
  /** numbers after which the history was asked for */
  readonly asked: number[]
  close(): Promise<void>
}

/** What a hub answers, honest or not. */
export interface BundleAnswers {
  readonly inForce: () => string
  readonly after: (sequence: number) => unknown
}

/** A hub that has nothing but bundles, with a certificate that proves nothing. */
export async function serveBundles(pki: TestPki, answers: BundleAnswers): Promise<BundleServer> {
  const { chain, key } = pki.identity('/hub/h1', Date.now())
  const pem = key.export({ format: 'pem', type: 'pkcs8' })
  const asked: number[] = []
  const server = createServer({ cert: certificatesToPem(chain), key: pem }, (request, response) => {
    const [, digits] = /^\/v1\/bundles\?from=(\d+)$/.exec(request.url ?? '') ?? []
    if (digits !== undefined) asked.push(Number(digits))
    const answer = digits === undefined ? { bundle: answers.inForce() } : answers.after(Number(digits))
    response.end(JSON.stringify(answer))
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    clock: systemClock,
    asked,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
}
