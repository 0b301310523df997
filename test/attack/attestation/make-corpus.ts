// Writes the corpus of forged evidence anew: two software TPMs are manufactured, and every case is made with them.
// Run by hand, and the result committed: `node test/attack/attestation/make-corpus.ts`. README.md has the format.
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { allCases } from '#test/support/attestation/attacks/all.ts'
import { caseText, parseCase } from '#test/support/attestation/case.ts'
import { Judge } from '#test/support/attestation/judge.ts'
import { startRig } from '#test/support/attestation/rig.ts'

const FOLDER = join(import.meta.dirname, 'corpus')

const cleanups: (() => Promise<void>)[] = []
const scope = { after: (action: () => Promise<void>) => void cleanups.unshift(action) }
try {
  const rig = await startRig(scope)
  const judge = await Judge.open(scope, rig.now)
  const cases = await allCases(rig)
  const written = cases.map((one) => parseCase(Buffer.from(caseText(one))))
  for (const one of written) {
    const answer = await judge.answer(one)
    if (answer !== one.expect) throw new Error(`${one.name} is answered with ${answer}, not ${one.expect}`)
  }
  await mkdir(FOLDER, { recursive: true })
  // A crash here leaves a corpus that lacks cases, which its test refuses; running this again makes it whole.
  for (const old of await readdir(FOLDER)) await rm(join(FOLDER, old))
  for (const one of written) await writeFile(join(FOLDER, `${one.name}.json`), caseText(one), { flag: 'wx' })
  process.stdout.write(`${written.length} cases written\n`)
} finally {
  for (const cleanup of cleanups) await cleanup()
}
