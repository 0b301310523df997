// What people are shown before they decide: the plan of a ceremony, and digests in hex and in words.
import { hex } from './certify.ts'
import { day } from './describe.ts'
import { inputsOf } from './file.ts'
import type { Reviewed } from './prepare.ts'
import { wordsOf } from './words.ts'

/** What a ceremony file says, for those who decide on it: the plan, and the digest in hex and in words. */
export function describe({ ceremony, canonical, name }: Reviewed, plan: readonly string[]): string[] {
  return [
    `ceremony "${ceremony.type}" of ${ceremony.trustDomain}, asked for by ${ceremony.requester}${ceremony.demo ? ' (a demonstration)' : ''}`,
    `to be held from ${day(ceremony.window.from)} until ${day(ceremony.window.until)}`,
    ...plan.map((line) => `  - ${line}`),
    ...inputsOf(ceremony).map(({ file, sha256 }) => `reads ${file}: ${sha256}`),
    `writes ${Object.values(ceremony.outputs).join(', ')}`,
    ...(ceremony.type === 'ladder' ? digestLines(ceremony.request.file, ceremony.request.sha256) : []),
    ...digestLines(name, hex(canonical)),
  ]
}

export function digestLines(what: string, sha256: string): string[] {
  const words = wordsOf(Buffer.from(sha256, 'hex'))
  const rows = [0, 8, 16, 24].map((at) => `  ${words.slice(at, at + 8).join(' ')}`)
  return [`SHA-256 of ${what}: ${sha256}`, ...rows]
}
