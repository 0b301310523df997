// The committed corpus of forged evidence, byte by byte: each attack of the threat model is there, and each is refused with
// the code that its file names.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { ATTACKS, caseText, parseCase, type AttackCase } from '#test/support/attestation/case.ts'
import { judge, transcriptOf } from '#test/support/attestation/judge.ts'
import { verifyCsr } from '#shared/x509/csr.ts'

const FOLDER = join(import.meta.dirname, 'corpus')
const CASES: readonly AttackCase[] = readdirSync(FOLDER).map((file) => {
  const one = parseCase(readFileSync(join(FOLDER, file)))
  assert.equal(file, `${one.name}.json`)
  return one
})

describe('the corpus of forged evidence', () => {
  for (const one of CASES)
    it(`${one.expect === 'accept' ? 'accepts' : 'refuses'} ${one.name}: ${one.what}`, () => {
      assert.equal(judge(one), one.expect)
    })

  // What a hub remembers decides these, and here a rule of the runner does: test/attack/tpm-*.test.ts ask a hub.
  const remembered = ['A16', 'A17', 'A22']
  for (const attack of ATTACKS)
    it(`has ${attack}${remembered.includes(attack) ? ', as a file alone' : ''}`, () => {
      assert.ok(CASES.some((one) => one.attack === attack))
    })

  it('has evidence that must be accepted, of every kind of endorsement key', () => {
    const genuine = CASES.filter(({ attack }) => attack === 'none')
    assert.ok(genuine.length >= 8)
    assert.ok(genuine.every(({ expect }) => expect === 'accept'))
    for (const kind of ['rsa-2048', 'ecc-p256', 'ecc-p384'])
      assert.ok(genuine.some(({ name }) => name === `genuine-join-${kind}`))
  })

  it('says rightly what the attestations must be bound to, unless that is the attack', () => {
    for (const { name, evidence, challenge } of CASES) {
      if (
        evidence.csr === undefined ||
        ['a13-for-another-key', 'a23-request-without-possession'].includes(name)
      )
        continue
      const transcript = transcriptOf(challenge, verifyCsr(evidence.csr).spki)
      assert.equal(Buffer.from(transcript).toString('hex'), challenge.extraData, name)
    }
  })

  it('is written in its one form', () => {
    for (const one of CASES) {
      assert.equal(caseText(one), readFileSync(join(FOLDER, `${one.name}.json`), 'utf8'), one.name)
    }
  })

  it('refuses a file whose expectation it does not know', () => {
    const [one] = CASES
    assert.ok(one)
    const text = caseText(one).replace(`"expect": "${one.expect}"`, '"expect": "refuse"')
    assert.throws(() => parseCase(Buffer.from(text)), { code: 'ZT-422-SCHEMA' })
  })
})
