// Writes docs/errors.md from the one table of codes; a test fails while the two differ.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ERROR_CODES } from '#shared/errors/codes.ts'

/** The whole text of docs/errors.md. */
export function errorsDoc(): string {
  const lines = [
    '# Error codes',
    '',
    'A code is stable and public; the message beside it may change. `exit` is the exit status of `ztctl` for verbs',
    "that run no process of their own: `run` and `logs -f` answer 125 instead, so that 1 to 9 stay the process's own.",
    '',
    'This page is written by `make errors-doc` from `shared/errors/codes.ts`, and a test holds it to that.',
  ]
  let section = ''
  for (const [code, entry] of ERROR_CODES) {
    if (entry.section !== section) {
      section = entry.section
      lines.push(
        '',
        `## ${section}`,
        '',
        '| code | exit | what it means | what to do |',
        '| --- | --- | --- | --- |',
      )
    }
    lines.push(`| \`${code}\` | ${entry.exit} | ${entry.summary} | ${entry.remedy} |`)
  }
  return `${lines.join('\n')}\n`
}

if (import.meta.main) writeFileSync(join(import.meta.dirname, '..', '..', 'docs', 'errors.md'), errorsDoc())
