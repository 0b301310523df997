// Somebody brings another bundle than the one in force: an older one, or one of a root of their own. What it revokes or
// trusts would be taken for what is revoked and trusted.
import assert from 'node:assert/strict'
import { generateKeyPairSync, sign } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { hex } from '#pki/ceremony/certify.ts'
import { rootPlan } from '#pki/ceremony/describe.ts'
import { quorumDigest } from '#pki/ceremony/quorum.ts'
import { assembleCertificate, buildTbs, serialNumber } from '#pki/issuance/tbs.ts'
import { signBundle } from '#shared/x509/bundle.ts'
import { parseCertificate, type Certificate } from '#shared/x509/certificate.ts'
import type { CeremonyTable } from '#test/support/ceremony.ts'
import { certificateIn, climbed, DAY, rotated } from '#test/support/ceremony-scene.ts'

const AGAIN = { response: 'again.json', transcript: 'again.transcript' }
const REFUSED = { code: 'ZT-422-CEREMONY', message: /"\S+" is not the bundle in force/ }

/** A root of somebody else, with our name on it and our officers in it, and what signs for it. */
function anyRoot(table: CeremonyTable): { root: Certificate; signDigest: (data: Uint8Array) => Uint8Array } {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  const [notBefore, notAfter] = [table.clock.now() - DAY, table.clock.now() + 300 * DAY]
  const life = { trustDomain: table.trustDomain as never, notBefore, notAfter }
  const { template } = rootPlan(
    life,
    publicKey.export({ type: 'spki', format: 'der' }),
    quorumDigest(table.quorum()),
  )
  const tbs = buildTbs({ ...template, serial: serialNumber(new Uint8Array(16).fill(7)) })
  const dsa = (data: Uint8Array, dsaEncoding: 'der' | 'ieee-p1363'): Uint8Array =>
    sign('sha384', data, { key: privateKey, dsaEncoding })
  const root = parseCertificate(assembleCertificate(tbs, 'P-384', dsa(tbs, 'der')))
  return { root, signDigest: (data) => dsa(data, 'ieee-p1363') }
}

it('a bundle of a root of their own hides no revocation', async (t) => {
  const { table, request } = await climbed(t)
  await table.run(await table.revokeFile(['ladder.json']))
  const { root, signDigest } = anyRoot(table)
  const real = await table.bundle('bundle-2.jws')
  const theirs = { ...real, sequence: 9, roots: [...real.roots, root], revokedIntermediates: [] }
  const signer = {
    alg: 'ES384',
    x5c: [root.der],
    sign: async (data: Uint8Array) => signDigest(data),
  } as const
  await writeFile(join(table.dir, 'theirs.jws'), await signBundle(theirs, signer))
  const held = await table.input('theirs.jws')
  await assert.rejects(table.run(await table.ladderFile(request, { held, outputs: AGAIN })), REFUSED)
})

it('an older bundle of ours hides no revocation', async (t) => {
  const { table, request } = await climbed(t)
  await table.run(await table.revokeFile(['ladder.json']))
  const held = await table.input('bundle.jws')
  await assert.rejects(table.run(await table.ladderFile(request, { held, outputs: AGAIN })), REFUSED)
})

it('a newer bundle is not made out of an older one, which would revoke nothing any more', async (t) => {
  const { table } = await climbed(t)
  await table.run(await table.revokeFile(['ladder.json']))
  const outputs = { bundle: 'bundle-9.jws', transcript: 'bundle.transcript' }
  const bundle = { held: await table.input('bundle.jws'), sequence: 9, refreshHint: 300 }
  await assert.rejects(table.run(await table.bundleFile({ bundle, outputs })), REFUSED)
})

it('a bundle of before the rotation does not let the new key be destroyed', async (t) => {
  const { table } = await rotated(t, 1)
  const spki = hex((await certificateIn(table, 'root-2.pem')).spki)
  const file = { spki, keyLabel: 'demo-root-2', held: await table.input('bundle.jws') }
  await assert.rejects(table.run(await table.destroyFile(file)), REFUSED)
})

it('a ceremony that failed leaves the bundle of before in force', async (t) => {
  const { table } = await climbed(t)
  const change = { keyLabel: 'demo-none' }
  await assert.rejects(table.run(await table.revokeFile(['ladder.json'], change)), { code: 'ZT-404-KEY' })
  const outputs = { bundle: 'bundle-3.jws', transcript: 'bundle.transcript' }
  await table.run(await table.bundleFile({ outputs }))
  assert.equal((await table.bundle('bundle-3.jws')).sequence, 2)
})
