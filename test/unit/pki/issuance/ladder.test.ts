// The ladder by the hub's side: requests that prove their keys, responses that are held against them, rungs by the clock.
import assert from 'node:assert/strict'
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { issueInfraLeaf, issueSvid } from '#pki/issuance/issue.ts'
import { Ladder, type Rung } from '#pki/issuance/ladder.ts'
import type { LadderRequest } from '#pki/issuance/ladder-request.ts'
import {
  encodeLadderResponse,
  parseLadderResponse,
  verifyLadderResponse,
  type LadderExpectation,
  type LadderResponse,
} from '#pki/issuance/ladder-response.ts'
import { LadderStore } from '#pki/issuance/ladder-store.ts'
import { openSealedKeyStore, type SealedKeyStore } from '#pki/keystore/sealed-file.ts'
import { createSealSecret } from '#pki/keystore/seal.ts'
import { parseTrustDomain } from '#shared/identity/names.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { generateP256 } from '#shared/jose/keys.ts'
import type { TrustBundle } from '#shared/x509/bundle.ts'
import { createCsr, verifyCsr } from '#shared/x509/csr.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { CeremonyTable, TRUST_DOMAIN } from '#test/support/ceremony.ts'
import { tempDir } from '#test/support/temp-dir.ts'
import { makeRoot } from '#test/support/test-pki.ts'

const DAY = 86_400_000
const HOUR = 3_600_000
const NOW = Date.UTC(2026, 10, 22)
const HUB = parseSpiffeId(`spiffe://${TRUST_DOMAIN}/hub/h1`)
const NODE = parseSpiffeId(`spiffe://${TRUST_DOMAIN}/node/n1`)

interface Hub {
  readonly dir: string
  readonly keys: SealedKeyStore
  readonly store: LadderStore
}

async function makeHub(dir: string, name: string = 'h1'): Promise<Hub> {
  const secretFile = join(dir, `${name}-secret`)
  await createSealSecret(secretFile)
  const keys = await openSealedKeyStore({ dir: join(dir, `${name}-keys`), secretFile })
  const ladder = join(dir, `${name}-ladder`)
  const hub = parseSpiffeId(`spiffe://${TRUST_DOMAIN}/hub/${name}`)
  return { dir: ladder, keys, store: await LadderStore.open({ dir: ladder, keys, hub, now: NOW }, undefined) }
}

interface Scene extends Hub {
  readonly table: CeremonyTable
  readonly bundle: TrustBundle
}

async function scene(t: TestContext): Promise<Scene> {
  const dir = await tempDir(t)
  const table = await CeremonyTable.lay(dir, { clock: new ManualClock(NOW) })
  await table.run(table.rootFile())
  return { ...(await makeHub(dir)), table, bundle: await table.bundle() }
}

/** A scene whose hub stands on a ladder of `count` rungs. */
async function climbed(
  t: TestContext,
  count: number = 3,
): Promise<Scene & { request: LadderRequest; response: Uint8Array }> {
  const made = await scene(t)
  const written = await made.store.makeRequest({ count, now: NOW })
  const { request } = written
  await made.table.run(await made.table.ladderFile(written))
  const response = await made.table.read('ladder.json')
  await made.store.importResponse(response, { bundle: made.bundle, now: NOW })
  return { ...made, request, response }
}

const reopen = (
  { dir, keys }: Hub,
  bundle: TrustBundle | undefined,
  now: number = NOW,
): Promise<LadderStore> => LadderStore.open({ dir, keys, hub: HUB, now }, bundle)

describe('hub with a ladder', () => {
  it('issues from the rung of the hour, and nodes accept it', async (t) => {
    const { store, bundle } = await climbed(t)
    const csr = verifyCsr(createCsr(generateP256()))
    const validator = new SvidValidator(bundle)
    for (const day of [0, 1, 2]) {
      const now = NOW + day * DAY + HOUR
      const rung = store.ladder.current(now)
      assert.equal(rung.index, day)
      const svid = issueSvid({ issuer: rung.workload, csr, id: NODE, ttlMs: 300_000, now })
      assert.equal(validator.validate(svid.chain, now).id, NODE)
      const infra = issueInfraLeaf({
        issuer: rung.infra,
        csr,
        id: HUB,
        ttlMs: HOUR,
        now,
        dnsNames: ['localhost'],
        ips: ['::1'],
      })
      assert.equal(validator.validate(infra.chain, now).id, HUB)
    }
  })

  it('steps onto the next rung by itself, and what the old one issued stays valid', async (t) => {
    const { store, bundle } = await climbed(t)
    const csr = verifyCsr(createCsr(generateP256()))
    const last = NOW + DAY - 1
    const svid = issueSvid({
      issuer: store.ladder.current(last).workload,
      csr,
      id: NODE,
      ttlMs: 300_000,
      now: last,
    })
    assert.equal(store.ladder.current(NOW + DAY).index, 1)
    assert.ok(new SvidValidator(bundle).validate(svid.chain, NOW + DAY + 200_000))
  })

  it('gives an svid of a new rung that receivers accept whose clock is behind', async (t) => {
    const { store, bundle } = await climbed(t)
    const csr = verifyCsr(createCsr(generateP256()))
    const now = NOW + DAY
    const svid = issueSvid({ issuer: store.ladder.current(now).workload, csr, id: NODE, ttlMs: 300_000, now })
    assert.ok(new SvidValidator(bundle).validate(svid.chain, now - 30_000))
  })

  it('issues nothing past the last rung', async (t) => {
    const { store } = await climbed(t)
    assert.ok(store.ladder.current(NOW + 3 * DAY - 1))
    assert.throws(() => store.ladder.current(NOW + 3 * DAY), { code: 'ZT-503-LADDER' })
    assert.throws(() => store.ladder.current(NOW - 1), { code: 'ZT-503-LADDER' })
  })

  it('raises an alarm below three rungs', async (t) => {
    const { store } = await climbed(t)
    assert.deepEqual(store.ladder.status(NOW), {
      remaining: 3,
      alarm: false,
      current: 0,
      next: 1,
      until: NOW + 3 * DAY,
    })
    assert.deepEqual(store.ladder.status(NOW + DAY), {
      remaining: 2,
      alarm: true,
      current: 1,
      next: 2,
      until: NOW + 3 * DAY,
    })
    assert.deepEqual(store.ladder.status(NOW + 3 * DAY), { remaining: 0, alarm: true })
  })

  it('stands on the same rungs after a restart', async (t) => {
    const made = await climbed(t)
    const again = await reopen(made, made.bundle)
    assert.deepEqual(again.ladder.status(NOW), made.store.ladder.status(NOW))
    assert.equal(
      again.ladder.current(NOW).workload.certificate.thumbprint,
      made.store.ladder.current(NOW).workload.certificate.thumbprint,
    )
  })

  it('has no ladder before its first ceremony', async (t) => {
    const { store } = await scene(t)
    assert.deepEqual(store.ladder.status(NOW), { remaining: 0, alarm: true })
    assert.throws(() => store.ladder.current(NOW), { code: 'ZT-503-LADDER' })
  })

  it('stands on a ladder that begins anew as soon as it has it', async (t) => {
    const { store, table, bundle } = await climbed(t)
    const request = await store.makeRequest({ count: 1, now: NOW, fresh: true })
    const outputs = { response: 'fresh.json', transcript: 'fresh.transcript' }
    await table.run(await table.ladderFile(request, { outputs }))
    const before = store.ladder.current(NOW).workload.certificate.thumbprint
    await store.importResponse(await table.read('fresh.json'), { bundle, now: NOW })
    assert.notEqual(store.ladder.current(NOW).workload.certificate.thumbprint, before)
    assert.equal(store.ladder.current(NOW + DAY).index, 1)
  })

  it('does not use a rung that the bundle revokes', async (t) => {
    const made = await climbed(t)
    const { keyId } = made.store.ladder.current(NOW + DAY).workload.certificate
    const again = await reopen(made, { ...made.bundle, sequence: 2, revokedIntermediates: [keyId] })
    assert.ok(again.ladder.current(NOW))
    assert.throws(() => again.ladder.current(NOW + DAY), { code: 'ZT-503-LADDER' })
    assert.equal(again.ladder.status(NOW).remaining, 1)
  })

  it('does not use rungs of a root that is not trusted any more', async (t) => {
    const made = await climbed(t)
    const root = makeRoot(parseTrustDomain(TRUST_DOMAIN), NOW).certificate
    const again = await reopen(made, { ...made.bundle, sequence: 2, roots: [root] })
    assert.equal(again.ladder.status(NOW).remaining, 0)
    assert.equal((await reopen(made, undefined)).ladder.status(NOW).remaining, 0)
  })

  it('needs no keys of rungs that are over', async (t) => {
    const made = await climbed(t)
    const names = await readdir(join(made.dir, '..', 'h1-keys'))
    for (const name of names.filter((key) => /-0-(?:workload|infra)/.test(key)))
      await rm(join(made.dir, '..', 'h1-keys', name))
    await assert.rejects(reopen(made, made.bundle), { code: 'ZT-404-KEY' })
    const later = NOW + DAY + HOUR
    assert.equal((await reopen(made, made.bundle, later)).ladder.current(later).index, 1)
  })

  it('refuses to start if a response was changed', async (t) => {
    const made = await climbed(t)
    const file = join(made.dir, 'response-000000.json')
    const text = await readFile(file, 'utf8')
    await writeFile(
      file,
      text.replace(/"until":(\d+)/, (_, until: string) => `"until":${Number(until) + 1}`),
    )
    await assert.rejects(reopen(made, made.bundle), { code: 'ZT-422-CEREMONY' })
  })

  it('refuses to start if a request was changed, or is gone', async (t) => {
    const made = await climbed(t)
    const name = (await readdir(made.dir)).find((file) => file.startsWith('request-')) ?? ''
    await writeFile(join(made.dir, name), '{}')
    await assert.rejects(reopen(made, made.bundle), { details: { check: 'check-request' } })
    await rm(join(made.dir, name))
    await assert.rejects(reopen(made, made.bundle), { details: { check: 'check-request' } })
  })

  it('refuses to start as another hub', async (t) => {
    const made = await climbed(t)
    const other = parseSpiffeId(`spiffe://${TRUST_DOMAIN}/hub/h2`)
    const { dir, keys, bundle } = made
    await assert.rejects(LadderStore.open({ dir, keys, hub: other, now: NOW }, bundle), {
      details: { check: 'check-request' },
    })
  })
})

describe('import of a response', () => {
  it('is refused a second time', async (t) => {
    const { store, response, bundle } = await climbed(t)
    await assert.rejects(store.importResponse(response, { bundle, now: NOW }), { code: 'ZT-409-EXISTS' })
  })

  it('is refused at another hub', async (t) => {
    const { table, response, bundle } = await climbed(t)
    const other = await makeHub(table.dir, 'h2')
    await assert.rejects(other.store.importResponse(response, { bundle, now: NOW }), {
      details: { check: 'check-request' },
    })
    assert.equal(other.store.ladder.status(NOW).remaining, 0)
  })

  it('is refused under another root', async (t) => {
    const { store, table } = await scene(t)
    const request = await store.makeRequest({ count: 1, now: NOW })
    await table.run(await table.ladderFile(request))
    const root = makeRoot(parseTrustDomain(TRUST_DOMAIN), NOW).certificate
    const bundle = { ...(await table.bundle()), roots: [root] }
    await assert.rejects(store.importResponse(await table.read('ladder.json'), { bundle, now: NOW }), {
      details: { check: 'check-root' },
    })
  })

  it('is refused if it goes on from a response that was never imported', async (t) => {
    const { store, table, bundle, response } = await climbed(t, 1)
    const second = await store.makeRequest({ count: 1, now: NOW })
    const previous = await table.input('ladder.json')
    await table.run(
      await table.ladderFile(second, {
        previous,
        outputs: { response: '2.json', transcript: '2.transcript' },
      }),
    )
    await store.importResponse(await table.read('2.json'), { bundle, now: NOW })
    const third = await store.makeRequest({ count: 1, now: NOW })
    assert.notEqual(third.request.previous, second.request.previous)
    await assert.rejects(store.importResponse(response, { bundle, now: NOW }), { code: 'ZT-409-EXISTS' })
    const other = await table.ladderFile(second, {
      previous,
      outputs: { response: '2b.json', transcript: '2b.transcript' },
    })
    await table.run(other)
    await assert.rejects(store.importResponse(await table.read('2b.json'), { bundle, now: NOW }), {
      details: { check: 'check-chain' },
    })
  })

  it('keeps nothing of a response that it refuses', async (t) => {
    const made = await scene(t)
    await assert.rejects(made.store.importResponse(Buffer.from('{}'), { bundle: made.bundle, now: NOW }), {
      code: 'ZT-422-CEREMONY',
    })
    assert.deepEqual(
      (await readdir(made.dir)).filter((name) => name.startsWith('response')),
      [],
    )
  })
})

describe('ladder response', () => {
  const bends: Record<string, [string, (response: LadderResponse) => LadderResponse]> = {
    'one rung less': ['check-count', (response) => ({ ...response, rungs: response.rungs.slice(0, 2) })],
    'rungs in another order': [
      'check-slots',
      (response) => ({ ...response, rungs: response.rungs.toReversed() }),
    ],
    'both authorities exchanged': [
      'check-keys',
      (response) => ({
        ...response,
        rungs: response.rungs.map((rung) => ({ ...rung, workload: rung.infra, infra: rung.workload })),
      }),
    ],
    'the certificates of another slot': [
      'check-keys',
      (response) => ({
        ...response,
        rungs: response.rungs.map((rung, at, all) => ({
          ...rung,
          workload: all[(at + 1) % 3]?.workload ?? rung.workload,
        })),
      }),
    ],
    'another request': ['check-request', (response) => ({ ...response, request: '0'.repeat(64) })],
    'another hub': [
      'check-request',
      (response) => ({ ...response, hub: parseSpiffeId(`spiffe://${TRUST_DOMAIN}/hub/h2`) }),
    ],
    'another trust domain': [
      'check-request',
      (response) => ({ ...response, trustDomain: parseTrustDomain('other.example') }),
    ],
    'another previous one': ['check-request', (response) => ({ ...response, previous: '0'.repeat(64) })],
    'another root': ['check-root', (response) => ({ ...response, root: '0'.repeat(64) })],
    'a slot of another number': [
      'check-slots',
      (response) => ({
        ...response,
        rungs: response.rungs.map((rung) => ({ ...rung, index: rung.index + 1 })),
      }),
    ],
    'slots an hour later': [
      'check-slots',
      (response) => ({
        ...response,
        rungs: response.rungs.map((rung) => ({ ...rung, from: rung.from + HOUR, until: rung.until + HOUR })),
      }),
    ],
  }
  for (const [what, [check, bend]] of Object.entries(bends)) {
    it(`is refused with ${what}`, async (t) => {
      const { request, response, bundle } = await climbed(t)
      const parsed = parseLadderResponse(response)
      const [root] = bundle.roots
      const expected: LadderExpectation = { request, requestDigest: parsed.request, root: root! }
      verifyLadderResponse(parsed, expected)
      assert.throws(() => verifyLadderResponse(bend(parsed), expected), {
        code: 'ZT-422-CEREMONY',
        details: { check },
      })
    })
  }

  it('is the same bytes again when it is read and written', async (t) => {
    const { response } = await climbed(t)
    assert.deepEqual(Buffer.from(encodeLadderResponse(parseLadderResponse(response))), Buffer.from(response))
  })
})

describe('request that a hub makes', () => {
  for (const [what, count] of Object.entries({ none: 0, 'over 30': 31, 'half a': 1.5 })) {
    it(`is not made for ${what} rungs`, async (t) => {
      const { store } = await scene(t)
      await assert.rejects(store.makeRequest({ count, now: NOW }), { details: { check: 'check-count' } })
    })
  }

  it('holds no private key', async (t) => {
    const { store } = await scene(t)
    const { file } = await store.makeRequest({ count: 1, now: NOW })
    assert.deepEqual(Object.keys(JSON.parse(await readFile(file, 'utf8'))['rungs'][0]['infra']).toSorted(), [
      'pop',
      'spki',
    ])
  })
})

describe('ladder', () => {
  it('counts rungs only up to the first gap', () => {
    const rung = (index: number, from: number): Rung => ({ index, from, until: from + DAY }) as Rung
    const ladder = new Ladder([rung(0, NOW), rung(1, NOW + DAY), rung(3, NOW + 3 * DAY)])
    assert.equal(ladder.status(NOW).remaining, 2)
    assert.equal(ladder.status(NOW).until, NOW + 2 * DAY)
    assert.throws(() => ladder.current(NOW + 2 * DAY), { code: 'ZT-503-LADDER' })
    assert.equal(ladder.current(NOW + 3 * DAY).index, 3)
  })
})
