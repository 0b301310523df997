// SPIFFE Federation §4.1 and §6: items 29 and 30.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, type TestContext } from 'node:test'
import { refreshAfter } from '#hub/federation/relations.ts'
import { JwtAuthority } from '#hub/jwt/jwt-authority.ts'
import { createSqliteStore, openSqliteStore } from '#hub/store/sqlite.ts'
import { createSealSecret, Seal } from '#pki/keystore/seal.ts'
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

// §4.1: "new keys MUST be published at the bundle endpoint prior to the keys being used to issue SVIDs"; "the recommended
// advance time is 3-5 times the bundle's spiffe_refresh_hint".
describe('new keys', () => {
  const HOUR = 3_600_000

  async function authority(t: TestContext): Promise<{ jwt: JwtAuthority; clock: ManualClock }> {
    const clock = new ManualClock(NOW)
    const dir = await tempDir(t)
    const [secret, file] = [join(dir, 'seal.key'), join(dir, 'hub.db')]
    await createSealSecret(secret)
    createSqliteStore(file)
    const store = openSqliteStore(file)
    t.after(() => store.close())
    const { seal } = await Seal.create(secret)
    return { jwt: await JwtAuthority.open({ store: store.jwtKeys, seal, clock, rows: new RowLog() }), clock }
  }

  accepts(
    29,
    'a key for JWT-SVIDs is in the bundle at least five refresh hints before it signs',
    async (t) => {
      const { jwt, clock } = await authority(t)
      const published = new Map(jwt.authorities().map(({ kid }) => [kid, clock.now()]))
      const first = jwt.signer().kid
      for (let hour = 0; hour < 72; hour += 1) {
        clock.advance(HOUR / 2)
        await jwt.rotate()
        for (const { kid } of jwt.authorities()) published.set(kid, published.get(kid) ?? clock.now())
        const { kid } = jwt.signer()
        const ahead = clock.now() - (published.get(kid) ?? clock.now())
        assert.ok(kid === first || ahead >= 5 * 300_000, `published ${ahead} ms ahead`)
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
