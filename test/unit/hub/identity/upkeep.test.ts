// What follows from a new bundle or ladder: who may not be connected any more is cut off, whatever else fails.
import assert from 'node:assert/strict'
import { before, beforeEach, describe, it } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import type { Rungs } from '#hub/identity/rungs.ts'
import type { Trust } from '#hub/identity/trust.ts'
import { TrustUpkeep } from '#hub/identity/upkeep.ts'
import { ZtError } from '#shared/errors/error.ts'
import { silentLogger } from '#shared/host/logger.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { RowLog } from '#test/fakes/row-log.ts'
import { eventually } from '#test/support/eventually.ts'
import { makeRotation, type Rotation } from '#test/support/rotation.ts'

const NOW = Date.UTC(2026, 10, 22, 12)
const REVOKED = 'A'.repeat(43)
const SECOND = 1000

describe('the upkeep of what hub and broker show', () => {
  let rotation: Rotation
  let clock: ManualClock
  let done: string[]
  let said: string[]
  /** what fails now */
  let failing: Set<'bundleFile' | 'rungs' | 'rows' | 'renewal' | 'broker'>
  /** how long an identity takes to be issued and put in use, milliseconds */
  let slowness: number
  let text: string
  let root: string | undefined
  let validator: SvidValidator
  before(async () => {
    rotation = await makeRotation(NOW)
  })
  beforeEach(() => {
    clock = new ManualClock(NOW)
    done = []
    said = []
    failing = new Set()
    slowness = 0
    text = rotation.texts[0]
    root = rotation.old
    validator = new SvidValidator(rotation.bundles[0])
  })

  const refuse = (what: Parameters<typeof failing.has>[0], code: 'ZT-401-BUNDLE' | 'ZT-503-LADDER'): void => {
    if (failing.has(what)) throw new ZtError(code, `${what} fails`)
  }
  function upkeep(): TrustUpkeep {
    const trust = {
      validator,
      get text() {
        return text
      },
      refresh: async () => {
        refuse('bundleFile', 'ZT-401-BUNDLE')
        return false
      },
    } satisfies Partial<Trust>
    const rungs = {
      refresh: async () => {
        refuse('rungs', 'ZT-503-LADDER')
        done.push('rungs')
      },
      tell: async () => {
        if (failing.has('rows')) throw new ZtError('ZT-503-AUDIT', 'the disk is full')
      },
      ahead: () => (root === undefined ? [] : [{ infra: { root } }]),
    } as unknown as Rungs
    const renewNow = async (): Promise<void> => {
      if (root === undefined) throw new ZtError('ZT-503-LADDER', 'no rung')
      refuse('renewal', 'ZT-503-LADDER')
      clock.advance(slowness)
      done.push('issued')
    }
    return new TrustUpkeep({
      trust: trust as unknown as Trust,
      rungs,
      identity: { renewNow },
      natsIdentity: { renewNow },
      svids: { natsKeysBelow: async (issuer) => [`key below ${issuer.slice(0, 1)}`] },
      revokeUsers: async (keys) => {
        refuse('broker', 'ZT-503-LADDER')
        done.push(`cut ${keys.join()}`)
      },
      rows: new RowLog(),
      clock,
      log: { ...silentLogger, warn: (what) => void said.push(what), error: (what) => void said.push(what) },
    })
  }
  const revoke = (rest: string | undefined): void => {
    text = `${rotation.texts[1]}`
    validator.replaceBundle({ ...rotation.bundles[1], revokedIntermediates: [REVOKED] })
    root = rest
  }
  const cuts = (): number => done.filter((what) => what.startsWith('cut')).length
  const cut = (): Promise<true> => eventually('the cut-off', () => (cuts() > 0 ? true : undefined))

  it('issues anew at once, and cuts off a second later', async () => {
    const kept = upkeep()
    revoke(rotation.old)
    await kept.changed()
    assert.deepEqual(done, ['rungs', 'issued', 'issued'])
    clock.advance(SECOND)
    await cut()
    await kept.refresh()
    assert.equal(cuts(), 1)
    assert.deepEqual(said, [])
  })

  it('leaves time for the answer also where issuing took long', async () => {
    const kept = upkeep()
    slowness = 3 * SECOND
    revoke(rotation.old)
    await kept.changed()
    clock.advance(SECOND - 1)
    await setImmediate()
    slowness = 0
    assert.equal(cuts(), 0)
    clock.advance(1)
    await cut()
  })

  it('cuts off when the revocation leaves no rung to issue under, once', async () => {
    const kept = upkeep()
    revoke(undefined)
    await kept.changed()
    assert.equal(cuts(), 0, 'who brought it hears the answer')
    clock.advance(SECOND)
    await cut()
    await assert.rejects(kept.refresh(), { code: 'ZT-503-LADDER' })
    assert.equal(cuts(), 1)
    root = rotation.old
    await kept.refresh()
    assert.equal(done.filter((what) => what === 'issued').length, 2)
  })

  for (const what of ['rungs', 'rows', 'renewal', 'bundleFile'] as const)
    it(`cuts off while "${what}" fails`, async () => {
      const kept = upkeep()
      revoke(rotation.old)
      failing.add(what)
      await kept.changed()
      clock.advance(SECOND)
      await cut()
    })

  it('issues under no rung that could not be read under the bundle in force', async () => {
    const kept = upkeep()
    revoke(rotation.old)
    failing.add('rungs')
    await assert.rejects(kept.refresh(), { message: 'rungs fails' })
    assert.deepEqual(done, [])
  })

  it('cuts off again after a start: the hub may have crashed before it had', async () => {
    revoke(rotation.old)
    const kept = upkeep()
    failing.add('broker')
    await assert.rejects(kept.refresh(), { message: 'broker fails' })
    failing.clear()
    await kept.refresh()
    assert.equal(cuts(), 1)
  })

  it('goes on with everything else when bundleFile has nothing that can be taken, and says so once', async () => {
    const kept = upkeep()
    failing.add('bundleFile')
    await kept.refresh()
    await kept.refresh()
    assert.deepEqual([done, said], [['rungs', 'rungs'], ['bundleFile is passed over']])
  })
})
