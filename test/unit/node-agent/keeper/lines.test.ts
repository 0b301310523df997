import assert from 'node:assert/strict'
import { it } from 'node:test'
import { JsonLines } from '#node-agent/keeper/lines.ts'

const plain = (values: unknown): unknown => JSON.parse(JSON.stringify(values)) as unknown

it('cuts lines wherever the stream was cut', () => {
  const bytes = Buffer.from('{"a":1}\n["ü"]\n2\n')
  for (let size = 1; size <= bytes.length; size += 1) {
    const lines = new JsonLines(100)
    const values: unknown[] = []
    for (let at = 0; at < bytes.length; at += size) values.push(...lines.push(bytes.subarray(at, at + size)))
    assert.deepEqual(plain(values), [{ a: 1 }, ['ü'], 2])
  }
})

it('keeps an unfinished line for later', () => {
  const lines = new JsonLines(100)
  assert.deepEqual(lines.push(Buffer.from('{"a"')), [])
  assert.deepEqual(plain(lines.push(Buffer.from(':1}\n'))), [{ a: 1 }])
})

const refused: Record<string, [string, string]> = {
  'a line over the limit': ['"' + 'x'.repeat(20) + '"\n', 'ZT-413-SIZE'],
  'an unfinished line over the limit': ['"' + 'x'.repeat(20), 'ZT-413-SIZE'],
  'a line that is not json': ['{a}\n', 'ZT-422-SCHEMA'],
  'an empty line': ['\n', 'ZT-422-SCHEMA'],
  'two values in a line': ['1 2\n', 'ZT-422-SCHEMA'],
  'a duplicate key': ['{"a":1,"a":2}\n', 'ZT-422-SCHEMA'],
}
for (const [what, [text, code]] of Object.entries(refused)) {
  it(`refuses ${what}`, () => {
    assert.throws(() => new JsonLines(16).push(Buffer.from(text)), { code })
  })
}
