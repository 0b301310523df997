// Transcripts as somebody writes them who has the program: lines changed or made up, and bound to each other anew.
import { readFile, writeFile } from 'node:fs/promises'
import { signHead } from '#pki/ceremony/signatures.ts'
import { canonicalJson } from '#shared/encoding/canonical-json.ts'
import {
  lineHash,
  summarizeTranscript,
  verifyTranscript,
  type TranscriptBody,
  type TranscriptLine,
} from '#shared/protocol/ceremony-transcript.ts'
import type { CeremonyTable } from './ceremony.ts'

export type Rewriting = (lines: TranscriptBody[]) => TranscriptBody[]

/** Numbers, binds and hashes these lines, whatever they said of that. */
export function bound(bodies: readonly TranscriptBody[]): TranscriptLine[] {
  let last = 'A'.repeat(43)
  return bodies.map((body, seq) => {
    const next = { ...body, seq, prev: last }
    last = lineHash(next)
    return { ...next, hash: last }
  })
}

/** Changes the lines of a file and binds the rest anew; all officers sign it, too. */
export async function rewrite(table: CeremonyTable, file: string, change: Rewriting): Promise<void> {
  const read = verifyTranscript(await readFile(file, 'utf8'))
  const lines = bound(change(read.map(({ seq, prev, at, step, facts }) => ({ seq, prev, at, step, facts }))))
  await writeFile(file, lines.map((line) => `${canonicalJson(line)}\n`).join(''))
  await writeFile(`${file}.sigs`, signHead(summarizeTranscript(lines), table.officers))
}

/** Changes facts of the first line of that step. */
export function withFact(step: string, facts: Readonly<Record<string, string>>): Rewriting {
  return (lines) => {
    const at = lines.findIndex((line) => line.step === step)
    return lines.map((line, seq) => (seq === at ? { ...line, facts: { ...line.facts, ...facts } } : line))
  }
}
