// A ceremony goes on although those present did not type what was asked, or answers come from a file for a real root.
import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { it } from 'node:test'
import { ScriptedOperator } from '#pki/ceremony/operator.ts'
import { runCeremony } from '#pki/ceremony/run.ts'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ObligingOperator } from '#test/fakes/obliging-operator.ts'
import { OFFLINE } from '#test/support/ceremony.ts'
import { approvedBy, ceremonyScene, reviewed } from '#test/support/ceremony-scene.ts'

const UNCONFIRMED = { code: 'ZT-403-UNCONFIRMED' }
const quiet = (): void => undefined

for (const [question, answer] of [
  ['words', 'aardvark absurd accrue acme'],
  ['present', 'rita'],
] as const) {
  it(`nothing is created unless "${question}" is answered`, async (t) => {
    const { table } = await ceremonyScene(t)
    const file = table.rootFile()
    const operator = new ObligingOperator(reviewed(file), quiet, { [question]: answer })
    await assert.rejects(table.run(file, { operator }), UNCONFIRMED)
    assert.ok(!(await readdir(table.dir)).some((name) => /root-keys|transcript|root\.pem/.test(name)))
  })
}

for (const [question, left] of [
  ['make-key', 'nothing was made, signed or written'],
  ['sign', 'the new key is in the token'],
] as const) {
  it(`"${question}" is confirmed or not done, and the transcript says what is left`, async (t) => {
    const { table } = await ceremonyScene(t)
    const file = table.rootFile()
    const operator = new ObligingOperator(reviewed(file), quiet, { [question]: 'yes' })
    await assert.rejects(table.run(file, { operator }), UNCONFIRMED)
    assert.ok((await table.text('root.transcript')).includes(`"left":"${left}"`))
    assert.ok(!(await readdir(table.dir)).includes('root.pem'))
  })
}

it('a root that is no demonstration is not answered for by a file', async (t) => {
  const { table, clock } = await ceremonyScene(t)
  const content = table.rootFile({ demo: false, keyLabel: 'root-2026', tool: await OFFLINE.tool() })
  const file = join(table.dir, 'real.json')
  await writeFile(file, JSON.stringify(content))
  const operator = new ScriptedOperator([], quiet)
  const approvals = approvedBy(content, table.officers.slice(0, 2), clock.now())
  const run = { file, local: table.local, approvals, clock, surroundings: OFFLINE, operator }
  await assert.rejects(runCeremony(run), { ...UNCONFIRMED, message: /only a demonstration/ })
})

for (const [what, answers] of Object.entries({
  'a missing answer': ['words', 'present', 'make-key'],
  'one answer too many': ['words', 'present', 'make-key', 'sign', 'sign'],
  'an answer in another place': ['present', 'words', 'make-key', 'sign'],
  'an answer to something else': ['words', 'present', 'make-key', 'destroy-key'],
})) {
  it(`an answers file with ${what} carries nothing`, async (t) => {
    const { table, clock } = await ceremonyScene(t)
    const content = table.rootFile()
    const file = join(table.dir, 'demo.json')
    await writeFile(file, JSON.stringify(content))
    const operator = new ScriptedOperator(
      answers.map((ask) => ({ ask, answer: 'yes' })),
      quiet,
    )
    const approvals = approvedBy(content, table.officers.slice(0, 2), clock.now())
    const run = { file, local: table.local, approvals, clock, surroundings: OFFLINE, operator }
    await assert.rejects(runCeremony(run), { ...UNCONFIRMED, message: /the answers file answers/ })
    assert.ok(!(await readdir(table.dir)).includes('root-keys'))
  })
}
