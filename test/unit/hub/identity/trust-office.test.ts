// What operators may have the hub do with bundles, ladders and ceremonies: nothing that policy does not say, and nothing
// without its row.
import assert from 'node:assert/strict'
import { before, beforeEach, describe, it } from 'node:test'
import { deflateRawSync } from 'node:zlib'
import { Policy } from '#hub/authority/policy.ts'
import type { Rungs } from '#hub/identity/rungs.ts'
import type { Trust } from '#hub/identity/trust.ts'
import { TrustOffice } from '#hub/identity/trust-office.ts'
import type { Asking } from '#hub/registry/registry.ts'
import { parsePolicySet } from '#shared/policy/policy-set.ts'
import { DEFAULT_POLICY, POLICY_SCHEMA } from '#shared/policy/schema.ts'
import { deflateLadder, inflateLadder, MAX_LADDER_BYTES } from '#shared/protocol/ladder-transfer.ts'
import { openRootUsage } from '#shared/protocol/root-usage.ts'
import { rootFingerprint } from '#shared/x509/bundle.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { RowLog } from '#test/fakes/row-log.ts'
import { makeRotation, type Rotation } from '#test/support/rotation.ts'

const NOW = Date.UTC(2026, 10, 22, 12)
const HEX = 'a'.repeat(64)
const ANCHOR = {
  type: 'ladder',
  previous: 'A'.repeat(43),
  ceremony: HEX,
  head: 'B'.repeat(42) + 'A',
  sha256: HEX,
}

describe('the office for bundles and ladders', () => {
  let rotation: Rotation
  let rows: RowLog
  let done: string[]
  let counted: { root: string; live: number }[]
  let since: [string, number][]
  /** of anchored ceremonies, by the one before */
  let heads: Map<string, string>
  before(async () => {
    rotation = await makeRotation(NOW)
  })
  beforeEach(() => {
    rows = new RowLog()
    done = []
    counted = []
    since = []
    heads = new Map()
  })

  function office(roles: readonly string[]): TrustOffice {
    const clock = new ManualClock(NOW)
    const identity = rotation.pki.identity('/hub/h1', NOW)
    const set = parsePolicySet(DEFAULT_POLICY, POLICY_SCHEMA)
    const trust: Partial<Trust> = {
      validator: new SvidValidator(rotation.bundles[1]),
      signer: rotation.old,
      history: [],
      trustedSince: (root) => new Map(since).get(root),
      import: async () => assert.fail('imported'),
    }
    const rungs: Partial<Rungs> = {
      request: async () => {
        done.push('request')
        return { content: Buffer.from('{}'), sha256: 'a'.repeat(64) }
      },
      import: async () => assert.fail('imported'),
    }
    return new TrustOffice({
      trust: trust as Trust,
      rungs: rungs as Rungs,
      svids: { count: async () => counted },
      ceremonies: {
        after: async (previous) => heads.get(previous),
        add: async ({ previous, head }) => {
          if (!heads.has(previous)) heads.set(previous, head)
          return heads.get(previous) === head
        },
      },
      policy: new Policy({ hubId: identity.id, clock, ver: 1, set, rolesOf: () => roles }),
      rows,
      clock,
      identity: () => identity,
      changed: async () => void done.push('changed'),
    })
  }
  function asking(): Asking {
    const svid = new SvidValidator(rotation.bundles[0])
    const { chain } = rotation.pki.identity('/operator/eve', NOW)
    return { caller: svid.validate(chain, NOW), request: {} }
  }

  const ops: Record<string, (to: TrustOffice) => Promise<unknown>> = {
    'bundle.show': (to) => to.showBundle(asking()),
    'bundle.import': (to) => to.importBundle({ bundle: rotation.texts[1] }, asking()),
    'ladder.status': (to) => to.ladder(asking()),
    'ladder.request': (to) => to.requestLadder({ rungs: 7, fresh: false }, asking()),
    'ladder.import': (to) => to.importLadder({ response: deflateLadder(Buffer.from('{}')) }, asking()),
    'ladder.usage': (to) => to.statement(asking()),
    'ceremony.anchor': (to) => to.anchorCeremony(ANCHOR, asking()),
  }
  for (const [op, ask] of Object.entries(ops))
    it(`refuses ${op} to who has no role, and does nothing`, async () => {
      await assert.rejects(ask(office([])), { code: 'ZT-403-POLICY' })
      assert.deepEqual([rows.rows, done], [[], []])
    })

  it('hands out no request, and anchors nothing, that its log could not write down', async () => {
    rows.full = true
    const to = office(['operator'])
    for (const op of ['ladder.request', 'ladder.usage', 'ceremony.anchor'])
      await assert.rejects(ops[op]?.(to) ?? Promise.resolve(), { code: 'ZT-503-AUDIT' }, op)
  })

  it('anchors what the ceremony says of itself, and the same one again', async () => {
    const to = office(['operator'])
    for (const anchor of [ANCHOR, ANCHOR, { ...ANCHOR, previous: null }])
      await to.anchorCeremony(anchor, asking())
    assert.deepEqual(
      rows.rows.map(({ obj }) => obj),
      [ANCHOR, ANCHOR, { ...ANCHOR, previous: null }],
    )
  })

  for (const previous of [ANCHOR.previous, null])
    it(`refuses a second ceremony after ${previous === null ? 'nothing' : 'the same one'}, and says which is known`, async () => {
      const to = office(['operator'])
      await to.anchorCeremony({ ...ANCHOR, previous }, asking())
      const other = { ...ANCHOR, previous, head: 'C'.repeat(42) + 'A' }
      await assert.rejects(to.anchorCeremony(other, asking()), {
        code: 'ZT-409-CEREMONY',
        details: { head: ANCHOR.head },
      })
      assert.equal(rows.rows.length, 1)
    })

  it('counts every trusted root, also one that nothing chains to, and others that something does', async () => {
    counted = [
      { root: rotation.old, live: 3 },
      { root: 'c'.repeat(64), live: 1 },
    ]
    const { result } = await office(['operator']).statement(asking())
    const trust = new SvidValidator(rotation.bundles[1])
    const { roots } = openRootUsage(result.statement, { trust, now: NOW, maxAgeMs: 1000 })
    assert.deepEqual(roots, [
      { fingerprint: rotation.old, live: 3 },
      { fingerprint: rotation.next, live: 0 },
      { fingerprint: 'c'.repeat(64), live: 1 },
    ])
    assert.equal(rootFingerprint(rotation.newRoot.certificate), rotation.next)
  })

  it('says since when each trusted root is trusted here, never earlier than it is', async () => {
    counted = [{ root: 'c'.repeat(64), live: 1 }]
    since = [
      [rotation.old, NOW - 60_000],
      [rotation.next, NOW - 2999],
    ]
    const { result } = await office(['operator']).statement(asking())
    const trust = new SvidValidator(rotation.bundles[1])
    const { roots, iat } = openRootUsage(result.statement, { trust, now: NOW, maxAgeMs: 1000 })
    assert.deepEqual(
      roots.map((root) => root.since),
      [iat - 60, iat - 2, undefined],
    )
    assert.deepEqual(result.roots, roots)
  })

  it('counts an SVID whose root nobody wrote down under every root: it may be any', async () => {
    counted = [
      { root: '', live: 2 },
      { root: rotation.old, live: 3 },
    ]
    const { result } = await office(['operator']).statement(asking())
    assert.deepEqual(
      result.roots.map(({ live }) => live),
      [5, 2],
    )
  })
})

describe('a ladder on its way to the hub', () => {
  it('comes out as it went in', () => {
    const content = Buffer.from(JSON.stringify({ rungs: 'x'.repeat(60_000) }))
    assert.deepEqual(Buffer.from(inflateLadder(deflateLadder(content))), content)
  })

  it('is refused where it becomes too much, or is something else', () => {
    assert.throws(() => deflateLadder(Buffer.alloc(MAX_LADDER_BYTES + 1)), { code: 'ZT-413-SIZE' })
    const bomb = deflateBomb()
    assert.throws(() => inflateLadder(bomb), { code: 'ZT-413-SIZE' })
    for (const text of ['AAAA', Buffer.from('not deflated').toString('base64url')])
      assert.throws(() => inflateLadder(text), { code: 'ZT-400-MALFORMED' })
  })
})

/** A few bytes that would become a hundred megabytes. */
function deflateBomb(): string {
  return deflateRawSync(Buffer.alloc(100 * 1024 * 1024)).toString('base64url')
}
