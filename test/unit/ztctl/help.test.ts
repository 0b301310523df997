// Help is an interface: it changes when somebody means it to (ZT_UPDATE_GOLDEN=1), and never disagrees with the grammar.
import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { FLAGS } from '#ops/ztctl/grammar/flags.ts'
import { parseCommandLine } from '#ops/ztctl/grammar/parse.ts'
import { VERBS } from '#ops/ztctl/grammar/verbs.ts'
import { LOADERS } from '#ops/ztctl/loaders.ts'
import { say } from '#test/support/ztctl-io.ts'

const GOLDEN = join(import.meta.dirname, 'testdata', 'help.txt')

function changes(before: string, after: string): readonly string[] {
  const [old, now] = [new Set(before.split('\n')), new Set(after.split('\n'))]
  const lines = [
    ...[...old].filter((line) => !now.has(line)).map((line) => `- ${line}`),
    ...[...now].filter((line) => !old.has(line)).map((line) => `+ ${line}`),
  ]
  return lines.length > 0 || before === after ? lines : ['the same lines in another order']
}

async function allHelp(): Promise<string> {
  const topics = ['', 'node', 'audit', ...VERBS.map((verb) => verb.name)]
  const pages = await Promise.all(
    topics.map(async (topic) => {
      const said = await say(['help', ...topic.split(' ').filter((word) => word !== '')])
      assert.equal(said.status, 0)
      return `$ ${`ztctl help ${topic}`.trimEnd()}\n${said.stdout}`
    }),
  )
  return pages.join('\n')
}

describe('help', () => {
  it('is what it was', async () => {
    const text = await allHelp()
    if (process.env['ZT_UPDATE_GOLDEN'] === '1' || !existsSync(GOLDEN)) writeFileSync(GOLDEN, text)
    // Line by line, so that a failure names the line and not two pages.
    assert.deepEqual(changes(readFileSync(GOLDEN, 'utf8'), text), [])
  })

  it('fits 140 columns and ends no line in spaces', async () => {
    for (const line of (await allHelp()).split('\n')) {
      assert.ok(line.length <= 140, line)
      assert.doesNotMatch(line, /\s$/)
    }
  })

  it('of a verb is the same by help and by --help', async () => {
    assert.deepEqual(await say(['help', 'run']), await say(['run', '--help']))
    assert.deepEqual(await say(['help', 'node', 'ls']), await say(['-h', 'node', 'ls']))
  })

  it('for what does not exist is refused', async () => {
    assert.equal((await say(['help', 'frobnicate'])).status, 2)
  })
})

describe('the verb table', () => {
  it('has code for each verb and no more', () => {
    assert.deepEqual(Object.keys(LOADERS).toSorted(), VERBS.map((verb) => verb.name).toSorted())
  })

  it('uses every flag that there is', () => {
    const used = new Set([
      ...VERBS.flatMap((verb) => verb.flags),
      'context',
      'request-timeout',
      'color',
      'help',
    ])
    assert.deepEqual(
      [...FLAGS.keys()].filter((name) => !used.has(name)),
      [],
    )
  })

  it('gives no letter to two flags', () => {
    const letters = [...FLAGS.values()].flatMap((flag) => flag.short ?? [])
    assert.equal(new Set(letters).size, letters.length)
  })

  for (const verb of VERBS) {
    it(`has examples of ${verb.name} that the grammar takes`, () => {
      assert.ok(verb.examples.length > 0)
      for (const { line } of verb.examples) {
        const words = /ztctl ([^>)]+)/.exec(line.replace(/\$\([^)]*\)/, 'VALUE'))?.[1]?.trim() ?? ''
        const argv = (words.match(/"[^"]*"|'[^']*'|\S+/g) ?? []).map((word) =>
          word.replaceAll(/^["']|["']$/g, ''),
        )
        assert.equal(parseCommandLine(argv, {}).verb.name, verb.name, line)
      }
    })
  }
})
