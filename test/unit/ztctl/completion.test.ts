// Completion is made of the verb table, and what bash is given is bash.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { rememberNames } from '#ops/ztctl/completion/names.ts'
import { flagsOf } from '#ops/ztctl/completion/words.ts'
import { VERBS } from '#ops/ztctl/grammar/verbs.ts'
import { say } from '#test/support/ztctl-io.ts'

const config = mkdtempSync(join(tmpdir(), 'ztctl-completion-'))
after(() => rmSync(config, { recursive: true }))
const script = async (shell: string): Promise<string> => (await say(['completion', shell])).stdout

function complete(source: string, words: readonly string[]): readonly string[] {
  const program = `${source}
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _ztctl; printf '%s\\n' "\${COMPREPLY[@]}"`
  const env = { PATH: '/usr/bin:/bin', ZTMESH_CONFIG_DIR: config }
  const result = spawnSync('bash', ['--norc', '--noprofile', '-c', program, 'bash', ...words], {
    env,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  assert.equal(result.stderr, '')
  return result.stdout.split('\n').filter((word) => word !== '')
}

describe('completion for bash', () => {
  it('is accepted by bash -n', async () => {
    const checked = spawnSync('bash', ['-n'], { input: await script('bash'), encoding: 'utf8' })
    assert.equal(checked.stderr, '')
    assert.equal(checked.status, 0)
  })

  it('offers verbs, second words, choices, and the flags of the verb alone', async () => {
    const source = await script('bash')
    assert.ok(complete(source, ['ztctl', 'sp']).includes('spawn'))
    assert.deepEqual(complete(source, ['ztctl', 'node', '']), [
      'ls',
      'join-token',
      'revoke',
      'inspect',
      'attest',
    ])
    assert.deepEqual(complete(source, ['ztctl', 'ps', '-o', '']), ['table', 'json'])
    assert.deepEqual(complete(source, ['ztctl', 'completion', 'f']), ['fish'])
    assert.ok(complete(source, ['ztctl', 'kill', '--']).includes('--grace'))
    assert.ok(!complete(source, ['ztctl', 'ps', '--']).includes('--grace'))
    assert.ok(complete(source, ['ztctl', '-n', 'a', 'sp']).includes('spawn'))
  })

  it('offers the nodes and processes of the last listing', async () => {
    rememberNames('nodes', ['mac-mini', 'build-box'], { ZTMESH_CONFIG_DIR: config })
    rememberNames('processes', ['mac-mini/p-abc'], { ZTMESH_CONFIG_DIR: config })
    const source = await script('bash')
    assert.deepEqual(complete(source, ['ztctl', 'run', '-n', 'm']), ['mac-mini'])
    assert.deepEqual(complete(source, ['ztctl', 'logs', '']), ['mac-mini/p-abc'])
  })

  it('never remembers a name that means something to a shell', () => {
    rememberNames('nodes', ['ok', '$(id)', 'a b', '`id`', 'x;y', ''], { ZTMESH_CONFIG_DIR: config })
    assert.equal(readFileSync(join(config, 'cache', 'nodes'), 'utf8'), 'ok\n')
  })
})

for (const shell of ['bash', 'zsh', 'fish']) {
  it(`completion for ${shell} names every verb and every flag`, async () => {
    const text = await script(shell)
    for (const verb of VERBS) {
      for (const word of verb.name.split(' ')) assert.ok(text.includes(word), `${shell}: ${verb.name}`)
      for (const { name } of flagsOf(verb)) assert.ok(text.includes(name), `${shell}: --${name}`)
    }
  })
}
