import assert from 'node:assert/strict'
import { it } from 'node:test'
import { Turns } from '#node-agent/keeper/turns.ts'

it('does one thing at a time under one key, and does not stop at one that fails', async () => {
  const turns = new Turns()
  const seen: string[] = []
  const first = Promise.withResolvers<string>()
  const one = turns.take('a', async () => {
    seen.push('one')
    return first.promise
  })
  const two = turns.take('a', async () => {
    seen.push('two')
    return 2
  })
  assert.equal(await turns.take('b', async () => 'other'), 'other')
  assert.deepEqual(seen, ['one'])
  first.reject(new Error('failed'))
  await assert.rejects(one, /failed/)
  assert.equal(await two, 2)
  assert.deepEqual(seen, ['one', 'two'])
})
