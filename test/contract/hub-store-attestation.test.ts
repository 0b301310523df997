// What every HubStore must do for machines with a TPM, and for the PCR policy. Run against each implementation.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { createSqliteStore, openSqliteStore } from '#hub/store/sqlite.ts'
import type { HubStore, QuoteStep, Redemption, TpmClock } from '#hub/store/store.ts'

const IMPLEMENTATIONS = [
  {
    name: 'SQLite',
    create: (dir: string): void => createSqliteStore(join(dir, 'hub.db')),
    open: (dir: string): HubStore => openSqliteStore(join(dir, 'hub.db')),
  },
]

const NOW = 1_000_000
const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.padEnd(32, '.')))
const tpm = { ek: 'e1'.repeat(32), root: 'a1'.repeat(32), ak: bytes('ak-1'), maker: 'a maker' }
const log = { origin: 'td/log/node/n1/e1', vkey: 'vkey-1' }
const clock = (change: Partial<TpmClock> = {}): TpmClock => ({
  resets: 7,
  restarts: 1,
  clock: 5000,
  safe: true,
  firmware: '0'.repeat(16),
  ...change,
})
const step = (after: TpmClock, before?: TpmClock): QuoteStep => ({
  quote: { at: NOW, bank: 'sha256', pcrs: { 7: 'f'.repeat(64) }, clock: after },
  before,
})

const attestation = {
  at: NOW,
  how: 'tpm',
  lvl: 2,
  svidKey: 'soft',
  evidence: `sha-256:${'A'.repeat(43)}`,
  policy: { version: 3, set: 'a', digest: `sha-256:${'B'.repeat(43)}` },
  svid: { serial: '01ab', x5t: 'C'.repeat(43), notBefore: NOW, notAfter: NOW + 1 },
  rows: { attested: 1, issued: 2 },
} as const

for (const implementation of IMPLEMENTATIONS) {
  describe(`HubStore in ${implementation.name}, of machines with a TPM`, () => {
    let dir: string
    let store: HubStore
    let tokens: number
    beforeEach(() => {
      dir = mkdtempSync(join(tmpdir(), 'zt-store-'))
      implementation.create(dir)
      store = implementation.open(dir)
      tokens = 0
    })
    afterEach(async () => {
      await store.close()
      rmSync(dir, { recursive: true })
    })
    const reopen = async (): Promise<void> => {
      await store.close()
      store = implementation.open(dir)
    }
    const tokenFor = async (node: string, change: object = {}): Promise<Uint8Array> => {
      tokens += 1
      const hash = bytes(`token-${tokens}`)
      const token = {
        hash,
        node,
        replace: false,
        createdBy: 'spiffe://td/operator/a',
        expires: NOW + 600_000,
      }
      await store.joinTokens.add({ ...token, ...change })
      return hash
    }
    const redeem = async (change: Partial<Redemption> & { hash: Uint8Array }): Promise<string> => {
      const redemption = { node: 'n1', device: tpm.ak, log, tpm, now: NOW, ...change }
      const outcome = await store.joinTokens.redeem(redemption)
      return outcome.kind === 'refused' ? outcome.reason : outcome.kind
    }
    const withoutTpm = async (change: Partial<Redemption> & { hash: Uint8Array }): Promise<string> => {
      const redemption = { node: 'n1', device: bytes('device'), log, now: NOW, ...change }
      const outcome = await store.joinTokens.redeem(redemption)
      return outcome.kind === 'refused' ? outcome.reason : outcome.kind
    }
    const attest = (quote: QuoteStep): Promise<unknown> =>
      store.nodes.attest({ name: 'n1', lvl: 2, boot: 'b', log, quote, now: NOW })
    const join1 = async (): Promise<void> => {
      assert.equal(await redeem({ hash: await tokenFor('n1') }), 'joined')
    }

    it('EK, AK and name are bound with the token, at level 2 from the start', async () => {
      await join1()
      await reopen()
      const node = await store.nodes.find('n1')
      assert.deepEqual([node?.lvl, node?.tpm?.ek, node?.tpm?.ak], [2, tpm.ek, tpm.ak])
      assert.deepEqual([node?.tpm?.quote, node?.tpm?.drifted], [undefined, undefined])
    })

    it('one of 20 names that one TPM joins under at once gets it', async () => {
      const names = Array.from({ length: 20 }, (_, i) => `n${i}`)
      const hashes = await Promise.all(names.map((name) => tokenFor(name)))
      const outcomes = await Promise.all(
        names.map((node, i) =>
          redeem({
            node,
            hash: hashes[i] ?? bytes(''),
            log: { origin: `td/log/node/${node}/e1`, vkey: 'v' },
          }),
        ),
      )
      assert.equal(outcomes.filter((outcome) => outcome === 'joined').length, 1)
      assert.equal(outcomes.filter((outcome) => outcome === 'tpm-taken').length, 19)
    })

    it('a token that demands a TPM is kept from a machine without one, and is not spent by it', async () => {
      const hash = await tokenFor('n1', { requiresTpm: true })
      assert.equal(await withoutTpm({ hash }), 'needs-tpm')
      assert.equal(await redeem({ hash }), 'joined')
    })

    it('a name that a TPM stands for takes nothing less, replaced, or revoked and allowed', async () => {
      await join1()
      const next = { origin: 'td/log/node/n1/e2', vkey: 'v' }
      const hash = await tokenFor('n1', { replace: true })
      assert.equal(await withoutTpm({ hash, log: next }), 'needs-tpm')
      await store.nodes.revoke('n1', NOW)
      await store.nodes.allow('n1')
      assert.equal(await withoutTpm({ hash, log: next }), 'needs-tpm')
      assert.equal(await redeem({ hash, log: next, tpm: { ...tpm, ek: 'e2'.repeat(32) } }), 'joined')
    })

    it('a TPM is bound while its name is revoked, and free when the name is allowed', async () => {
      await join1()
      const log2 = { origin: 'td/log/node/n2/e1', vkey: 'v' }
      const hash = await tokenFor('n2')
      await store.nodes.revoke('n1', NOW)
      assert.equal(await redeem({ hash, node: 'n2', log: log2 }), 'tpm-taken')
      await store.nodes.allow('n1')
      assert.equal((await store.nodes.find('n1'))?.tpm, undefined)
      assert.equal(await redeem({ hash, node: 'n2', log: log2 }), 'joined')
    })

    it('another key of the same TPM needs a token that replaces', async () => {
      await join1()
      const other = { device: bytes('ak-2'), tpm: { ...tpm, ak: bytes('ak-2') } }
      const next = { ...other, log: { origin: 'td/log/node/n1/e2', vkey: 'v' } }
      assert.equal(await redeem({ ...next, hash: await tokenFor('n1') }), 'taken')
      assert.equal(await redeem({ ...next, hash: await tokenFor('n1', { replace: true }) }), 'joined')
      assert.deepEqual((await store.nodes.find('n1'))?.tpm?.ak, bytes('ak-2'))
    })

    it('one attestation key stands for one name, whichever EK of its TPM it is shown with', async () => {
      await join1()
      const second = { ...tpm, ek: 'e2'.repeat(32) }
      const log2 = { origin: 'td/log/node/n2/e1', vkey: 'v' }
      assert.equal(
        await redeem({ hash: await tokenFor('n2'), node: 'n2', log: log2, tpm: second }),
        'tpm-taken',
      )
    })

    it('a machine that joins again is the one that joined only with the same EK', async () => {
      const [first, next] = [await tokenFor('n1'), await tokenFor('n1')]
      assert.equal(await redeem({ hash: first }), 'joined')
      const second = { ...tpm, ek: 'e2'.repeat(32) }
      assert.equal(await redeem({ hash: first }), 'repeated')
      assert.equal(await redeem({ hash: first, tpm: second }), 'spent')
      assert.equal(await redeem({ hash: next }), 'expired')
      assert.equal(await redeem({ hash: await tokenFor('n1'), tpm: second }), 'taken')
    })

    it('a machine that joins again keeps its quote, and stands on the root that vouches for it now', async () => {
      await join1()
      await attest(step(clock()))
      const root = 'a2'.repeat(32)
      assert.equal(await redeem({ hash: await tokenFor('n1'), tpm: { ...tpm, root } }), 'joined')
      const held = (await store.nodes.find('n1'))?.tpm
      assert.deepEqual([held?.root, held?.quote], [root, step(clock()).quote])
    })

    it('a quote is kept, and the next one is judged against it', async () => {
      await join1()
      await attest(step(clock()))
      await reopen()
      assert.deepEqual((await store.nodes.find('n1'))?.tpm?.quote, step(clock()).quote)
      await attest(step(clock({ clock: 6000 }), clock()))
    })

    it('of two quotes that were judged at once one is kept', async () => {
      await join1()
      await attest(step(clock()))
      const tries = [6000, 7000].map((at) => attest(step(clock({ clock: at }), clock())))
      const outcomes = await Promise.allSettled(tries)
      assert.deepEqual(
        outcomes.map(({ status }) => status),
        ['fulfilled', 'rejected'],
      )
      await assert.rejects(attest(step(clock({ clock: 9000 }))), { code: 'ZT-401-NONCE' })
      assert.equal((await store.nodes.find('n1'))?.tpm?.quote?.clock.clock, 6000)
    })

    it('drift begins once, keeps what was quoted and the newest row of it, and ends with a quote that is accepted', async () => {
      await join1()
      await attest(step(clock()))
      await store.nodes.recordDrift('n1', step(clock({ clock: 6000 }), clock()), 41)
      const later = step(clock({ clock: 7000 }), clock({ clock: 6000 }))
      await store.nodes.recordDrift('n1', { ...later, quote: { ...later.quote, at: NOW + 1 } }, 42)
      const drifted = (await store.nodes.find('n1'))?.tpm
      assert.deepEqual([drifted?.drifted, drifted?.quote?.clock.clock], [{ at: NOW, row: 42 }, 7000])
      await attest(step(clock({ clock: 8000 }), clock({ clock: 7000 })))
      assert.equal((await store.nodes.find('n1'))?.tpm?.drifted, undefined)
    })

    it('the newest attestation of a node can be read again', async () => {
      assert.equal(await store.nodes.attestation('n1'), undefined)
      await join1()
      const machine = { name: 'n1', device: tpm.ak }
      await store.nodes.recordAttestation(machine, { ...attestation, lvl: 1 })
      await store.nodes.recordAttestation(machine, attestation)
      // Of a machine that has lost the name meanwhile, or never had it.
      await store.nodes.recordAttestation({ name: 'n1', device: bytes('ak-2') }, { ...attestation, lvl: 1 })
      await store.nodes.recordAttestation({ name: 'n2', device: tpm.ak }, attestation)
      assert.equal(await store.nodes.attestation('n2'), undefined)
      await reopen()
      assert.deepEqual(await store.nodes.attestation('n1'), attestation)
      assert.equal((await store.nodes.find('n1'))?.svidKey, attestation.svidKey)
    })

    it('where the key of a node’s SVID is, is what its newest attestation says, and in memory before that', async () => {
      await join1()
      assert.equal((await store.nodes.find('n1'))?.svidKey, 'soft')
      const machine = { name: 'n1', device: tpm.ak }
      for (const svidKey of ['tpm', 'soft', 'tpm'] as const) {
        await store.nodes.recordAttestation(machine, { ...attestation, svidKey })
        assert.equal((await store.nodes.find('n1'))?.svidKey, svidKey)
      }
    })

    it('a PCR policy takes the place of an older one, and never of a newer', async () => {
      const policy = (version: number): Parameters<HubStore['pcrPolicies']['apply']>[0] => ({
        version,
        digest: `digest-${version}`,
        note: `note-${version}`,
        appliedAt: NOW,
        appliedBy: 'spiffe://td/operator/a',
      })
      assert.equal(await store.pcrPolicies.current(), undefined)
      assert.equal(await store.pcrPolicies.apply(policy(3)), true)
      for (const version of [1, 2, 3]) assert.equal(await store.pcrPolicies.apply(policy(version)), false)
      const many = await Promise.all([store.pcrPolicies.apply(policy(5)), store.pcrPolicies.apply(policy(5))])
      assert.deepEqual(many, [true, false])
      await reopen()
      assert.deepEqual(await store.pcrPolicies.current(), policy(5))
    })
  })
}
