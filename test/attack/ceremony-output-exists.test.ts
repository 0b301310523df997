// A ceremony that would write over what is there: refused before any key is touched, also where a link lies in wait.
import assert from 'node:assert/strict'
import { symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { requested } from '#test/support/ceremony-scene.ts'
import { OFFLINE } from '#test/support/ceremony.ts'

for (const output of ['ladder.json', 'ladder.transcript']) {
  it(`${output} is never replaced`, async (t) => {
    const { table, request } = await requested(t)
    const file = await table.ladderFile(request)
    await writeFile(join(table.dir, output), 'precious')
    await assert.rejects(table.run(file), { code: 'ZT-409-EXISTS' })
    assert.equal(await table.text(output), 'precious')
    // Nothing had begun: a ceremony that had signed would have said so.
    assert.equal(table.told.filter((line) => line.includes('opened key store')).length, 1)
  })
}

it('a file that appears while the ceremony runs is not replaced either', async (t) => {
  const { table, request } = await requested(t)
  const file = await table.ladderFile(request)
  // Outputs are looked at when the ceremony begins; the machine is described when that is done.
  const facts = (): Record<string, string> => {
    void symlink(join(table.dir, 'elsewhere'), join(table.dir, 'ladder.json'))
    return { node: 'test' }
  }
  await assert.rejects(table.run(file, { surroundings: { ...OFFLINE, facts } }), { code: 'ZT-409-EXISTS' })
  assert.match(await table.text('ladder.transcript'), /4 signatures were made/)
})
