// What ceremonies read, changed in one place or made up: refused with a code of its own, or what it was.
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import fc from 'fast-check'
import { requireQuorum } from '#pki/ceremony/approval.ts'
import { parseCeremony } from '#pki/ceremony/file.ts'
import { encodeOfficers, openOfficers } from '#pki/ceremony/officers-file.ts'
import { requireSigned, signHead } from '#pki/ceremony/signatures.ts'
import { canonicalJson } from '#shared/encoding/canonical-json.ts'
import { summarizeTranscript, verifyTranscript } from '#shared/protocol/ceremony-transcript.ts'
import type { Certificate } from '#shared/x509/certificate.ts'
import { CeremonyTable } from '#test/support/ceremony.ts'
import { approvedBy, certificateIn, reviewed } from '#test/support/ceremony-scene.ts'
import { change, changed, edit, refusalOr, RUNS, strictJson } from '#test/support/fuzz.ts'
import { tempDir } from '#test/support/temp-dir.ts'

let table: CeremonyTable
let root: Certificate
let files: Record<string, unknown>[]
let transcript: string

before(async () => {
  table = await CeremonyTable.lay(await tempDir({ after }))
  await table.run(table.rootFile())
  root = await certificateIn(table, 'root.pem')
  transcript = await table.text('root.transcript')
  const retire = { root: await table.input('root.pem') }
  files = [
    table.rootFile(),
    await table.bundleFile(),
    await table.rotateFile(),
    await table.destroyFile(),
    await table.revokeFile(['root.pem']),
    await table.officersFile(table.quorum()),
    { ...(await table.later()), ...retire, type: 'ladder' },
  ]
})

const parse = (value: unknown): unknown =>
  refusalOr(() => parseCeremony(Buffer.from(JSON.stringify(value))), ['ZT-422-CEREMONY'])

describe('ceremony file', () => {
  it('is refused, or has the digest of what it says', () => {
    fc.assert(
      fc.property(fc.nat({ max: 6 }), change, (at, how) => {
        const tree = changed(files[at], how)
        const read = parse(tree)
        if (typeof read === 'string') return
        assert.equal(
          Buffer.from((read as { canonical: Uint8Array }).canonical).toString(),
          canonicalJson(tree),
        )
      }),
      RUNS,
    )
  })

  it('is no arbitrary json', () => {
    fc.assert(
      fc.property(strictJson, (value) => assert.equal(parse(value), 'ZT-422-CEREMONY')),
      RUNS,
    )
  })
})

describe('proof of the officers', () => {
  it('names the same quorum after any change, or none', () => {
    const file = reviewed(table.rootFile())
    const text = Buffer.from(
      encodeOfficers(file, approvedBy(table.rootFile(), table.officers.slice(0, 2), table.clock.now())),
    ).toString()
    const codes = ['ZT-422-CEREMONY', 'ZT-403-QUORUM'] as const
    fc.assert(
      fc.property(edit, (change) => {
        const read = refusalOr(() => openOfficers(Buffer.from(change(text)), root), codes)
        if (typeof read !== 'string') assert.deepEqual(read.inForce, table.quorum())
      }),
      RUNS,
    )
  })
})

describe('approval and signatures', () => {
  it('count for nothing after any change but one that leaves them as they were', () => {
    const content = table.rootFile()
    const notes = approvedBy(content, table.officers.slice(0, 2), table.clock.now())
    const context = { quorum: table.quorum(), now: table.clock.now() }
    fc.assert(
      fc.property(edit, (change) => {
        const bent = [change(notes[0] ?? ''), notes[1] ?? '']
        const read = refusalOr(() => requireQuorum(reviewed(content), bent, context), ['ZT-403-QUORUM'])
        if (typeof read !== 'string')
          assert.deepEqual(
            read.map(({ officer }) => officer),
            ['olga', 'omar'],
          )
      }),
      RUNS,
    )
  })

  it('under a transcript are of its head or refused', () => {
    const summary = summarizeTranscript(verifyTranscript(transcript))
    const note = signHead(summary, table.officers.slice(0, 2))
    const context = { quorum: table.quorum(), needed: 2, approvers: ['olga', 'omar'] }
    fc.assert(
      fc.property(edit, (change) => {
        const read = refusalOr(() => requireSigned(change(note), summary, context), ['ZT-403-QUORUM'])
        if (typeof read !== 'string') assert.deepEqual(read, ['olga', 'omar'])
      }),
      RUNS,
    )
  })
})

describe('transcript', () => {
  it('is refused after any change, and the line is named', () => {
    fc.assert(
      fc.property(edit, (change) => {
        const bent = change(transcript)
        const read = refusalOr(() => {
          const lines = verifyTranscript(bent)
          summarizeTranscript(lines)
          return lines
        }, ['ZT-422-CEREMONY'])
        // Whole lines at the end can be doubled by nobody and cut by anybody: the end of the ceremony is then missing.
        if (typeof read !== 'string') assert.equal(bent, transcript)
      }),
      RUNS,
    )
  })
})
