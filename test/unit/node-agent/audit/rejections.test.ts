import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { RowDraft } from '#shared/log/row.ts'
import { Rejections } from '#node-agent/audit/rejections.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'

function setUp() {
  const clock = new ManualClock()
  const rows: RowDraft[] = []
  const failures: unknown[] = []
  const disk = { full: false }
  const rejections = new Rejections({
    clock,
    append: async (draft) => {
      if (disk.full) throw new Error('disk full')
      rows.push(draft)
    },
    failed: (cause) => void failures.push(cause),
    limits: { rows: { burst: 3, perSecond: 1 }, flushAfterMs: 10_000 },
  })
  const refuse = (code: string): Promise<void> =>
    rejections.record({ type: 'cmd.rejected', out: 'deny', code })
  return { clock, rows, failures, disk, rejections, refuse }
}

describe('refusals', () => {
  it('are rows of their own while they are few', async () => {
    const { rows, refuse } = setUp()
    await refuse('ZT-401-SIG')
    await refuse('ZT-401-CERT')
    assert.deepEqual(
      rows.map(({ code }) => code),
      ['ZT-401-SIG', 'ZT-401-CERT'],
    )
  })

  it('of a flood are counted by code and written together, so the log stays bounded', async () => {
    const { clock, rows, refuse } = setUp()
    for (let n = 0; n < 10_000; n += 1) await refuse(n % 2 === 0 ? 'ZT-401-SIG' : 'ZT-400-MALFORMED')
    assert.equal(rows.length, 3)
    clock.advance(10_000)
    assert.equal(rows.length, 4)
    assert.deepEqual(rows[3], {
      type: 'flood.aggregated',
      out: 'deny',
      obj: { rejected: { 'ZT-400-MALFORMED': 4999, 'ZT-401-SIG': 4998 } },
    })
  })

  it('that were counted are written when the agent ends', async () => {
    const { rows, rejections } = setUp()
    rejections.count('ZT-429-RATE')
    await rejections.flush()
    await rejections.flush()
    assert.deepEqual(
      rows.map(({ obj }) => obj),
      [{ rejected: { 'ZT-429-RATE': 1 } }],
    )
  })

  it('stay refusals when they cannot be written', async () => {
    const { disk, failures, refuse } = setUp()
    disk.full = true
    await refuse('ZT-401-SIG')
    assert.equal(failures.length, 1)
  })
})
