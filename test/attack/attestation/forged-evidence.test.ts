// Every attack of the corpus, made afresh against real (software) TPMs and refused with its own code: what the committed corpus
// says cannot fall behind what TPMs and our hub do.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { allCases } from '#test/support/attestation/attacks/all.ts'
import { caseText, parseCase, type Answer } from '#test/support/attestation/case.ts'
import { Judge } from '#test/support/attestation/judge.ts'
import { startRig } from '#test/support/attestation/rig.ts'

describe('evidence made just now', () => {
  it('is accepted where it is genuine, and refused with its code where it is forged', async (test) => {
    const rig = await startRig(test)
    const cases = await allCases(rig)
    const names = cases.map(({ name }) => name)
    assert.equal(new Set(names).size, names.length)
    const judge = await Judge.open(test, rig.now)
    const answers: [string, Answer][] = []
    for (const one of cases)
      answers.push([one.name, await judge.answer(parseCase(Buffer.from(caseText(one))))])
    const expected = cases.map(({ name, expect }) => [name, expect])
    assert.deepEqual(answers, expected)
  })
})
