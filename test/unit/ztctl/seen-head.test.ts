// What a user has seen of a hub's log only ever grows, however many ztctl verify at once.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { readSeenHead, rememberHead, type TimedPlace } from '#ops/ztctl/audit/seen-head.ts'
import { checkContext } from '#ops/ztctl/client/contexts.ts'
import { currentUid } from '#ops/ztctl/client/user.ts'
import { systemClock } from '#shared/host/clock.ts'
import { newSigner } from '#test/support/log-fixture.ts'

const context = checkContext(
  {
    name: 'mesh',
    hub: 'https://127.0.0.1:7443',
    hubId: 'spiffe://mesh.example/hub/h1',
    root: 'ab'.repeat(32),
  },
  'test',
)
const identity = { origin: 'mesh.example/log/hub/h1/e1', vkey: newSigner('mesh.example/log/hub/h1/e1').vkey }

function placeOf(t: TestContext): TimedPlace {
  const folder = mkdtempSync(join(tmpdir(), 'seen-head-'))
  t.after(() => rmSync(folder, { recursive: true }))
  return { env: { ZTMESH_CONFIG_DIR: folder }, uid: currentUid(), clock: systemClock }
}

const seen = (size: number, fill = size): Parameters<typeof rememberHead>[0] => ({
  identity,
  head: { size, root: Buffer.alloc(32, fill) },
})

describe('the head that a user has seen', () => {
  it('moves on to a larger one', async (t) => {
    const place = placeOf(t)
    await rememberHead(seen(3), context, place)
    await rememberHead(seen(7), context, place)
    assert.equal(readSeenHead(context, place)?.head.size, 7)
  })

  it('is not taken back by somebody who verified an older one and was slower', async (t) => {
    const place = placeOf(t)
    await rememberHead(seen(7), context, place)
    await rememberHead(seen(3), context, place)
    assert.equal(readSeenHead(context, place)?.head.size, 7)
  })

  it('is the largest of many that are remembered at once', async (t) => {
    const place = placeOf(t)
    const sizes = [4, 9, 2, 8, 1, 6]
    await Promise.all(sizes.map((size) => rememberHead(seen(size), context, place)))
    assert.equal(readSeenHead(context, place)?.head.size, 9)
  })

  it('of one size is one head: another is a fork, and does not take its place', async (t) => {
    const place = placeOf(t)
    await rememberHead(seen(5, 1), context, place)
    await assert.rejects(rememberHead(seen(5, 2), context, place), { code: 'ZT-490-FORK' })
    assert.equal(readSeenHead(context, place)?.head.root[0], 1)
  })

  it('is never replaced by that of another key', async (t) => {
    const place = placeOf(t)
    await rememberHead(seen(5), context, place)
    const other = { ...seen(9), identity: { ...identity, vkey: newSigner(identity.origin).vkey } }
    await assert.rejects(rememberHead(other, context, place), { code: 'ZT-490-SIGNATURE' })
    assert.equal(readSeenHead(context, place)?.identity.vkey, identity.vkey)
  })
})
