// An old ladder request comes again: after its slots have begun, after a later ladder, or after its keys were stolen.
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { climbed, DAY, requested } from '#test/support/ceremony-scene.ts'

const AGAIN = { response: 'again.json', transcript: 'again.transcript' }

it('a request of last week is not signed', async (t) => {
  const { table, request, clock } = await requested(t, 30)
  clock.advance(3 * DAY)
  await assert.rejects(table.run(await table.ladderFile(request)), { details: { check: 'check-horizon' } })
})

it('keys that were stolen and revoked are not signed again', async (t) => {
  const { table, request } = await climbed(t)
  await table.run(await table.revokeFile(['ladder.json']))
  await assert.rejects(table.run(await table.ladderFile(request, { outputs: AGAIN })), {
    details: { check: 'check-revoked' },
  })
})

it('a request that continues an older response is not signed as a continuation of the last one', async (t) => {
  const { table, store, clock } = await climbed(t)
  const second = await store.makeRequest({ count: 1, now: clock.now() })
  const outputs = { response: 'ladder-2.json', transcript: 'ladder-2.transcript' }
  await table.run(await table.ladderFile(second, { previous: await table.input('ladder.json'), outputs }))
  const previous = await table.input('ladder-2.json')
  await assert.rejects(table.run(await table.ladderFile(second, { previous, outputs: AGAIN })), {
    details: { check: 'check-chain' },
  })
})
