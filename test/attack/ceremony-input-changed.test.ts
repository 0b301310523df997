// A file that a ceremony file names is changed after the review: the digest that was approved does not fit it.
import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { it } from 'node:test'
import { bend, requested } from '#test/support/ceremony-scene.ts'

it('no request is signed but the one that was approved', async (t) => {
  const { table, request } = await requested(t)
  const file = await table.ladderFile(request)
  await bend(join(table.dir, basename(request.file)), '"index":0', '"index":1')
  await assert.rejects(table.run(file), { code: 'ZT-422-CEREMONY', message: /is not the file/ })
})

for (const input of ['root.pem', 'officers.json', 'bundle.jws', 'root.transcript']) {
  it(`no ceremony goes on with another ${input}, or with none`, async (t) => {
    const { table, request } = await requested(t)
    const file = await table.ladderFile(request)
    await writeFile(join(table.dir, input), `${await table.text(input)}\n`)
    await assert.rejects(table.run(file), { code: 'ZT-422-CEREMONY', message: /is not the file/ })
    await rm(join(table.dir, input))
    await assert.rejects(table.run(file), { code: 'ZT-422-CEREMONY', message: /is missing/ })
  })
}
