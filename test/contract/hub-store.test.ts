// What every HubStore must do, whatever it stores in. Run against each implementation.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { createSqliteStore, openSqliteStore } from '#hub/store/sqlite.ts'
import type { HubStore, Redemption, RedemptionOutcome } from '#hub/store/store.ts'

interface Implementation {
  readonly name: string
  create(dir: string): void
  open(dir: string): HubStore
}

const IMPLEMENTATIONS: readonly Implementation[] = [
  {
    name: 'SQLite',
    create: (dir) => createSqliteStore(join(dir, 'hub.db')),
    open: (dir) => openSqliteStore(join(dir, 'hub.db')),
  },
]

const NOW = 1_000_000
const bytes = (text: string): Uint8Array => Buffer.from(text.padEnd(32, '.'))
const token = (change: object = {}): Parameters<HubStore['joinTokens']['add']>[0] => ({
  hash: bytes('t1'),
  node: 'n1',
  replace: false,
  createdBy: 'spiffe://td/operator/alice',
  expires: NOW + 600_000,
  ...change,
})
const redemption = (change: Partial<Redemption> = {}): Redemption => ({
  hash: bytes('t1'),
  node: 'n1',
  device: bytes('device-1'),
  log: { origin: 'td/log/node/n1/e1', vkey: 'vkey-1' },
  now: NOW,
  ...change,
})
const second = {
  hash: bytes('t2'),
  device: bytes('device-2'),
  log: { origin: 'td/log/node/n1/e2', vkey: 'vkey-2' },
}
const reasonOf = (outcome: RedemptionOutcome): string =>
  outcome.kind === 'refused' ? outcome.reason : outcome.kind
const attestation = {
  name: 'n1',
  lvl: 1,
  boot: 'boot-a',
  log: { origin: 'td/log/node/n1/e1', vkey: 'vkey-1' },
  now: NOW,
}
const head = (size: number): { size: number; root: string; note: string; at: number } => ({
  size,
  root: `root-${size}`,
  note: `note-${size}`,
  at: NOW,
})

for (const implementation of IMPLEMENTATIONS) {
  describe(`HubStore in ${implementation.name}`, () => {
    let dir: string
    let store: HubStore
    beforeEach(() => {
      dir = mkdtempSync(join(tmpdir(), 'zt-store-'))
      implementation.create(dir)
      store = implementation.open(dir)
    })
    afterEach(async () => {
      await store.close()
      rmSync(dir, { recursive: true })
    })
    const reopen = async (): Promise<void> => {
      await store.close()
      store = implementation.open(dir)
    }
    const redeem = async (change: Partial<Redemption> = {}): Promise<string> =>
      reasonOf(await store.joinTokens.redeem(redemption(change)))
    const join1 = async (): Promise<void> => {
      await store.joinTokens.add(token())
      assert.equal(await redeem(), 'joined')
    }

    describe('join tokens', () => {
      it('a join token registers the device that redeems it', async () => {
        await join1()
        assert.deepEqual((await store.nodes.find('n1'))?.device, new Uint8Array(bytes('device-1')))
      })

      it('a join token cannot be used by a second device', async () => {
        await join1()
        assert.equal(await redeem({ device: bytes('device-2') }), 'spent')
      })

      it('one of 50 devices that redeem one token at once wins', async () => {
        await store.joinTokens.add(token())
        const tries = Array.from({ length: 50 }, (_, i) => redeem({ device: bytes(`device-${i}`) }))
        const outcomes = await Promise.all(tries)
        assert.equal(outcomes.filter((outcome) => outcome === 'joined').length, 1)
        assert.equal(outcomes.filter((outcome) => outcome === 'spent').length, 49)
      })

      it('the winning device may repeat within the life of the token, also after a restart', async () => {
        await join1()
        await reopen()
        assert.equal(await redeem(), 'repeated')
      })

      it('a repeat after the life of the token is refused', async () => {
        await join1()
        assert.equal(await redeem({ now: NOW + 600_000 }), 'expired')
      })

      const refusals: Record<string, { change: Partial<Redemption>; reason: string }> = {
        'a token that nobody made': { change: { hash: bytes('t2') }, reason: 'unknown' },
        'a token for another node': { change: { node: 'n2' }, reason: 'unknown' },
        'a token at the end of its life': { change: { now: NOW + 600_000 }, reason: 'expired' },
      }
      for (const [what, { change, reason }] of Object.entries(refusals))
        it(`${what} is refused and registers nothing`, async () => {
          await store.joinTokens.add(token())
          assert.equal(await redeem(change), reason)
          assert.deepEqual(await store.nodes.list(), [])
        })

      it('a second token does not take a registered name from its device', async () => {
        await join1()
        await store.joinTokens.add(token({ hash: bytes('t2') }))
        assert.equal(await redeem({ hash: bytes('t2'), device: bytes('device-2') }), 'taken')
        assert.deepEqual((await store.nodes.find('n1'))?.device, new Uint8Array(bytes('device-1')))
      })

      it('a token that replaces gives the name to the new device, and the old one cannot repeat', async () => {
        await join1()
        await store.nodes.attest(attestation)
        await store.nodes.anchor('n1', 0, head(4))
        await store.joinTokens.add(token({ hash: bytes('t2'), replace: true }))
        assert.equal(await redeem(second), 'joined')
        assert.equal(await redeem(), 'spent')
        const node = await store.nodes.find('n1')
        assert.deepEqual([node?.anchor, node?.log, node?.boot], [undefined, second.log, ''])
      })

      it('fence goes on counting when a name gets a new device', async () => {
        await join1()
        await store.nodes.attest(attestation)
        await store.joinTokens.add(token({ hash: bytes('t2'), replace: true }))
        await redeem(second)
        assert.equal((await store.nodes.attest({ ...attestation, log: second.log })).fence, 2)
      })

      it('a revoked name cannot be joined, not even with a token that replaces', async () => {
        await join1()
        await store.nodes.revoke('n1', NOW)
        await store.joinTokens.add(token({ hash: bytes('t2'), replace: true }))
        assert.equal(await redeem({ hash: bytes('t2'), device: bytes('device-2') }), 'revoked')
      })

      it('the unspent tokens of one maker can be made void, and no others', async () => {
        await join1()
        await store.joinTokens.add(token({ hash: bytes('t2'), node: 'n2' }))
        await store.joinTokens.add(
          token({ hash: bytes('t3'), node: 'n3', createdBy: 'spiffe://td/operator/bob' }),
        )
        await store.voidJoinTokens('spiffe://td/operator/alice')
        assert.equal(await redeem({ hash: bytes('t2'), node: 'n2' }), 'unknown')
        assert.equal(await redeem(), 'repeated')
        assert.equal(await redeem({ hash: bytes('t3'), node: 'n3', log: second.log }), 'joined')
      })

      it('an allowed name joins again with a new token only', async () => {
        await join1()
        await store.nodes.revoke('n1', NOW)
        await store.nodes.allow('n1')
        assert.equal(await redeem(), 'spent')
        await store.joinTokens.add(token({ hash: bytes('t2') }))
        assert.equal(await redeem(second), 'joined')
      })
    })

    describe('nodes', () => {
      it('fence grows with every new boot and with nothing else', async () => {
        await join1()
        const fences: number[] = []
        for (const boot of ['a', 'a', 'b', 'a'])
          fences.push((await store.nodes.attest({ ...attestation, boot })).fence)
        assert.deepEqual(fences, [1, 1, 2, 3])
      })

      const unknown: Record<string, (store: HubStore) => Promise<unknown>> = {
        attest: (s) => s.nodes.attest({ ...attestation, name: 'nobody' }),
        touch: (s) => s.nodes.touch('nobody', NOW),
        revoke: (s) => s.nodes.revoke('nobody', NOW),
        allow: (s) => s.nodes.allow('nobody'),
      }
      for (const [verb, act] of Object.entries(unknown))
        it(`refuses to ${verb} a node that never joined`, () =>
          assert.rejects(act(store), { code: 'ZT-404-NODE' }))

      it('refuses to attest a name whose device key was forgotten', async () => {
        await join1()
        await store.nodes.allow('n1')
        await assert.rejects(store.nodes.attest(attestation), { code: 'ZT-404-NODE' })
      })

      const voice = { name: 'n1', id: 'spiffe://td/node/n1', thumbprint: 't' }
      const credential = { id: voice.id, natsKey: 'UA', thumbprint: 't', expires: NOW + 10 }

      it('a node speaks by what was issued to the machine that holds its name, until another one does', async () => {
        await join1()
        await store.credentials.add({ ...credential, device: bytes('device-1') })
        assert.equal(await store.nodes.speaks(voice), true)
        assert.equal(await store.nodes.recordEncKey(voice, 'key'), true)
        await store.joinTokens.add(token({ hash: bytes('t2'), replace: true }))
        await redeem(second)
        assert.equal(await store.nodes.speaks(voice), false)
        assert.equal(await store.nodes.recordEncKey(voice, 'key'), false)
        assert.equal((await store.nodes.find('n1'))?.encKey, undefined)
      })

      const voices: Record<string, object> = {
        'a node that never joined': { name: 'n2' },
        'another identity': { id: 'spiffe://td/node/n2' },
        'a certificate that was not issued': { thumbprint: 'u' },
      }
      for (const [what, change] of Object.entries(voices))
        it(`${what} does not speak for a node`, async () => {
          await join1()
          await store.credentials.add({ ...credential, device: bytes('device-1') })
          assert.equal(await store.nodes.speaks({ ...voice, ...change }), false)
          assert.equal(await store.nodes.recordEncKey({ ...voice, ...change }, 'key'), false)
        })

      it('a revoked node, and a name whose machine was forgotten, keep no key', async () => {
        await join1()
        await store.credentials.add({ ...credential, device: bytes('device-1') })
        await store.nodes.revoke('n1', NOW)
        assert.equal(await store.nodes.recordEncKey(voice, 'key'), false)
        await store.nodes.allow('n1')
        assert.equal(await store.nodes.speaks(voice), false)
      })

      it('a credential without a machine never speaks', async () => {
        await join1()
        await store.nodes.allow('n1')
        await store.credentials.add(credential)
        assert.equal(await store.nodes.speaks(voice), false)
      })

      it('moves the anchored head only from the head that the caller saw', async () => {
        await join1()
        assert.equal(await store.nodes.anchor('n1', 0, head(3)), true)
        assert.equal(await store.nodes.anchor('n1', 0, head(5)), false)
        assert.equal(await store.nodes.anchor('n1', 2, head(5)), false)
        assert.deepEqual((await store.nodes.find('n1'))?.anchor, head(3))
        assert.equal(await store.nodes.anchor('n1', 3, head(5)), true)
      })

      it('of many anchors from one head at once, one wins', async () => {
        await join1()
        const tries = Array.from({ length: 20 }, (_, i) => store.nodes.anchor('n1', 0, head(i + 1)))
        assert.equal((await Promise.all(tries)).filter(Boolean).length, 1)
      })

      it('distrust stays through restarts until the name is allowed again', async () => {
        await join1()
        await store.nodes.recordEquivocation({ node: 'n1', held: 'a', received: 'b', now: NOW })
        await reopen()
        assert.equal((await store.nodes.find('n1'))?.distrustedAt, NOW)
        await store.nodes.allow('n1')
        assert.equal((await store.nodes.find('n1'))?.distrustedAt, undefined)
      })
    })

    describe('what happens once', () => {
      const message = { iss: 'spiffe://td/node/n1', nonce: 'n', jti: 'j', until: NOW + 60_000 }

      it('a message is new once, also after a restart', async () => {
        assert.equal(await store.messages.remember(message), true)
        await reopen()
        assert.equal(await store.messages.remember(message), false)
      })

      const replays: Record<string, object> = {
        'the same nonce under a new jti': { jti: 'j2' },
        'the same jti under a new nonce': { nonce: 'n2' },
        'the same jti from another issuer': { iss: 'spiffe://td/node/n2' },
      }
      for (const [what, change] of Object.entries(replays))
        it(`${what} is a replay`, async () => {
          await store.messages.remember(message)
          assert.equal(await store.messages.remember({ ...message, ...change }), false)
        })

      it('one of 50 copies of a message at once is new', async () => {
        const outcomes = await Promise.all(Array.from({ length: 50 }, () => store.messages.remember(message)))
        assert.equal(outcomes.filter(Boolean).length, 1)
      })

      it('pruning forgets a message only when its time alone would refuse it', async () => {
        await store.messages.remember(message)
        await store.prune(message.until - 1)
        assert.equal(await store.messages.remember(message), false)
        await store.prune(message.until)
        assert.equal(await store.messages.remember(message), true)
      })

      it('an identifier is claimed once, 50 at once, and after a restart', async () => {
        const claim = { identifier: 'spawn:p-1', by: 'x', now: NOW }
        const outcomes = await Promise.all(Array.from({ length: 50 }, () => store.identifiers.claim(claim)))
        assert.equal(outcomes.filter(Boolean).length, 1)
        await reopen()
        await store.prune(NOW + 60_000)
        assert.equal(await store.identifiers.claim(claim), false)
      })
    })

    describe('the deny list', () => {
      const entry = { kind: 'id', value: 'spiffe://td/node/n1', from: 1, reason: 'lost' } as const

      it('grows by one version with every change and survives a restart', async () => {
        assert.deepEqual(await store.denials.read(), { ver: 0, entries: [] })
        assert.equal(await store.denials.replace(0, { ver: 7, entries: [entry] }), true)
        await reopen()
        assert.deepEqual(await store.denials.read(), { ver: 7, entries: [entry] })
      })

      it('is not replaced by somebody who saw an older version', async () => {
        await store.denials.replace(0, { ver: 7, entries: [entry] })
        assert.equal(await store.denials.replace(0, { ver: 8, entries: [] }), false)
        assert.equal(await store.denials.replace(7, { ver: 7, entries: [] }), false)
        assert.deepEqual((await store.denials.read()).entries, [entry])
      })
    })

    describe('credentials, keys and policies', () => {
      const credential = { id: 'spiffe://td/node/n1', natsKey: 'UA', thumbprint: 't', expires: NOW + 10 }

      it('lists the live credentials of one identity', async () => {
        await store.credentials.add(credential)
        await store.credentials.add({ ...credential, id: 'spiffe://td/node/n2', natsKey: 'UB' })
        assert.deepEqual(await store.credentials.live(credential.id, NOW), [credential])
        assert.deepEqual(await store.credentials.live(credential.id, NOW + 10), [])
      })

      it('finds a live credential by its certificate', async () => {
        await store.credentials.add(credential)
        await store.credentials.add({ ...credential, natsKey: 'UB', thumbprint: 'u' })
        assert.deepEqual(await store.credentials.ofCertificate('t', NOW), [credential])
        assert.deepEqual(await store.credentials.ofCertificate('t', NOW + 10), [])
        assert.deepEqual(await store.credentials.ofCertificate('v', NOW), [])
      })

      it('refuses a NATS key that belongs to another identity', async () => {
        await store.credentials.add(credential)
        await assert.rejects(store.credentials.add({ ...credential, id: 'spiffe://td/node/n2' }), {
          code: 'ZT-401-EVIDENCE',
        })
      })

      it('keeps sealed encryption keys, newest first, until they end', async () => {
        await store.encKeys.add({ kid: 'a', sealed: bytes('a'), notAfter: NOW + 1 })
        await store.encKeys.add({ kid: 'b', sealed: bytes('b'), notAfter: NOW + 2 })
        await reopen()
        assert.deepEqual(
          (await store.encKeys.list(NOW)).map((key) => key.kid),
          ['b', 'a'],
        )
        assert.deepEqual(
          (await store.encKeys.list(NOW + 1)).map((key) => key.kid),
          ['b'],
        )
      })

      it('gives a policy that comes back a new version', async () => {
        const versions: number[] = []
        for (const digest of ['a', 'a', 'b', 'a'])
          versions.push((await store.policyVersions.activate(digest)).ver)
        assert.deepEqual(versions, [1, 1, 2, 3])
      })
    })

    describe('writes at once', () => {
      it('one that fails does not take the others with it', async () => {
        await join1()
        const results = await Promise.allSettled([
          store.nodes.touch('n1', NOW + 1),
          store.nodes.touch('nobody', NOW + 2),
          store.nodes.anchor('n1', 0, head(3)),
        ])
        assert.deepEqual(
          results.map((result) => result.status),
          ['fulfilled', 'rejected', 'fulfilled'],
        )
        assert.equal((await store.nodes.find('n1'))?.anchor?.size, 3)
      })

      it('are all kept, also those that were not waited for when the store closes', async () => {
        const claims = Array.from({ length: 500 }, (_, i) =>
          store.identifiers.claim({ identifier: `p-${i}`, by: 'x', now: NOW }),
        )
        await reopen()
        assert.ok((await Promise.all(claims)).every(Boolean))
        assert.equal(await store.identifiers.claim({ identifier: 'p-499', by: 'x', now: NOW }), false)
      })

      it('are refused when the store is closed', async () => {
        const closed = store
        await reopen()
        await assert.rejects(closed.nodes.touch('n1', NOW), { code: 'ZT-503-STORE' })
      })
    })

    describe('its place', () => {
      it('is never created over an existing store', () => {
        assert.throws(() => implementation.create(dir), { code: 'ZT-409-EXISTS' })
      })

      it('is not opened by two hubs at once', () => {
        assert.throws(() => implementation.open(dir), { code: 'ZT-503-STORE' })
      })

      it('is not opened where there is none', () => {
        assert.throws(() => implementation.open(join(dir, 'elsewhere')), { code: 'ZT-503-STORE' })
      })
    })
  })
}

describe('HubStore in SQLite', () => {
  it('refuses a file that is not a store', () => {
    const dir = mkdtempSync(join(tmpdir(), 'zt-store-'))
    writeFileSync(join(dir, 'hub.db'), 'not a database')
    assert.throws(() => openSqliteStore(join(dir, 'hub.db')), { code: 'ZT-503-STORE' })
    rmSync(dir, { recursive: true })
  })
})
