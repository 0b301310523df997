// The reporter of the tests, on real runs of small files: what failed is found at the end of its output, and a hook that
// failed is told instead of all the tests that it kept from running.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { text } from 'node:stream/consumers'
import { tempDir } from '#test/support/temp-dir.ts'

const REPORTER = join(import.meta.dirname, '..', '..', 'support', 'reporter.ts')
const HEAD = `import { after, before, describe, it } from 'node:test'\n`

interface Reported {
  readonly code: number
  readonly lines: readonly string[]
  /** the list before the closing line */
  readonly list: readonly string[]
  readonly closing: string
}

/** Runs files, name to content, as `make test` does. */
async function reported(
  test: TestContext,
  files: Readonly<Record<string, string>>,
  env: NodeJS.ProcessEnv = {},
): Promise<Reported> {
  const cwd = await tempDir(test)
  for (const [name, body] of Object.entries(files)) await writeFile(join(cwd, name), HEAD + body)
  const { NODE_TEST_CONTEXT: _inner, CI: _ci, ...outer } = process.env
  const args = ['--test', '--test-timeout=10000', `--test-reporter=${REPORTER}`, ...Object.keys(files)]
  const child = spawn(process.execPath, args, {
    cwd,
    env: { ...outer, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = new Promise<number>((resolve) => {
    child.once('close', (code) => resolve(code ?? -1))
  })
  const [code, stdout] = await Promise.all([ended, text(child.stdout), text(child.stderr)])
  const lines = stdout.trimEnd().split('\n')
  const from = lines.indexOf('What failed:')
  const list = from < 0 ? [] : lines.slice(from + 1, -2).map((line) => line.trim())
  return { code, lines, list, closing: lines.at(-1) ?? '' }
}

describe('the reporter of the tests', () => {
  it('says in one line what passed', async (test) => {
    const { code, lines } = await reported(test, {
      'a.test.mjs': `describe('a', () => { it('b', () => {}) })`,
    })
    assert.deepEqual([code, lines], [0, ['1 passed, 0 failed']])
  })

  it('prints the error of a hook whole, and only counts what could not run because of it', async (test) => {
    const { code, lines, list, closing } = await reported(test, {
      'hook.test.mjs': `describe('a suite', () => {
        before(() => { throw new Error('ztctl login:\\nrefused', { cause: new Error('deeper') }) })
        it('one', () => {})
        describe('inner', () => { it('two', () => {}); it('three', () => {}) })
      })
      describe('another', () => { it('four', () => {}) })`,
    })
    assert.deepEqual(lines.slice(0, 3), [
      'FAILED a suite (hook.test.mjs:2)',
      '    failed running before hook: Error: ztctl login:',
      '    refused',
    ])
    assert.ok(
      lines.some((line) => /^ {8}at .*hook\.test\.mjs:3:\d+\)$/.test(line)),
      'where the hook failed',
    )
    assert.ok(lines.includes('    caused by: Error: deeper'))
    assert.ok(!lines.some((line) => /one|two|three|inner|cancelled/.test(line)))
    assert.deepEqual(list, [
      'a suite (hook.test.mjs:2): failed running before hook: Error: ztctl login: refused',
      '... and 3 more that could not run',
    ])
    assert.deepEqual([code, closing], [1, '1 passed, 4 failed'])
  })

  it('lists every failure again at the end, of several files', async (test) => {
    const { list, closing } = await reported(test, {
      'a.test.mjs': `describe('a', () => { it('b', () => { throw new Error('first\\nmore') }); it('c', () => {}) })`,
      'd.test.mjs': `it('d', { timeout: 20 }, async (t) => {
        void t.test('e', () => new Promise((done) => setTimeout(done, 60_000)))
        await new Promise((done) => setTimeout(done, 60_000))
      })
      describe('f', () => { after(() => { throw new TypeError('late') }); it('g', () => {}) })`,
    })
    assert.deepEqual(list, [
      'b (a.test.mjs:2): Error: first',
      'd (d.test.mjs:2): test timed out after 20ms',
      '... and 1 more that could not run',
      'f (d.test.mjs:6): failed running after hook: TypeError: late',
    ])
    assert.equal(closing, '2 passed, 4 failed')
  })

  it('says why a whole file came to nothing', async (test) => {
    const { code, list, closing } = await reported(test, {
      'import.test.mjs': `throw new RangeError('at import')`,
      'killed.test.mjs': `it('h', () => process.kill(process.pid, 'SIGKILL'))`,
    })
    assert.deepEqual(list, [
      'import.test.mjs: RangeError: at import',
      'killed.test.mjs: ended by SIGKILL: test failed',
    ])
    assert.deepEqual([code, closing], [1, '0 passed, 2 failed'])
  })

  it('takes a skipped test for a failed one in CI, and nowhere else', async (test) => {
    const files = { 'a.test.mjs': `it('a', { skip: 'needs b' }, () => {}); it('c', () => {})` }
    const elsewhere = await reported(test, files)
    assert.deepEqual([elsewhere.code, elsewhere.closing], [0, '1 passed, 0 failed, 1 skipped'])
    const inCi = await reported(test, files, { CI: '1' })
    assert.deepEqual([inCi.code, inCi.closing, inCi.list], [1, '1 passed, 1 failed', ['1 skipped: needs b']])
  })

  it('fails a run in which nothing ran', async (test) => {
    const { code, closing } = await reported(test, { 'empty.test.mjs': '' })
    assert.deepEqual([code, closing], [1, '0 passed, 1 failed'])
  })
})
