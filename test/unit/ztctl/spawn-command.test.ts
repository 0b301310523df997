// Flags and words to one spawn command: nothing is sent that the user did not say.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { newProcId, spawnCommand } from '#ops/ztctl/client/spawn-command.ts'
import { parseCommandLine } from '#ops/ztctl/grammar/parse.ts'
import { parseSignal } from '#ops/ztctl/verbs/kill.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { isZtError } from '#shared/errors/error.ts'
import type { SpawnCommand } from '#shared/protocol/command.ts'

const node = parseSpiffeId('spiffe://mesh.example/node/mac-mini')
const folder = mkdtempSync(join(tmpdir(), 'ztctl-spawn-'))
after(() => rmSync(folder, { recursive: true }))

function command(...argv: string[]): SpawnCommand {
  return spawnCommand(parseCommandLine(['run', '-n', 'mac-mini', ...argv], {}), { node, proc: newProcId() })
}

describe('a spawn command', () => {
  it('has the argument vector as it was typed, and the default capabilities', () => {
    const { argv, exe, env, sandbox, limits, cwd } = command('--', 'sh', '-c', 'echo $HOME | wc', '')
    assert.deepEqual(argv, ['sh', '-c', 'echo $HOME | wc', ''])
    assert.deepEqual(exe, { path: 'sh' })
    assert.deepEqual({ ...env }, {})
    assert.deepEqual(sandbox.caps, ['network', 'read_anywhere', 'subprocess', 'workspace_rw'])
    assert.deepEqual(limits, {})
    assert.equal(cwd, undefined)
  })

  it('takes nothing of our own environment', () => {
    process.env['ZT_PLANTED'] = 'secret'
    assert.deepEqual({ ...command('--', 'env').env }, {})
    delete process.env['ZT_PLANTED']
  })

  it('sets, and adds to, capabilities', () => {
    assert.deepEqual(command('--cap', 'workspace_rw', '--cap', 'network', '--', 'x').sandbox.caps, [
      'network',
      'workspace_rw',
    ])
    assert.deepEqual(command('--cap', '+pty', '--', 'x').sandbox.caps, [
      'network',
      'pty',
      'read_anywhere',
      'subprocess',
      'workspace_rw',
    ])
  })

  it('reads variables from files, and lets -e win', () => {
    const file = join(folder, 'env')
    writeFileSync(file, '# a comment\nA=from file\r\nB=x=y\n\n  # another\n')
    assert.deepEqual(
      { ...command('--env-file', file, '-e', 'A=given', '--', 'x').env },
      { A: 'given', B: 'x=y' },
    )
  })

  it('rounds a time limit up to a second', () => {
    assert.deepEqual(command('--timeout', '1500ms', '--', 'x').limits, { wall_s: 2 })
    assert.deepEqual(command('--timeout', '1ms', '--', 'x').limits, { wall_s: 1 })
  })

  it('carries the digest of the program in the form of the protocol', () => {
    const { exe } = command('--exe-sha256', 'AB'.repeat(32), '--', '/opt/x')
    assert.deepEqual(exe, {
      path: '/opt/x',
      sha256: Buffer.from('ab'.repeat(32), 'hex').toString('base64url'),
    })
  })

  it('never names a process twice', () => {
    assert.notEqual(newProcId(), newProcId())
  })

  const refused: Record<string, string[]> = {
    'a program by a relative path': ['--', './build.sh'],
    'a relative folder': ['-C', 'src', '--', 'x'],
    'a variable without a value': ['-e', 'PATH', '--', 'x'],
    'a variable without a name': ['-e', '=x', '--', 'x'],
    'a variable name with a dash': ['-e', 'a-b=x', '--', 'x'],
    'a file of variables that is not there': ['--env-file', '/nonexistent', '--', 'x'],
    'a digest that is none': ['--exe-sha256', 'abc', '--', 'x'],
    'an identity beside all of the host': ['--cap', '+identity:reports', '--', 'x'],
    'two identities': ['--cap', 'identity:a', '--cap', 'identity:b', '--', 'x'],
    'an agent that is no name': ['--cap', 'identity:A/b', '--', 'x'],
    'a capability that does not exist': ['--cap', 'root', '--', 'x'],
    'a path of a capability that goes up': ['--cap', 'write:/srv/../etc', '--', 'x'],
    'an argument with a NUL': ['--', 'x', 'a\0b'],
  }
  for (const [what, argv] of Object.entries(refused)) {
    it(`refuses ${what}`, () => {
      assert.throws(() => command(...argv), { code: 'ZT-400-USAGE' })
    })
  }

  it('says of a capability that does not exist which it is, and where they are listed', () => {
    for (const cap of ['bogus', '+bogus'])
      assert.throws(() => command('--cap', cap, '--', 'x'), {
        code: 'ZT-400-USAGE',
        message: '"bogus" is no capability',
        details: { hint: '`ztctl help spawn` and docs/ztctl.md list them' },
      })
  })

  it('does not repeat a value that may be a secret', () => {
    assert.throws(
      () => command('-e', 'hunter2', '--', 'x'),
      (error) => isZtError(error) && !error.message.includes('hunter2'),
    )
  })
})

describe('a signal', () => {
  it('is named, with or without SIG, or numbered', () => {
    for (const text of ['TERM', 'SIGTERM', 'term', '15']) assert.equal(parseSignal(text), 'TERM')
    assert.equal(parseSignal('9'), 'KILL')
  })
  for (const text of ['STOP', 'SIGFOO', '0', '64', '', '-9', 'SIGSIGTERM']) {
    it(`${JSON.stringify(text)} is refused`, () => {
      assert.throws(() => parseSignal(text), { code: 'ZT-400-USAGE' })
    })
  }
})
