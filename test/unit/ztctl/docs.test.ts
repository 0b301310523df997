// docs/ztctl.md says what ztctl does, and names only what there is.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { ztctlDoc } from '#ops/setup/ztctl-doc.ts'
import { FLAGS } from '#ops/ztctl/grammar/flags.ts'
import { VERBS } from '#ops/ztctl/grammar/verbs.ts'
import { EXIT_STATUSES } from '#ops/ztctl/output/help-text.ts'
import { ERROR_CODES } from '#shared/errors/codes.ts'
import { CAPABILITIES, DEFAULT_CAPABILITIES } from '#shared/protocol/sandbox-capability.ts'
import { ROOT } from '#test/support/sources.ts'
import { say } from '#test/support/ztctl-io.ts'

const PAGE = join(ROOT, 'docs', 'ztctl.md')

test('docs/ztctl.md is what the tables of ztctl say', () => {
  assert.ok(existsSync(PAGE))
  assert.equal(readFileSync(PAGE, 'utf8'), ztctlDoc())
})

test('docs/ztctl.md names every verb and every flag', () => {
  const text = readFileSync(PAGE, 'utf8')
  for (const { name } of VERBS) assert.ok(text.includes(`\`ztctl ${name}`), name)
  for (const name of FLAGS.keys()) assert.ok(text.includes(`--${name}`), name)
})

test('docs/ztctl.md and the help of each verb with --cap name every capability', async () => {
  const page = readFileSync(PAGE, 'utf8')
  const pages = await Promise.all(
    VERBS.filter(({ flags }) => flags.includes('cap')).map(
      async ({ name }) => (await say(['help', name])).stdout,
    ),
  )
  assert.ok(pages.length > 2)
  for (const { name, gives } of CAPABILITIES) {
    assert.ok(page.includes(`| \`${name}\` | ${gives} |`), name)
    for (const help of pages) assert.match(help, new RegExp(`^  (?:.*, )?${name}(?:,|  |$)`, 'm'), name)
  }
})

test('the capabilities that the page calls the first four are those that a process gets by itself', () => {
  assert.deepEqual(
    CAPABILITIES.slice(0, 4).map(({ name }) => name),
    DEFAULT_CAPABILITIES,
  )
})

test('every exit status of an error code is one that the page explains', () => {
  const known = new Set([...EXIT_STATUSES.map(([status]) => Number(status)), 124, 125, 126, 127, 255])
  for (const [code, { exit }] of ERROR_CODES) assert.ok(known.has(exit), `${code} exits ${exit}`)
})
