// How the conformance suite names its tests: by the item of the checklist in docs/spiffe.md, and by whether the clause
// lets something through or keeps it out. coverage.test.ts counts both.
import { it, type TestContext } from 'node:test'

type Run = (t: TestContext) => void | Promise<void>

/** What the item of that number lets through. */
export function accepts(item: number, claim: string, run: Run): void {
  it(`item ${item}: ${claim}`, run)
}

/** What the item of that number keeps out. */
export function refuses(item: number, claim: string, run: Run): void {
  it(`item ${item} refuses ${claim}`, run)
}
