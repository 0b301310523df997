// Attack: a workload asks for ever new audiences, so that the hub's log, from which nothing is ever taken out, grows with
// each; or many do, so that their node is told that it asks too much and its log is anchored no more.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseProcId } from '#shared/identity/names.ts'
import { TaskOffice } from '#test/support/task-office.ts'
import { encode } from '#test/support/workload-client.ts'
import { WorkloadFixture } from '#test/support/workload-fixture.ts'

const HOUR_S = 3600

describe('a task that asks without end', () => {
  it('is given little by the hub, whatever its node lets through, and no refusal is a row', async (t) => {
    const office = await TaskOffice.open(t)
    const asked = async (): Promise<number> => {
      const before = office.rows.rows.length
      for (let second = 0; second < HOUR_S; second += 10) {
        const answers = Array.from({ length: 20 }, (_, n) => office.jwt([`a-${second}-${n}`]))
        for (const answer of await Promise.allSettled(answers))
          if (answer.status === 'rejected') assert.equal(answer.reason.code, 'ZT-429-RATE')
        office.clock.advance(10_000)
      }
      return office.rows.rows.filter((row) => row.type !== 'flood.aggregated').length - before
    }
    const [first, second] = [await asked(), await asked()]
    assert.ok(first < 1100 && second < 1000, `${first} rows in an hour, ${second} in the next`)
  })

  it('takes nothing from another task of its node', async (t) => {
    const office = await TaskOffice.open(t)
    const other = { ...office.grant, proc: 'p-bbbbbbbbbbbbbbbbbbbb' }
    await office.store.tasks.add(other)
    await Promise.allSettled(Array.from({ length: 200 }, () => office.svid()))
    await assert.rejects(office.svid(), { code: 'ZT-429-RATE' })
    const asking = { caller: office.node, request: {} }
    await office.tasks.jwt({ proc: parseProcId(other.proc), audience: ['db'] }, asking)
  })

  it('loses nothing to a node that is not its own', async (t) => {
    const office = await TaskOffice.open(t)
    const asking = { caller: office.validated('/node/n2'), request: {} }
    const params = { proc: office.proc, audience: ['db'] }
    for (let n = 0; n < 300; n += 1)
      await assert.rejects(office.tasks.jwt(params, asking), { code: 'ZT-403-TASK' })
    await office.jwt()
  })
})

describe('tasks that ask their node without end', () => {
  it('ask its hub six times in half a minute each, and together what leaves their node enough', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const tasks = await Promise.all(Array.from({ length: 6 }, () => fixture.begin(t)))
    const askAll = async (round: number): Promise<number> => {
      const before = fixture.hub.asked.length
      const requests = Array.from({ length: 64 }, (_, n) =>
        encode('JWTSVIDRequest', { audience: [`a-${round}-${n}`] }),
      )
      const asking = tasks.map(async ({ client }) => {
        for (const request of requests) await client.unary('FetchJWTSVID', request).catch(() => undefined)
      })
      await Promise.all(asking)
      return fixture.hub.asked.length - before
    }
    assert.equal(await askAll(0), 250)
    fixture.clock.advance(30_000)
    const later = await askAll(1)
    assert.ok(later <= 36 + 6, `${later} questions`)
  })
})
