// The verifier of TPM evidence takes bytes from strangers: whatever they are, it answers with a verdict or with one of its codes, and
// it never accepts evidence that differs from what a TPM made.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { readEkCertificate, withoutNvPadding } from '#hub/attestation/ek-certificate.ts'
import { replayEventLog } from '#hub/attestation/event-log.ts'
import { verifyAk } from '#hub/attestation/attestation-key.ts'
import type { ErrorCode } from '#shared/errors/codes.ts'
import { parseCase, type AttackCase } from '#test/support/attestation/case.ts'
import { Judge } from '#test/support/attestation/judge.ts'
import { bootLog } from '#test/support/attestation/measured-boot.ts'
import { refusalOr, RUNS } from '#test/support/fuzz.ts'

const CORPUS = join(import.meta.dirname, '..', 'attack', 'attestation', 'corpus')
const corpus = (name: string): AttackCase => parseCase(readFileSync(join(CORPUS, `${name}.json`)))

const GENUINE = [
  'join-rsa-2048',
  'join-ecc-p256',
  'join-ecc-p384',
  'renewal',
  'renewal-rsa-ak',
  'tpm-resident-key',
  'event-log',
]
const CASES = GENUINE.map((name) => corpus(`genuine-${name}`))

type Path = readonly (string | number)[]

/** Where in evidence its byte strings are. */
function bytePaths(value: unknown, path: Path = []): readonly Path[] {
  if (value instanceof Uint8Array) return [path]
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, member]) => bytePaths(member, [...path, key]))
}

function changedAt(value: unknown, [key, ...rest]: Path, change: (bytes: Uint8Array) => Uint8Array): unknown {
  if (key === undefined) return change(value as Uint8Array)
  const copy = Array.isArray(value) ? [...(value as unknown[])] : { ...(value as object) }
  const members = copy as Record<string | number, unknown>
  members[key] = changedAt(members[key], rest, change)
  return copy
}

/** Bytes that began as good ones: changed, cut, doubled or grown somewhere. */
const edit: fc.Arbitrary<(bytes: Uint8Array) => Uint8Array> = fc
  .record({
    kind: fc.constantFrom('set', 'flip', 'insert', 'delete', 'copy', 'cut', 'replace'),
    at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    value: fc.integer({ min: 0, max: 255 }),
    instead: fc.uint8Array({ maxLength: 80 }),
  })
  .map(({ kind, at, value, instead }) => (good) => {
    const bytes = Buffer.from(good)
    const offset = Math.floor(at * bytes.length)
    const [head, tail] = [bytes.subarray(0, offset), bytes.subarray(offset)]
    const pieces = {
      set: [head, Buffer.of(value), tail.subarray(1)],
      flip: [head, Buffer.of((bytes[offset] ?? 0) ^ (1 << (value & 7))), tail.subarray(1)],
      insert: [head, Buffer.of(value), tail],
      delete: [head, tail.subarray(1)],
      copy: [head, tail.subarray(0, value & 15), tail],
      cut: [head],
      replace: [instead],
    }[kind]
    return new Uint8Array(Buffer.concat(pieces))
  })

const anyBytes = fc.oneof(
  fc.uint8Array({ maxLength: 600 }),
  fc.uint8Array({ minLength: 1000, maxLength: 9000 }),
)

describe('a verdict on evidence', () => {
  it('is one of our codes, whatever byte of it was changed, and never that it is genuine', async (test) => {
    const judge = await Judge.open(test, CASES[0]?.known.now ?? 0)
    const place = fc.record({ at: fc.nat(), which: fc.nat(), change: edit })
    await fc.assert(
      fc.asyncProperty(place, async ({ at, which, change }) => {
        const one = CASES[which % CASES.length]
        assert.ok(one)
        const paths = bytePaths(one.evidence)
        const path = paths[at % paths.length] ?? []
        let same = false
        const evidence = changedAt(one.evidence, path, (bytes) => {
          const changed = change(bytes)
          same = Buffer.compare(changed, bytes) === 0
          return changed
        }) as AttackCase['evidence']
        // Behind the parser of the request, which would keep the longest from the verifier. What is no ZtError is thrown.
        const verdict = await judge.answerBehind({ ...one, evidence })
        if (same) assert.equal(verdict, 'accept')
        else if (verdict === 'accept') assert.ok(isHarmless(path, one, evidence), path.join('.'))
      }),
      RUNS,
    )
  })
})

/**
 * Two changes change nothing: what is not looked at (a log that the policy ignores), and an NV index that is longer by
 * erased bytes. The words of an event log are not proved either, as long as its digests and rules hold.
 */
function isHarmless(path: Path, before: AttackCase, after: AttackCase['evidence']): boolean {
  if (path[0] === 'eventLog') return true
  if (path[0] !== 'endorsement') return false
  const cut = ({ endorsement }: AttackCase['evidence']): string =>
    Buffer.from(withoutNvPadding(endorsement?.certificates[0] ?? new Uint8Array())).toString('hex')
  return cut(before.evidence) === cut(after)
}

const outcome = <T>(read: () => T, ...codes: ErrorCode[]): T | ErrorCode => refusalOr(read, codes)

describe('a parser of the verifier', () => {
  it('refuses arbitrary bytes with its own code', () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        assert.equal(
          outcome(() => readEkCertificate(bytes), 'ZT-422-CERT'),
          'ZT-422-CERT',
        )
        outcome(() => withoutNvPadding(bytes), 'ZT-422-CERT')
        outcome(() => verifyAk({ public: bytes }), 'ZT-422-TPM', 'ZT-413-SIZE', 'ZT-401-TPM-AK')
        outcome(() => replayEventLog(bytes, { bank: 'sha256', pcrs: {} }), 'ZT-401-TPM-EVENTLOG')
      }),
      RUNS,
    )
  })

  it('reads an event log that was changed, or refuses it', () => {
    const good = bootLog()
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 3 }), (edits) => {
        const bytes = edits.reduce((log, change) => change(log), good)
        outcome(
          () => replayEventLog(bytes, { bank: 'sha256', pcrs: { 0: '', 7: '' } }),
          'ZT-401-TPM-EVENTLOG',
        )
      }),
      RUNS,
    )
  })

  it('reads a certificate that was changed, or refuses it', () => {
    const good = corpus('genuine-join-rsa-2048').evidence.endorsement?.certificates[0] ?? new Uint8Array()
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 3 }), (edits) => {
        outcome(() => readEkCertificate(edits.reduce((der, change) => change(der), good)), 'ZT-422-CERT')
      }),
      RUNS,
    )
  })
})
