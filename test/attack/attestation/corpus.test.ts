// The committed corpus of forged evidence, byte by byte: each attack of the threat model is there, and the hub's admission refuses
// each with the code that its file names.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { AdmissionChallenge } from '#hub/admission/attestor.ts'
import { Challenges } from '#hub/admission/challenges.ts'
import { isZtError } from '#shared/errors/error.ts'
import { verifyCsr } from '#shared/x509/csr.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { ATTACKS, caseText, parseCase, type AttackCase } from '#test/support/attestation/case.ts'
import { Judge } from '#test/support/attestation/judge.ts'
import { transcriptOf } from '#test/support/attestation/requests.ts'

const FOLDER = join(import.meta.dirname, 'corpus')
const CASES: readonly AttackCase[] = readdirSync(FOLDER).map((file) => {
  const one = parseCase(readFileSync(join(FOLDER, file)))
  assert.equal(file, `${one.name}.json`)
  return one
})

describe('the corpus of forged evidence', () => {
  const undo: (() => Promise<void>)[] = []
  let judge: Judge
  before(async () => {
    const now = CASES[0]?.known.now ?? 0
    judge = await Judge.open({ after: (action) => void undo.unshift(action) }, now)
  })
  after(async () => {
    for (const step of undo) await step()
  })

  for (const one of CASES)
    it(`${one.expect === 'accept' ? 'accepts' : 'refuses'} ${one.name}: ${one.what}`, async () => {
      assert.equal(await judge.answer(one), one.expect)
    })

  const parsed = CASES.filter(({ ztmesh }) => ztmesh.behind !== undefined)
  for (const one of parsed)
    it(`refuses ${one.name} behind the parser of the request too`, async () => {
      assert.equal(one.expect, 'ZT-422-SCHEMA')
      assert.equal(await judge.answerBehind(one), one.ztmesh.behind)
    })

  it('leaves nothing to the parser of the request alone', () => {
    assert.deepEqual(
      CASES.filter(({ expect }) => expect === 'ZT-422-SCHEMA').map(({ name }) => name),
      parsed.map(({ name }) => name),
    )
  })

  for (const attack of ATTACKS)
    it(`has ${attack}, and it is refused`, () => {
      const made = CASES.filter((one) => one.attack === attack)
      assert.ok(made.length > 0 && made.every(({ expect }) => expect !== 'accept'))
    })

  it('has evidence that must be accepted, of every kind of endorsement key', () => {
    const genuine = CASES.filter(({ attack }) => attack === 'none')
    assert.ok(genuine.length >= 8)
    assert.ok(genuine.every(({ expect }) => expect === 'accept'))
    for (const kind of ['rsa-2048', 'ecc-p256', 'ecc-p384'])
      assert.ok(genuine.some(({ name }) => name === `genuine-join-${kind}`))
  })

  it('has challenges as a hub gives them for what it hears', async () => {
    let compared = 0
    for (const one of CASES) {
      const now = await judge.sealedFor(one).catch(requireRefusal)
      // A hello that is refused gets no challenge: its file has one that was given for the genuine hello.
      if (now === undefined) continue
      assert.deepEqual(withoutChance(await sealedIn(one)), withoutChance(now), one.name)
      compared += 1
    }
    assert.ok(compared > CASES.length / 2)
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

function requireRefusal(error: unknown): undefined {
  if (!isZtError(error)) throw error
}

/** What the session of the file has sealed in it. */
function sealedIn({ challenge, ztmesh }: AttackCase): Promise<AdmissionChallenge> {
  const clock = new ManualClock(challenge.expires - 1)
  const challenges = new Challenges<AdmissionChallenge>(clock, { key: ztmesh.sessionKey })
  return challenges.use(challenge.session, async ({ about }) => {
    assert.equal(about.nonce, challenge.nonce)
    return about
  })
}

/** Nonce and secret are drawn for each challenge. */
function withoutChance({ nonce: _nonce, claim, ...about }: AdmissionChallenge): object {
  return { ...about, claim: { ...claim, secret: '' } }
}
