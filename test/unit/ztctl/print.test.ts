// JSON on a terminal is text from other machines too.
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { printJson } from '#ops/ztctl/output/print.ts'
import type { Io } from '#ops/ztctl/io.ts'

it('JSON holds no control of C1 and no change of direction, and means the same', () => {
  let text = ''
  const stdout = { write: (chunk: string) => (text += chunk) }
  const name = 'a\u009b31m\u007f\u202e\u2066\u061c\u2028\u001bé'
  printJson({ kind: 'Test', name }, { stdout } as unknown as Io)
  assert.match(text, /a\\u009b31m\\u007f\\u202e\\u2066\\u061c\\u2028\\u001bé/)
  assert.deepEqual(JSON.parse(text), { apiVersion: 'ztmesh/v1', kind: 'Test', name })
})
