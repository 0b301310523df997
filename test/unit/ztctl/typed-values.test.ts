// What ztctl refuses before it asks anybody: in the words that were typed, and as a wrong command line.
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { groundsOf } from '#ops/ztctl/client/revocation.ts'
import { parseCommandLine } from '#ops/ztctl/grammar/parse.ts'
import { systemClock } from '#shared/host/clock.ts'
import { memorySink, say } from '#test/support/ztctl-io.ts'

const folder = mkdtempSync(join(tmpdir(), 'ztctl-typed-'))
after(() => rmSync(folder, { recursive: true }))

function file(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

describe('refused before anybody is asked, in the words that were typed:', () => {
  const out = join(folder, 'out')
  const refused: Record<string, [argv: string[], error: RegExp, hint: RegExp]> = {
    'an empty trust bundle': [
      ['bundle', 'import', file('empty.jws', '\n')],
      /empty\.jws" must have/,
      /ceremony/,
    ],
    'a file that is no trust bundle': [
      ['bundle', 'import', file('text.jws', 'no bundle')],
      /text\.jws" does not have the accepted form/,
      /ceremony/,
    ],
    'an empty note': [
      ['pcr-policy', 'apply', file('empty.note', '')],
      /empty\.note" must have/,
      /pcr-policy sign/,
    ],
    'no rungs': [['ladder', 'request', out, '--rungs', '0'], /--rungs must be .* 1 to 30/, /--rungs 7/],
    'too many rungs': [
      ['ladder', 'request', out, '--rungs', '31'],
      /--rungs must be .* 1 to 30/,
      /--rungs 7/,
    ],
    'rungs that are no number': [['ladder', 'request', out, '--rungs', 'x'], /--rungs is not/, /--rungs 20/],
    'a key with a space in its name': [
      ['pcr-policy', 'keygen', 'bad name', out],
      /"bad name" cannot/,
      /no space/,
    ],
    'a key without a name': [['pcr-policy', 'keygen', '', out], /"" cannot be the name/, /no space/],
  }
  for (const [what, [argv, error, hint]] of Object.entries(refused))
    it(what, async () => {
      const { status, stderr } = await say(argv)
      const [said = '', advice = ''] = stderr.split('\n')
      assert.match(said, /\(ZT-400-USAGE\)$/)
      assert.match(said, error)
      assert.match(advice, hint)
      assert.doesNotMatch(stderr, /params\./)
      assert.equal(status, 2)
      assert.ok(!existsSync(out))
    })

  it('a reason of several lines', () => {
    const call = parseCommandLine(['revoke', 'operator/bob', '--reason', 'a\nb'], {})
    const io = { env: {}, clock: systemClock, stdout: memorySink(), stderr: memorySink() }
    assert.throws(() => groundsOf(call, { ...io, onSignal: () => () => undefined }), {
      code: 'ZT-400-USAGE',
      message: /^--reason does not have/,
      details: { hint: 'one line of at most 512 characters' },
    })
  })
})
