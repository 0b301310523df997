// The program as it is started: what it takes on its command line, and what it never takes.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { ROOT } from '#test/support/sources.ts'
import { tempDir } from '#test/support/temp-dir.ts'

const PROGRAM = join(ROOT, 'node-agent/main.ts')

function run(args: readonly string[], input = ''): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [PROGRAM, ...args], {
    input,
    encoding: 'utf8',
  })
  return { status, stdout, stderr }
}

async function configFile(test: TestContext, changes: object = {}): Promise<string> {
  const dir = await tempDir(test)
  const file = join(dir, 'node.json')
  const fields = { name: 'n1', stateDir: join(dir, 'state'), workspaceRoot: join(dir, 'work'), ...changes }
  await writeFile(file, JSON.stringify(fields))
  return file
}

describe('the node agent as a program', () => {
  const usages: Record<string, (file: string) => string[]> = {
    'nothing at all': () => [],
    'no configuration': () => ['--check-config'],
    'an unknown flag': (file) => ['--config', file, '--debug'],
    'an unknown verb': (file) => ['leave', '--config', file],
    'two verbs': (file) => ['join', 'join', '--config', file],
    'a join string where a file belongs to nothing': (file) => ['--config', file, '--join-file', '-'],
    'joining without saying from where': (file) => ['join', '--config', file],
    'a join string on the command line': (file) => ['join', 'ztjoin_abc', '--config', file],
  }
  for (const [what, args] of Object.entries(usages)) {
    it(`refuses ${what}, with the usage`, async (test) => {
      const { status, stderr } = run(args(await configFile(test)))
      assert.equal(status, 2)
      assert.match(stderr, /usage: node-agent/)
    })
  }

  it('prints what is in force, and nothing else, when it is asked to check', async (test) => {
    const { status, stdout } = run(['--config', await configFile(test), '--check-config'])
    assert.equal(status, 0)
    assert.equal((JSON.parse(stdout) as { name: string }).name, 'n1')
  })

  it('names the field of a bad configuration, and ends with 2', async (test) => {
    const { status, stderr } = run(['--config', await configFile(test, { name: 'N1' })])
    assert.equal(status, 2)
    assert.match(stderr, /ZT-400-CONFIG .*"name"/)
  })

  it('says that it has to join first', async (test) => {
    const { status, stderr } = run(['--config', await configFile(test)])
    assert.equal(status, 2)
    assert.match(stderr, /join/)
  })

  it('repeats nothing of a join string that it cannot read', async (test) => {
    const file = await configFile(test)
    const { status, stderr } = run(['join', '--config', file, '--join-file', '-'], 'ztjoin_c2VjcmV0')
    assert.equal(status, 4)
    assert.match(stderr, /ZT-403-JOIN/)
    assert.match(
      stderr,
      /^node-agent: hint: give it the whole line that `ztctl node join-token NAME` printed/m,
    )
    assert.ok(!stderr.includes('c2VjcmV0'))
  })
})

describe('docs/node-agent.md', () => {
  it('has a line for every field of the configuration', () => {
    const page = readFileSync(join(ROOT, 'docs/node-agent.md'), 'utf8')
    const source = readFileSync(join(ROOT, 'node-agent/config.ts'), 'utf8')
    const shape = source.slice(
      source.indexOf('const fileShape'),
      source.indexOf('export interface NodeConfig'),
    )
    const nested = new Set(['allow', 'anchor', 'output', 'rate', 'uid', 'gid'])
    for (const [, field = ''] of shape.matchAll(/^\s+([a-z_]+): /gm)) {
      if (!nested.has(field)) assert.match(page, new RegExp(`\`(?:[a-z]+\\.)?${field}\``), field)
    }
  })
})
