// What people are shown before they decide: the plan of a ceremony, and digests in hex and in words.
import { hex } from './certify.ts'
import { day, printOf } from './describe.ts'
import { inputsOf } from './file.ts'
import type { Prepared } from './prepare.ts'
import { wordsOf } from './words.ts'

/** What a ceremony file says, for those who decide on it: the plan, and digests in hex and in words. */
export function describe({ reviewed, work, root }: Prepared): string[] {
  const { ceremony, canonical, name } = reviewed
  return [
    `ceremony "${ceremony.type}" of ${ceremony.trustDomain}, asked for by ${ceremony.requester}${ceremony.demo ? ' (a demonstration)' : ''}`,
    `to be held from ${day(ceremony.window.from)} until ${day(ceremony.window.until)}`,
    root === undefined ? 'under a root of its own' : `under the root ${printOf(root)}`,
    ...work.plan.map((line) => `  - ${line}`),
    ...inputsOf(ceremony).map(({ file, sha256 }) => `reads ${file}: ${sha256}`),
    `writes ${Object.values(ceremony.outputs).join(', ')}`,
    ...(ceremony.type === 'ladder' ? digestLines(ceremony.request.file, ceremony.request.sha256) : []),
    ...(ceremony.tool === null
      ? ['by any program']
      : digestLines('the program that the file names', ceremony.tool)),
    ...digestLines(name, hex(canonical)),
  ]
}

export function digestLines(what: string, sha256: string): string[] {
  const words = wordsOf(Buffer.from(sha256, 'hex'))
  const rows = [0, 8, 16, 24].map((at) => `  ${words.slice(at, at + 8).join(' ')}`)
  return [`SHA-256 of ${what}: ${sha256}`, ...rows]
}
