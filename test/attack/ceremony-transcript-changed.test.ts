// A transcript, or what it stands for, is changed after the ceremony: whoever goes over it finds the line.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { encodeOfficers } from '#pki/ceremony/officers-file.ts'
import { verifyCeremony } from '#pki/ceremony/verify.ts'
import type { TranscriptBody } from '#shared/protocol/ceremony-transcript.ts'
import { rootFingerprint } from '#shared/x509/bundle.ts'
import { ObligingOperator } from '#test/fakes/obliging-operator.ts'
import { makeOfficer, type CeremonyTable } from '#test/support/ceremony.ts'
import {
  approvedBy,
  bend,
  ceremonyScene,
  certificateIn,
  climbed,
  reviewed,
} from '#test/support/ceremony-scene.ts'
import { rewrite, withFact, type Rewriting } from '#test/support/ceremony-transcripts.ts'

const LATER = '2027-06-01T00:00:00.000Z'

async function held(t: TestContext): Promise<{ table: CeremonyTable; transcript: string }> {
  const { table } = await climbed(t)
  return { table, transcript: join(table.dir, 'ladder.transcript') }
}

function lastOf(lines: readonly TranscriptBody[]): TranscriptBody {
  const last = lines.at(-1)
  assert.ok(last !== undefined)
  return last
}

describe('a transcript that was changed', () => {
  it('is found out as it is', async (t) => {
    const { table, transcript } = await held(t)
    const { summary, found } = await verifyCeremony({ transcript })
    assert.equal(summary.outcome, 'done')
    assert.equal(found.length, 6)
    // Anybody's root verifies for itself: the fingerprint is what people compare.
    const root = rootFingerprint(await certificateIn(table, 'root.pem'))
    assert.ok(found.includes(`root: ${root}`))
  })

  it('does not verify if one octet differs', async (t) => {
    const { transcript } = await held(t)
    await bend(transcript, '"names":"rita', '"names":"rira')
    await assert.rejects(verifyCeremony({ transcript }), { code: 'ZT-422-CEREMONY', details: { line: 5 } })
  })

  it('does not verify if it was bound anew, as nobody signed that', async (t) => {
    const { table, transcript } = await held(t)
    const sigs = await readFile(`${transcript}.sigs`)
    await rewrite(table, transcript, withFact('present', { names: 'nobody, at all' }))
    await writeFile(`${transcript}.sigs`, sigs)
    await assert.rejects(verifyCeremony({ transcript }), { code: 'ZT-403-QUORUM' })
  })

  it('does not verify if its end was cut off', async (t) => {
    const { transcript } = await held(t)
    const text = await readFile(transcript, 'utf8')
    await writeFile(transcript, text.split('\n').slice(0, -3).join('\n') + '\n')
    await assert.rejects(verifyCeremony({ transcript }), { code: 'ZT-422-CEREMONY', message: /no end/ })
  })

  const lies: Record<string, [Rewriting, object]> = {
    'names another certificate': [
      withFact('signed', { certificate: '0'.repeat(64) }),
      { code: 'ZT-422-CEREMONY', message: /line 9 says another "certificate"/ },
    ],
    'names another output': [
      withFact('wrote', { sha256: '0'.repeat(64) }),
      { code: 'ZT-422-CEREMONY', message: /says another "sha256"/ },
    ],
    'leaves a signature out': [
      (lines) => lines.filter((line) => line.facts['what'] !== 'infra 0'),
      { code: 'ZT-422-CEREMONY', message: /transcript line 10 / },
    ],
    'tells of one more signature': [
      (lines) => lines.toSpliced(-1, 0, ...lines.filter(({ step }) => step === 'signed').slice(0, 1)),
      { code: 'ZT-422-CEREMONY' },
    ],
    'leaves an approval out': [
      (lines) => lines.filter((line) => line.facts['officer'] !== 'omar'),
      { code: 'ZT-403-QUORUM' },
    ],
    'follows another ceremony': [
      withFact('ceremony', { previous: 'B'.repeat(43) }),
      { code: 'ZT-422-CEREMONY', details: { line: 0 } },
    ],
    'was no demonstration': [
      withFact('ceremony', { demo: 'false' }),
      { code: 'ZT-422-CEREMONY', details: { line: 0 } },
    ],
    'was held with a network': [
      withFact('environment', { interfaces: 'eth0' }),
      { code: 'ZT-422-CEREMONY', details: { line: 1 } },
    ],
    'was held after its window': [
      (lines) => withFact('ceremony', { checkedAt: LATER })(lines.map((line) => ({ ...line, at: LATER }))),
      { code: 'ZT-408-STALE' },
    ],
    'was looked at on no day': [
      withFact('ceremony', { checkedAt: '2026-13-01T00:00:00.000Z' }),
      { code: 'ZT-422-CEREMONY', details: { line: 0 } },
    ],
    'was looked at after it began': [
      withFact('ceremony', { checkedAt: '2026-11-22T00:00:01.000Z' }),
      { code: 'ZT-422-CEREMONY', details: { line: 0 } },
    ],
    'ended a week before it began': [
      (lines) => lines.with(-1, { ...lastOf(lines), at: '2026-11-13T12:00:00.000Z' }),
      { code: 'ZT-422-CEREMONY', message: /transcript line \d+ is dated before the line before it/ },
    ],
    'was held with another bundle in force': [
      withFact('ceremony', { bundle: '0'.repeat(64) }),
      { code: 'ZT-422-CEREMONY', details: { line: 0 } },
    ],
    'was confirmed with other words': [
      withFact('confirmed', { answer: 'sign 400' }),
      { code: 'ZT-422-CEREMONY', message: /"answer"/ },
    ],
  }
  for (const [what, [change, refusal]] of Object.entries(lies)) {
    it(`does not verify if it ${what}, though all officers signed that`, async (t) => {
      const { table, transcript } = await held(t)
      await rewrite(table, transcript, change)
      await assert.rejects(verifyCeremony({ transcript }), refusal)
    })
  }
})

describe('a transcript of a ceremony that failed', () => {
  /** The ceremony stopped where "sign" was asked, or where its outputs were written. */
  async function failed(
    t: TestContext,
    at: 'sign' | 'wrote',
  ): Promise<{ table: CeremonyTable; transcript: string }> {
    const { table } = await ceremonyScene(t)
    const file = table.rootFile()
    const operator = new ObligingOperator(
      reviewed(file),
      (line) => {
        // Somebody puts a file where the second output goes.
        if (at === 'wrote' && line.startsWith('  wrote')) writeFileSync(join(table.dir, 'bundle.jws'), '')
      },
      at === 'sign' ? { sign: 'no' } : {},
    )
    await assert.rejects(table.run(file, { operator }))
    return { table, transcript: join(table.dir, 'root.transcript') }
  }

  it('verifies as it is, wherever it stopped', async (t) => {
    for (const at of ['sign', 'wrote'] as const) {
      const { transcript } = await failed(t, at)
      const { summary } = await verifyCeremony({ transcript })
      assert.equal(summary.outcome, 'failed')
    }
  })

  const invented: TranscriptBody = { seq: 0, prev: '', at: '', step: 'opened key store', facts: {} }
  const lies: Record<string, ['sign' | 'wrote', Rewriting, object]> = {
    'says that less is left': [
      'sign',
      withFact('failed', { left: 'nothing was made, signed or written' }),
      { message: /says another "left"/ },
    ],
    'has a code that is none': ['sign', withFact('failed', { code: 'all is well' }), { message: /"code"/ }],
    'tells of what did not happen': [
      'sign',
      (lines) => lines.toSpliced(-1, 0, { ...invented, at: lastOf(lines).at }),
      { message: /is not/ },
    ],
    'leaves a step out': [
      'sign',
      (lines) => lines.filter(({ step }) => step !== 'opened key store'),
      { message: /is not "opened key store"/ },
    ],
    'made another key': ['sign', withFact('made key', { label: 'demo-none' }), { message: /"label"/ }],
    'was held with a network': [
      'sign',
      withFact('environment', { interfaces: 'eth0' }),
      { message: /"interfaces"/ },
    ],
    'names another quorum': ['sign', withFact('quorum', { threshold: '1' }), { message: /"threshold"/ }],
    'wrote another file': ['wrote', withFact('wrote', { file: 'passwd' }), { message: /"file"/ }],
    'wrote something else': ['wrote', withFact('wrote', { sha256: '0'.repeat(64) }), { message: /"sha256"/ }],
  }
  for (const [what, [at, change, refusal]] of Object.entries(lies)) {
    it(`does not verify if it ${what}, though all officers signed that`, async (t) => {
      const { table, transcript } = await failed(t, at)
      await rewrite(table, transcript, change)
      await assert.rejects(verifyCeremony({ transcript }), { code: 'ZT-422-CEREMONY', ...refusal })
    })
  }
})

describe('a folder that was changed', () => {
  it('does not verify with another response, or with none', async (t) => {
    const { table, transcript } = await held(t)
    const file = join(table.dir, 'ladder.json')
    await writeFile(file, `${await table.text('ladder.json')}\n`)
    await assert.rejects(verifyCeremony({ transcript }), { code: 'ZT-422-CEREMONY' })
    await rm(file)
    await assert.rejects(verifyCeremony({ transcript }), { code: 'ZT-422-CEREMONY', message: /is missing/ })
  })

  it('does not verify with another ceremony file', async (t) => {
    const { table, transcript } = await held(t)
    await bend(join(table.dir, 'ceremony-2.json'), '"requester":"rita"', '"requester":"rosa"')
    await assert.rejects(verifyCeremony({ transcript }), { code: 'ZT-422-CEREMONY', details: { line: 0 } })
  })
})

describe('a verifier who knows more', () => {
  it('is not content with another root, other officers or another history', async (t) => {
    const { table, transcript } = await held(t)
    const root = rootFingerprint(await certificateIn(table, 'root.pem'))
    const officers = join(table.dir, 'officers.json')
    const previous = join(table.dir, 'root.transcript')
    await verifyCeremony({ transcript, root, officers, previous })
    await assert.rejects(verifyCeremony({ transcript, root: '0'.repeat(64) }), { code: 'ZT-422-CEREMONY' })
    await assert.rejects(verifyCeremony({ transcript, previous: transcript }), { code: 'ZT-422-CEREMONY' })
    const others = ['nina', 'noor', 'nils'].map(makeOfficer)
    const quorum = { threshold: 2, emergency: 3, officers: others.map(({ vkey }) => vkey) }
    const theirs = table.rootFile({ quorum })
    const forged = join(table.dir, 'theirs.json')
    await writeFile(forged, encodeOfficers(reviewed(theirs), approvedBy(theirs, others, table.clock.now())))
    await assert.rejects(verifyCeremony({ transcript, officers: forged }), { code: 'ZT-403-QUORUM' })
  })
})
