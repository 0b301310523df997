// What a process writes, and how it ends, as its caller sees it.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import type { TestMesh } from '#test/support/mesh.ts'

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

// Words that a shell, a wildcard or a careless parser would change.
const WORDS = [
  'two words',
  '"double" \'single\'',
  '$HOME `id` $(id)',
  '*',
  '',
  '--',
  '-n',
  '--node=n9',
  '\\n',
  'tab\tline\nend',
  'žluťoučký 🐎 ኣ',
  '{"json":[1,2]}',
]

export function describeOutput(mesh: () => TestMesh): void {
  describe('output', () => {
    it('comes live: a follower sees a line before the next one is written', async () => {
      const script = 'trap "echo second; exit 5" USR1; echo first; while :; do sleep 0.05; done'
      const proc = await mesh().spawn('n1', ['sh', '-c', script])
      const follower = mesh().type(['logs', '-f', proc])
      await follower.printed('first\n')
      await mesh().out(['kill', '-s', 'USR1', proc])
      const { code, stdout } = await follower.ended
      assert.deepEqual([code, stdout.toString()], [5, 'first\nsecond\n'])
    })

    it('comes in order, byte for byte, on the stream it was written to', async () => {
      const script =
        'i=0; while [ $i -lt 200 ]; do echo "out $i"; echo "err $i" >&2; i=$((i+1)); done; printf end'
      const { code, stdout, stderr } = await mesh().ztctl(['run', '-n', 'n1', '--', 'sh', '-c', script])
      const lines = (stream: string): string =>
        Array.from({ length: 200 }, (_, i) => `${stream} ${i}\n`).join('')
      assert.deepEqual([code, stdout, stderr], [0, `${lines('out')}end`, lines('err')])
    })

    it('is what was written, for five megabytes of arbitrary bytes, live and replayed', async () => {
      const script = 'head -c 5242880 /dev/urandom > f; sha256sum < f >&2; cat f'
      const live = await mesh().type(['spawn', '-f', '-n', 'n1', '--', 'sh', '-c', script]).ended
      const proc = /n1\/(p-[a-z2-7]{20})/.exec(live.stderr.toString())?.[1] ?? ''
      assert.equal(live.stdout.length, 5_242_880, live.stderr.toString())
      assert.ok(live.stderr.includes(sha256(live.stdout)), 'the hash that the process itself made')
      const replayed = await mesh().type(['logs', '--stdout', proc]).ended
      assert.equal(sha256(replayed.stdout), sha256(live.stdout))
    })

    it('is the same when it is read again as when it was followed', async () => {
      const script = 'for i in 1 2 3; do echo "o$i"; echo "e$i" >&2; sleep 0.05; done; exit 4'
      const live = await mesh().type(['spawn', '-q', '-f', '-n', 'n1', '--', 'sh', '-c', script]).ended
      const [newest] = (await mesh().out(['ps', '-a', '-q', '-n', 'n1'])).trim().split('\n').reverse()
      const again = await mesh().type(['logs', '-f', newest ?? '']).ended
      assert.deepEqual([live.code, again.code], [4, 4])
      assert.deepEqual(again.stdout, live.stdout)
      assert.deepEqual(again.stderr, live.stderr)
    })
  })

  const endings: Record<string, [script: string, code: number]> = {
    'that it ended well': ['exit 0', 0],
    'its code': ['exit 3', 3],
    'that a signal ended it': ['kill -TERM $$', 143],
    'that it was killed': ['kill -KILL $$', 137],
  }
  describe('the exit code of run is that of the process:', () => {
    for (const [what, [script, code]] of Object.entries(endings)) {
      it(what, async () => {
        const finished = await mesh().ztctl(['run', '-n', 'n1', '--', 'sh', '-c', script])
        assert.equal(finished.code, code, finished.stderr)
      })
    }

    it('that its time was over', async () => {
      const finished = await mesh().ztctl(['run', '-n', 'n1', '--timeout', '1s', '--', 'sleep', '60'])
      assert.equal(finished.code, 124, finished.stderr)
    })

    it('that there is no such program', async () => {
      await mesh().refused(['run', '-n', 'n1', '--', 'no-such-program'], { exit: 127, code: 'ZT-404-EXE' })
    })

    it('that the program cannot be run', async () => {
      await mesh().refused(['run', '-n', 'n1', '--', '/etc/passwd'], { exit: 126, code: 'ZT-403-EXE' })
    })
  })

  describe('what was typed arrives as it was typed:', () => {
    it('every word of the command', async () => {
      const printed = await mesh().out(['run', '-n', 'n1', '--', 'printf', '<%s>', ...WORDS])
      assert.equal(printed, WORDS.map((word) => `<${word}>`).join(''))
    })

    it('every variable', async () => {
      const value = 'a b="c" $d\nžluťoučký'
      const args = ['run', '-n', 'n1', '-e', `VALUE=${value}`, '--', 'printenv', 'VALUE']
      assert.equal(await mesh().out(args), `${value}\n`)
    })
  })
}
