import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ZtError } from '#shared/errors/error.ts'
import { silentLogger } from '#shared/host/logger.ts'
import type { AnchorRequest, AnchorResponse } from '#shared/protocol/anchor.ts'
import { Anchorer } from '#node-agent/anchor/anchorer.ts'
import type { NodeLog } from '#node-agent/audit/node-log.ts'
import { TestHubLog } from '#test/support/hub-log.ts'
import { openTestLog, rowsOf, typesOf } from '#test/support/node-log.ts'

const WORK = { type: 'proc.started', out: 'info' } as const

async function setUp(test: Parameters<typeof openTestLog>[0]) {
  const opened = await openTestLog(test)
  const hub = await TestHubLog.open(test)
  const requests: AnchorRequest[] = []
  const link: { ask: (request: AnchorRequest) => Promise<AnchorResponse> } = {
    ask: (request) => hub.answer(request),
  }
  const make = (log: NodeLog = opened.log): Anchorer =>
    new Anchorer({
      log,
      hub: hub.hub,
      clock: opened.clock,
      logger: silentLogger,
      intervalMs: 5000,
      heartbeatMs: 30_000,
      maxAgeMs: 60_000,
      ask: (request) => {
        requests.push(request)
        return link.ask(request)
      },
    })
  /** Lets time pass tick by tick, and what each tick begins be finished. */
  const pass = async (seconds: number): Promise<void> => {
    for (let n = 0; n < seconds; n += 5) {
      opened.clock.advance(5000)
      for (let turn = 0; turn < 12; turn += 1) await new Promise((resolve) => setImmediate(resolve))
    }
  }
  return { ...opened, hub, requests, link, make, pass }
}

describe('anchoring', () => {
  it('puts our head into the hub’s log, and the hub’s head into ours', async (test) => {
    const { make, log, hub } = await setUp(test)
    const anchorer = make()
    await anchorer.anchor()
    const row = rowsOf(log).at(-1)
    assert.equal(row?.type, 'anchor.confirmed')
    assert.equal(row?.obj?.['size'], 1)
    const confirmed = row?.obj?.['hub'] as { size: number } | undefined
    assert.equal(confirmed?.size, hub.log.size)
    assert.equal(anchorer.ageMs, 0)
  })

  it('goes on from where the hub has confirmed, after a restart too', async (test) => {
    const { make, log, requests, reopen } = await setUp(test)
    await make().anchor()
    await log.append(WORK)
    await make(await reopen()).anchor()
    assert.deepEqual(
      requests.map(({ old, hub_old }) => [old, hub_old > 0]),
      [
        [0, false],
        [1, true],
      ],
    )
  })

  it('marks every later row with the hub’s head: it was written after that', async (test) => {
    const { make, log, hub } = await setUp(test)
    await make().anchor()
    const { size } = hub.log
    await log.append(WORK)
    assert.equal(rowsOf(log).at(-1)?.hubcp?.size, size)
  })

  it('does not anchor again because of the row that says that it anchored', async (test) => {
    const { make, requests, pass } = await setUp(test)
    const anchorer = make()
    await anchorer.anchor()
    anchorer.start()
    await pass(25)
    assert.equal(requests.length, 1)
    anchorer.stop()
  })

  it('anchors within 5 s when something was written', async (test) => {
    const { make, log, requests, pass } = await setUp(test)
    const anchorer = make()
    await anchorer.anchor()
    anchorer.start()
    await log.append(WORK)
    await pass(5)
    assert.equal(requests.length, 2)
    anchorer.stop()
  })

  it('writes a heartbeat when nothing happens for 30 s, and anchors that', async (test) => {
    const { make, log, requests, pass } = await setUp(test)
    const anchorer = make()
    await anchorer.anchor()
    anchorer.start()
    await pass(65)
    assert.equal(typesOf(log).filter((type) => type === 'heartbeat').length, 2)
    assert.equal(requests.length, 3)
    assert.ok(anchorer.ageMs < 60_000)
    anchorer.stop()
  })

  it('asks once for many who want it at once, and once more for what came meanwhile', async (test) => {
    const { make, requests } = await setUp(test)
    const anchorer = make()
    await Promise.all([anchorer.anchor(), anchorer.anchor(), anchorer.anchor()])
    assert.equal(requests.length, 2)
  })
})

describe('a hub that is away', () => {
  it('makes the anchor old, which is said once, and confirmed again when it is back', async (test) => {
    const { make, log, link, hub, pass } = await setUp(test)
    const anchorer = make()
    await anchorer.anchor()
    anchorer.start()
    link.ask = async () => {
      throw new ZtError('ZT-503-HUB', 'away')
    }
    await pass(120)
    assert.ok(anchorer.ageMs > 60_000)
    assert.equal(typesOf(log).filter((type) => type === 'anchor.stale').length, 1)
    anchorer.requireTrust()
    link.ask = (request) => hub.answer(request)
    await pass(5)
    assert.ok(anchorer.ageMs < 60_000)
    anchorer.stop()
  })

  it('never confirmed anything: the age is without end', async (test) => {
    const { make } = await setUp(test)
    assert.equal(make().ageMs, Number.POSITIVE_INFINITY)
  })

  it('whose answer was lost is met where it stands', async (test) => {
    const { make, log, link, hub, requests } = await setUp(test)
    const anchorer = make()
    await log.append(WORK)
    link.ask = (request) => {
      if (request.old === 2) return hub.answer(request)
      throw new ZtError('ZT-409-ANCHOR', 'another head is held', { details: { size: 2 } })
    }
    await anchorer.anchor()
    assert.deepEqual(
      requests.map(({ old }) => old),
      [0, 2],
    )
  })
})

describe('two logs that contradict each other', () => {
  const lies: Record<
    string,
    { ask: (hub: TestHubLog, request: AnchorRequest) => Promise<AnchorResponse>; code: string }
  > = {
    'a leaf that is not ours': {
      ask: (hub, request) => hub.answer(request, { size: 99 }),
      code: 'ZT-490-ANCHOR',
    },
    'a proof that does not hold': {
      ask: async (hub, request) => ({ ...(await hub.answer(request)), inclusion: [] }),
      code: 'ZT-490-PROOF',
    },
    'a head that says that we are shorter than we were': {
      ask: async () => {
        throw new ZtError('ZT-409-ANCHOR', 'another head is held', { details: { size: 1_000_000 } })
      },
      code: 'ZT-490-TRUNCATED',
    },
  }
  for (const [what, { ask, code }] of Object.entries(lies)) {
    it(`because of ${what}, are recorded, and nothing is trusted any more`, async (test) => {
      const { make, log, link, hub } = await setUp(test)
      const anchorer = make()
      await hub.log.append({ type: 'heartbeat', out: 'info' })
      link.ask = (request) => ask(hub, request)
      await assert.rejects(anchorer.anchor(), { code })
      assert.throws(() => anchorer.requireTrust(), { code })
      assert.equal(rowsOf(log).at(-1)?.type, 'anchor.rejected')
      assert.equal(rowsOf(log).at(-1)?.code, code)
      link.ask = (request) => hub.answer(request)
      await assert.rejects(anchorer.anchor(), { code })
    })
  }
  it('are still not trusted after a restart, whatever the hub says by then', async (test) => {
    const { make, link, hub, requests, reopen } = await setUp(test)
    link.ask = (request) => hub.answer(request, { size: 99 })
    await assert.rejects(make().anchor(), { code: 'ZT-490-ANCHOR' })
    link.ask = (request) => hub.answer(request)
    const log = await reopen()
    const again = make(log)
    assert.throws(() => again.requireTrust(), { code: 'ZT-490-ANCHOR', message: /leaf that the hub shows/ })
    await assert.rejects(again.anchor(), { code: 'ZT-490-ANCHOR' })
    assert.equal(requests.length, 1)
    assert.equal(typesOf(log).filter((type) => type === 'anchor.rejected').length, 1)
  })

  it('are no such thing when the hub was only away: a restart trusts as before', async (test) => {
    const { make, link, hub, reopen } = await setUp(test)
    link.ask = async () => {
      throw new ZtError('ZT-503-HUB', 'away')
    }
    await assert.rejects(make().anchor(), { code: 'ZT-503-HUB' })
    link.ask = (request) => hub.answer(request)
    const again = make(await reopen())
    again.requireTrust()
    await again.anchor()
  })
})
