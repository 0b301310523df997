// Tables, colour and time, as people see them.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createStyle } from '#ops/ztctl/output/style.ts'
import { renderTable } from '#ops/ztctl/output/table.ts'
import { rfc3339, shortDuration } from '#ops/ztctl/output/time.ts'
import { say } from '#test/support/ztctl-io.ts'

describe('a table', () => {
  const rows = [
    ['mac-mini', 'p-1', 'running'],
    ['b', 'p-22', 'exited'],
  ]
  const headings = ['NODE', 'PROC', 'STATE']

  it('aligns its columns and ends no line in spaces', () => {
    assert.equal(
      renderTable({ headings, rows, showHeadings: true }),
      'NODE      PROC  STATE\nmac-mini  p-1   running\nb         p-22  exited\n',
    )
  })

  it('leaves its heading out when asked', () => {
    assert.equal(renderTable({ headings, rows: [], showHeadings: false }), '')
  })

  it('is cut to the terminal, and never when there is none', () => {
    const wide = [['a', 'b', 'c'.repeat(100)]]
    assert.ok(renderTable({ headings, rows: wide, showHeadings: false, width: 40 }).length <= 41)
    assert.ok(renderTable({ headings, rows: wide, showHeadings: false }).length > 100)
  })

  it('shows the controls in a cell instead of obeying them', () => {
    const text = renderTable({ headings: ['A'], rows: [['\u001b]0;x\u0007\nroot']], showHeadings: false })
    assert.equal(text, '\\u001b]0;x\\u0007\\u000aroot\n')
  })
})

describe('colour', () => {
  const coloured = (isTty: boolean, env: Record<string, string>, color?: string): boolean =>
    createStyle({ env, isTty, color }).bad('x') !== 'x'

  it('is for terminals', () => {
    assert.equal(coloured(true, { TERM: 'xterm' }), true)
    assert.equal(coloured(false, {}), false)
  })
  it('stays away when NO_COLOR is set, unless it is empty', () => {
    assert.equal(coloured(true, { NO_COLOR: '1' }), false)
    assert.equal(coloured(true, { NO_COLOR: '' }), true)
  })
  it('stays away from a dumb terminal', () => assert.equal(coloured(true, { TERM: 'dumb' }), false))
  it('can be forced', () => {
    assert.equal(coloured(false, { FORCE_COLOR: '1' }), true)
    assert.equal(coloured(false, {}, 'always'), true)
    assert.equal(coloured(false, { NO_COLOR: '1' }, 'always'), true)
    assert.equal(coloured(true, {}, 'never'), false)
  })
})

describe('time', () => {
  it('is short in tables', () => {
    const cases: [number, string][] = [
      [-5, '0s'],
      [0, '0s'],
      [61_000, '61s'],
      [180_000, '3m'],
      [3 * 3_600_000, '3h'],
      [49 * 3_600_000, '2d'],
    ]
    for (const [ms, text] of cases) assert.equal(shortDuration(ms), text)
  })
  it('is RFC 3339 in JSON', () => {
    assert.equal(rfc3339(Date.UTC(2026, 10, 22)), '2026-11-22T00:00:00.000Z')
    assert.equal(rfc3339(undefined), null)
  })
})

describe('version', () => {
  it('prints JSON with apiVersion and kind', async () => {
    const said = await say(['version', '-o', 'json'])
    const body = JSON.parse(said.stdout) as Record<string, unknown>
    assert.equal(body['apiVersion'], 'ztmesh/v1')
    assert.equal(body['kind'], 'Version')
    assert.equal(said.status, 0)
  })

  it('is that of package.json', async () => {
    const { readFileSync } = await import('node:fs')
    const { ROOT } = await import('#test/support/sources.ts')
    const manifest = JSON.parse(readFileSync(`${ROOT}/package.json`, 'utf8')) as { version: string }
    assert.equal((await say(['version', '-q'])).stdout, `${manifest.version}\n`)
  })
})
