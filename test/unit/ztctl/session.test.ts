// A session comes back as it was saved, belongs to one mesh, and is renewed by one ztctl at a time.
import assert from 'node:assert/strict'
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { checkContext } from '#ops/ztctl/client/contexts.ts'
import { withLock } from '#ops/ztctl/client/lock.ts'
import { openSession } from '#ops/ztctl/client/open-session.ts'
import {
  eraseSession,
  loadSession,
  renewalTime,
  saveSession,
  type Session,
  type SessionPlace,
} from '#ops/ztctl/client/session.ts'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { systemClock } from '#shared/host/clock.ts'
import type { Identity } from '#shared/identity/identity.ts'
import { generateX25519 } from '#shared/jose/keys.ts'
import { signEncKey } from '#shared/protocol/enc-key.ts'
import { generateNkey } from '#shared/nats/nkeys.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { createTestAuthority, TEST_NOW } from '#test/support/test-authority.ts'

const DAY_MS = 86_400_000
const context = checkContext(
  { name: 'home', hub: 'https://127.0.0.1:1', hubId: 'spiffe://mesh.example/hub/h1', root: '00'.repeat(32) },
  'test',
)
let place: SessionPlace
let session: Session
let hub: Identity

beforeEach(async () => {
  place = { folder: mkdtempSync(join(tmpdir(), 'ztctl-session-')), uid: process.geteuid?.() ?? 0 }
  const authority = await createTestAuthority()
  const identity = await authority.identity('/operator/ann')
  hub = await authority.identity('/hub/h1')
  session = {
    identity,
    nats: generateNkey('user'),
    begun: TEST_NOW,
    credentials: {
      svid: identity.chain.map(encodeBase64url),
      nats_jwt: 'a.b.c',
      nats: { servers: ['tls://127.0.0.1:4222'], serverId: identity.id },
      bundle: 'a.b.c',
      hub_key: hubKey(TEST_NOW + DAY_MS),
      hub_log: { origin: 'mesh.example/log/hub/h1/e1', vkey: 'mesh.example/log/hub/h1/e1+00000000+AAAA' },
      expires: identity.notAfter,
    },
  }
})
afterEach(() => rmSync(place.folder, { recursive: true }))

/** What the hub says of its key, which ends with the hub's certificate. */
function hubKey(notAfter: number): string {
  return signEncKey({ ...hub, notAfter }, generateX25519().publicKey, TEST_NOW)
}

const file = (): string => join(place.folder, 'session-home.json')

describe('a session', () => {
  it('comes back with the same identity, key and credentials', () => {
    saveSession(session, context, place)
    const loaded = loadSession(context, place)
    assert.equal(loaded?.identity.id, session.identity.id)
    assert.equal(loaded.identity.thumbprint, session.identity.thumbprint)
    assert.deepEqual(
      loaded.identity.key.export({ format: 'jwk' }),
      session.identity.key.export({ format: 'jwk' }),
    )
    assert.equal(loaded.nats.publicKey, session.nats.publicKey)
    assert.deepEqual({ ...loaded.credentials }, session.credentials)
  })

  it('is gone after logging out', () => {
    saveSession(session, context, place)
    eraseSession(context, place)
    assert.equal(loadSession(context, place), undefined)
    assert.deepEqual(readdirSync(place.folder), [])
  })

  it('is due for renewal when 40 % of its life is left', () => {
    const { notBefore, notAfter } = session.identity
    assert.equal(renewalTime(session), notBefore + 0.6 * (notAfter - notBefore))
  })

  it('is due for renewal before the key of the hub that came with it ends', async () => {
    const end = TEST_NOW + (renewalTime(session) - TEST_NOW) / 2
    const soon = { ...session, credentials: { ...session.credentials, hub_key: hubKey(end) } }
    const due = renewalTime(soon)
    assert.ok(due < end && due >= end - 31_000)
    saveSession(soon, context, place)
    const opened = (now: number): Promise<Session> =>
      openSession({ context, place, clock: new ManualClock(now) })
    assert.equal((await opened(due - 1)).identity.id, session.identity.id)
    // Nobody listens there: that it asks at all is the point.
    await assert.rejects(opened(due), { code: 'ZT-503-HUB' })
  })

  it('that is not there is not made by using it', async () => {
    await assert.rejects(openSession({ context, place, clock: systemClock }), { code: 'ZT-401-SESSION' })
  })

  it('that is fresh is used without asking anybody', async () => {
    saveSession(session, context, place)
    const clock = new ManualClock(TEST_NOW)
    assert.equal((await openSession({ context, place, clock })).identity.id, session.identity.id)
  })

  const others = {
    'another hub': { hub: 'https://127.0.0.1:2' },
    'another root': { root: '11'.repeat(32) },
    'another hub id': { hubId: 'spiffe://mesh.example/hub/h2' },
  }
  for (const [what, change] of Object.entries(others)) {
    it(`of ${what} is refused`, () => {
      saveSession(session, context, place)
      const other = checkContext({ ...context, ...change }, 'test')
      assert.throws(() => loadSession(other, place), { code: 'ZT-401-SESSION' })
    })
  }

  const spoilt: Record<string, (text: string) => string> = {
    'that is cut': (text) => text.slice(0, 100),
    'with an unknown member': (text) => text.replace('{', '{"insecure":true,'),
    'with a member twice': (text) => text.replace('{', '{"v":1,'),
    'without a key': (text) => text.replace('"key"', '"kex"'),
  }
  for (const [what, spoil] of Object.entries(spoilt)) {
    it(`${what} is refused, and nothing of it is repeated`, () => {
      saveSession(session, context, place)
      const text = readFileSync(file(), 'utf8')
      writeFileSync(file(), spoil(text))
      assert.throws(() => loadSession(context, place), {
        code: 'ZT-401-SESSION',
        message: 'the session file is damaged',
      })
    })
  }

  it('that others can read is refused', () => {
    saveSession(session, context, place)
    chmodSync(file(), 0o644)
    assert.throws(() => loadSession(context, place), { code: 'ZT-401-SESSION', message: /lets others in/ })
  })
})

describe('the lock of a renewal', () => {
  const options = (patience: number): Parameters<typeof withLock>[0] => ({
    folder: place.folder,
    name: 'renew',
    clock: systemClock,
    patience,
  })

  it('lets one in at a time', async () => {
    let inside = 0
    let most = 0
    const work = async (): Promise<void> => {
      inside += 1
      most = Math.max(most, inside)
      await new Promise((resolve) => setImmediate(resolve))
      inside -= 1
    }
    // The timer of the clock keeps no process alive: the runner does.
    await Promise.all(Array.from({ length: 5 }, () => withLock(options(10_000), work)))
    assert.equal(most, 1)
  })

  it('is waited for only so long', async () => {
    await withLock(options(1_000), async () => {
      await assert.rejects(
        withLock(options(50), async () => undefined),
        { code: 'ZT-504-TIMEOUT' },
      )
    })
  })

  it('ends with the process that holds it, however that ends', async () => {
    const holder = fork(join(import.meta.dirname, 'testdata', 'hold-lock.ts'), [place.folder])
    await once(holder, 'message')
    await assert.rejects(
      withLock(options(50), async () => undefined),
      { code: 'ZT-504-TIMEOUT' },
    )
    await killed(holder)
    assert.equal(await withLock(options(5_000), async () => 'mine'), 'mine')
  })
})

async function killed(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit')
  child.kill('SIGKILL')
  await exit
}
