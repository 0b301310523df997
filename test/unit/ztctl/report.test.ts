// How ztctl fails: codes, hints, exit statuses, and nothing on stdout.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { exitStatus, reportError } from '#ops/ztctl/output/report-error.ts'
import type { ErrorCode } from '#shared/errors/codes.ts'
import { systemClock } from '#shared/host/clock.ts'
import { ZtError } from '#shared/errors/error.ts'
import { memorySink, say } from '#test/support/ztctl-io.ts'

function report(error: unknown, json: boolean): string {
  const stderr = memorySink()
  const stdout = memorySink()
  reportError(
    error,
    { env: {}, clock: systemClock, stdout, stderr, onSignal: () => () => undefined },
    { json },
  )
  assert.equal(stdout.text(), '')
  return stderr.text()
}

describe('an error', () => {
  it('is one line with its code and one with what to do', () => {
    const text = report(new ZtError('ZT-404-NODE', 'no node is called "x"'), false)
    assert.equal(
      text,
      'ztctl: error: no node is called "x" (ZT-404-NODE)\nztctl: hint: `ztctl node ls` lists them\n',
    )
  })

  it('names the reasons of a denial in the sentence', () => {
    const text = report(
      new ZtError('ZT-403-POLICY', 'denied', { details: { reasons: 'guard.night' } }),
      false,
    )
    assert.match(text, /^ztctl: error: denied: guard\.night \(ZT-403-POLICY\)\n/)
  })

  it('cannot steer the terminal, whoever wrote it', () => {
    const text = report(new ZtError('ZT-412-FACT', 'no\u001b[2J\nztctl: error: forged\u202e'), false)
    assert.equal(
      text.split('\n')[0],
      'ztctl: error: no\\u001b[2J\\u000aztctl: error: forged\\u202e (ZT-412-FACT)',
    )
  })

  it('is one JSON object where JSON was asked for', () => {
    const body = JSON.parse(report(new ZtError('ZT-404-NODE', 'gone'), true)) as Record<string, unknown>
    assert.equal(body['apiVersion'], 'ztmesh/v1')
    assert.equal(body['kind'], 'Error')
    assert.deepEqual(body['error'], {
      code: 'ZT-404-NODE',
      message: 'gone',
      hint: '`ztctl node ls` lists them',
      details: {},
    })
  })

  it('that nobody foresaw is ZT-500-INTERNAL, without its stack', () => {
    const text = report(new TypeError('x is not a function'), false)
    assert.match(text, /ZT-500-INTERNAL/)
    assert.doesNotMatch(text, /at .*\.ts/)
  })
})

describe('the exit status', () => {
  const own: Record<string, number> = {
    'ZT-400-USAGE': 2,
    'ZT-404-NODE': 3,
    'ZT-403-POLICY': 4,
    'ZT-401-SESSION': 6,
    'ZT-503-NODE': 7,
    'ZT-490-ROW': 9,
    'ZT-504-TIMEOUT': 7,
    'ZT-404-EXE': 127,
    'ZT-403-EXE': 126,
    'ZT-504-OUTCOME-UNKNOWN': 255,
  }
  for (const [code, status] of Object.entries(own)) {
    const error = new ZtError(code as ErrorCode, 'x')
    it(`of ${code} is ${status}`, () => assert.equal(exitStatus(error, false), status))
    const remote = status < 124 ? 125 : status
    it(`of ${code} is ${remote} where it could be taken for the program's own`, () => {
      assert.equal(exitStatus(error, true), remote)
    })
  }

  it('of a command line that is wrong is 2, and 125 for run', async () => {
    assert.equal((await say(['ps', '--bogus'])).status, 2)
    assert.equal((await say(['spwan'])).status, 2)
    assert.equal((await say(['run', '--bogus', '--', 'x'])).status, 125)
    assert.equal((await say(['ps', '--', 'run'])).status, 2)
  })

  it('of a refused command line comes with an empty stdout', async () => {
    const said = await say(['ps', '-o', 'yaml'])
    assert.equal(said.stdout, '')
    assert.match(said.stderr, /^ztctl: error: .*\(ZT-400-USAGE\)\nztctl: hint: /)
  })

  it('is reported in JSON where the environment asks for it, unless a flag says otherwise', async () => {
    const env = { ZTMESH_OUTPUT: 'json' }
    assert.match((await say(['ps', '--bogus'], { env })).stderr, /^\{"apiVersion"/)
    assert.match((await say(['ps', '-o', 'table', '--bogus'], { env })).stderr, /^ztctl: error/)
    assert.match((await say(['run', '--', 'x', '-o', 'json'])).stderr, /^ztctl: error/)
  })

  it('is reported in JSON even when the command line cannot be parsed', async () => {
    const said = await say(['ps', '-o', 'json', '--bogus'])
    assert.equal((JSON.parse(said.stderr) as { kind: string }).kind, 'Error')
  })
})
