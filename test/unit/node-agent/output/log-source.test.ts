import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { decodeEntries } from '#shared/log/tiles.ts'
import { LogSource } from '#node-agent/output/log-source.ts'
import { openTestLog } from '#test/support/node-log.ts'

async function readAll(source: LogSource, maxBytes: number): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for (let offset = 0; ;) {
    const { data, end } = await source.read('stdout', offset, maxBytes)
    parts.push(data)
    offset += data.length
    if (end) return Buffer.concat(parts)
  }
}

describe('an export of the log', () => {
  for (const maxBytes of [1, 7, 100, 65_536]) {
    it(`is every row as it is stored, in pieces of ${maxBytes} bytes`, async (test) => {
      const { log } = await openTestLog(test)
      for (let n = 0; n < 20; n += 1) await log.append({ type: 'heartbeat', out: 'info' })
      const bytes = await readAll(new LogSource({ log: log.durable, from: 0, to: 21 }), maxBytes)
      const rows = [...log.durable.rows()]
      assert.deepEqual(
        decodeEntries(bytes).map((entry) => Buffer.from(entry)),
        rows.map(({ prev, body }) => Buffer.concat([prev, body])),
      )
    })
  }

  it('ends where it was to end, whatever is appended meanwhile', async (test) => {
    const { log } = await openTestLog(test)
    const source = new LogSource({ log: log.durable, from: 0, to: 1 })
    await log.append({ type: 'heartbeat', out: 'info' })
    assert.equal(decodeEntries(await readAll(source, 65_536)).length, 1)
  })

  it('cannot be entered in the middle', async (test) => {
    const { log } = await openTestLog(test)
    const source = new LogSource({ log: log.durable, from: 0, to: 1 })
    await assert.rejects(source.read('stdout', 5, 100), { code: 'ZT-422-SCHEMA' })
  })
})
