// SPIFFE Federation §4.1 and §6: items 29 and 30.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, type TestContext } from 'node:test'
import { refreshAfter } from '#hub/federation/relations.ts'
import { Publication } from '#hub/federation/own-bundle.ts'
import { JwtAuthority } from '#hub/jwt/jwt-authority.ts'
import { createSqliteStore, openSqliteStore } from '#hub/store/sqlite.ts'
import { createSealSecret, Seal } from '#pki/keystore/seal.ts'
import { parseBundleDocument, type BundleDocument } from '#shared/spiffe/bundle-document.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { RowLog } from '#test/fakes/row-log.ts'
import { accepts, refuses } from '#test/support/conformance.ts'
import { eventually } from '#test/support/eventually.ts'
import {
  ca,
  documentOf,
  nextCa,
  NOW,
  spiffeFederation,
  spiffeServer,
  statusOf,
} from '#test/support/foreign-relation.ts'
import { tempDir } from '#test/support/temp-dir.ts'
import { makeTestPki } from '#test/support/test-pki.ts'

// §4.1: "new keys MUST be published at the bundle endpoint prior to the keys being used to issue SVIDs"; "the recommended
// advance time is 3-5 times the bundle's spiffe_refresh_hint".
describe('new keys', () => {
  const HOUR = 3_600_000

  interface Office {
    readonly jwt: JwtAuthority
    readonly clock: ManualClock
    /** what the endpoint shows */
    readonly shown: () => Promise<BundleDocument>
  }

  async function authority(t: TestContext, refreshHint: number = 300): Promise<Office> {
    const clock = new ManualClock(NOW)
    const dir = await tempDir(t)
    const [secret, file] = [join(dir, 'seal.key'), join(dir, 'hub.db')]
    await createSealSecret(secret)
    createSqliteStore(file)
    const store = openSqliteStore(file)
    t.after(() => store.close())
    const { seal } = await Seal.create(secret)
    const rows = new RowLog()
    const jwt = await JwtAuthority.open({ store: store.jwtKeys, seal, clock, rows })
    const { bundle } = await makeTestPki({ now: NOW })
    const trust = new SvidValidator({ ...bundle, refreshHint })
    const own = new Publication({ trust, jwt: () => jwt.authorities(), store: store.federation, rows, clock })
    const shown = async (): Promise<BundleDocument> =>
      parseBundleDocument(await own.document(), bundle.trustDomain)
    return { jwt, clock, shown }
  }

  // The largest that the signed bundle may say, too.
  for (const signedHint of [300, 86_400])
    accepts(
      29,
      `a key for JWT-SVIDs is in the bundle at least five refresh hints before it signs, where ours says ${signedHint} s`,
      async (t) => {
        const { jwt, clock, shown } = await authority(t, signedHint)
        const published = new Map(jwt.authorities().map(({ kid }) => [kid, clock.now()]))
        const first = jwt.signer().kid
        for (let hour = 0; hour < 72; hour += 1) {
          clock.advance(HOUR / 2)
          await jwt.rotate()
          const { jwtAuthorities, refreshHint = 0 } = await shown()
          assert.ok(refreshHint > 0)
          for (const { kid } of jwtAuthorities) published.set(kid, published.get(kid) ?? clock.now())
          const { kid } = jwt.signer()
          const ahead = clock.now() - (published.get(kid) ?? clock.now())
          assert.ok(kid === first || ahead >= 5 * refreshHint * 1000, `published ${ahead} ms ahead`)
        }
        assert.ok(published.size >= 2)
      },
    )
  refuses(29, 'to sign with a key that was just made', async (t) => {
    const { jwt, clock } = await authority(t)
    const first = jwt.signer().kid
    clock.advance(30 * 24 * HOUR)
    await jwt.rotate()
    assert.equal(jwt.authorities().length, 2)
    assert.equal(jwt.signer().kid, first)
  })
})

// §6.2: "bundle endpoint clients SHOULD retry at the next polling interval, rather than immediately or aggressively".
describe('polling', () => {
  accepts(30, 'the refresh hint is when to ask again, within bounds, and five minutes without one', () => {
    const given = [undefined, 0, 1, 10, 300, 3600, 2_419_200]
    assert.deepEqual(given.map(refreshAfter), [300, 10, 10, 10, 300, 3600, 3600])
  })

  accepts(30, 'a change is taken up at the next interval', async (t) => {
    const { server, made } = await spiffeFederation(t, [spiffeServer()], documentOf([ca], 2, 60))
    server.body = documentOf([ca, nextCa], 3, 60)
    made.clock.advance(59_999)
    assert.equal(server.asked.length, 1)
    made.clock.advance(1)
    await eventually('the new bundle', () => (statusOf(made).sequence === '3' ? true : undefined))
    assert.deepEqual(statusOf(made), { sequence: '3', x509: 2, failing: null })
  })

  refuses(30, 'to ask sooner because it failed, and to forget what it has', async (t) => {
    const { server, made } = await spiffeFederation(t, [spiffeServer()], documentOf([ca], 2, 60))
    server.answer = (_message, response) => {
      response.statusCode = 500
      response.end()
    }
    made.clock.advance(60_000)
    await eventually('the failure', () => statusOf(made).failing ?? undefined)
    assert.equal(server.asked.length, 2)
    made.clock.advance(59_999)
    assert.equal(server.asked.length, 2)
    assert.deepEqual(statusOf(made), { sequence: '2', x509: 1, failing: 'ZT-503-FEDERATION' })
    made.clock.advance(1)
    await eventually('the third fetch', () => (server.asked.length === 3 ? true : undefined))
    assert.equal(made.rows.types.filter((type) => type === 'federation.failed').length, 1)
  })
})
