// How many cases a property is tried with, and hostile bytes, texts and JSON to try it with.
import fc from 'fast-check'
import { isZtError } from '#shared/errors/error.ts'
import type { ErrorCode } from '#shared/errors/codes.ts'

/** 300, or what `make test-slow` sets. */
export const RUNS: { readonly numRuns: number } = { numRuns: Number(process.env['ZT_FUZZ_RUNS'] ?? 300) }

/** What `read` returns, or the code of its refusal. Anything but one of `codes` is a failure of the property. */
export function refusalOr<T>(read: () => T, codes: readonly ErrorCode[]): T | ErrorCode {
  try {
    return read()
  } catch (error) {
    if (isZtError(error) && codes.includes(error.code)) return error.code
    throw error
  }
}

/** Any JSON value that the strict parser accepts. */
export const strictJson: fc.Arbitrary<unknown> = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(null, true, false, 0, 1, -1, ''),
    fc.maxSafeInteger(),
    fc.string({ unit: 'grapheme' }),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(
      fc.string({ unit: 'grapheme', maxLength: 6 }).filter((key) => key !== '__proto__'),
      tie('value'),
      { maxKeys: 4, noNullPrototype: true },
    ),
  ),
})).value

interface Change {
  readonly at: number
  readonly how: 'replace' | 'remove' | 'add'
  readonly value: unknown
}

/** One change somewhere in a JSON tree. */
export const change: fc.Arbitrary<Change> = fc.record({
  at: fc.nat({ max: 10_000 }),
  how: fc.constantFrom('replace', 'replace', 'remove', 'add'),
  value: fc.oneof(
    strictJson,
    fc.constantFrom(
      '*',
      '>',
      'a.b',
      '../x',
      '\0',
      'a\n',
      -1,
      2 ** 53 - 1,
      [],
      {},
      { toString: 1 },
      'x'.repeat(5000),
    ),
  ),
})

/** A copy of `tree` with one place changed: the place is `at`, counted through the tree. */
export function changed(tree: unknown, { at, how, value }: Change): unknown {
  const copy = structuredClone({ root: tree }) as { root: unknown }
  const places: [Record<string, unknown>, string][] = []
  const walk = (parent: Record<string, unknown>, key: string): void => {
    places.push([parent, key])
    const child = parent[key]
    if (typeof child !== 'object' || child === null) return
    for (const name of Object.keys(child)) walk(child as Record<string, unknown>, name)
  }
  walk(copy as Record<string, unknown>, 'root')
  const [parent, key] = places[at % places.length] as [Record<string, unknown>, string]
  const child = parent[key]
  if (how === 'add' && typeof child === 'object' && child !== null && !Array.isArray(child)) {
    Object.assign(child, { [`x${at}`]: value })
  } else if (how === 'remove' && parent !== copy) {
    if (Array.isArray(parent)) parent.splice(Number(key), 1)
    else delete parent[key]
  } else parent[key] = value
  return copy.root
}

/** One change somewhere in a text: a character replaced, a piece cut out or doubled. */
export const edit: fc.Arbitrary<(text: string) => string> = fc
  .record({
    at: fc.nat({ max: 100_000 }),
    length: fc.nat({ max: 40 }),
    how: fc.constantFrom('replace', 'cut', 'double', 'insert'),
    with: fc.oneof(
      fc.constantFrom('A', 'B', '-', '_', '.', '=', '+', '/', ' ', '\n', '\0', 'é'),
      fc.string(),
    ),
  })
  .map(({ at, length, how, with: piece }) => (text: string): string => {
    const start = at % (text.length + 1)
    const head = text.slice(0, start)
    const middle = text.slice(start, start + length)
    const tail = text.slice(start + length)
    if (how === 'replace') return `${head}${piece}${text.slice(start + Math.max(1, piece.length))}`
    if (how === 'cut') return `${head}${tail}`
    return how === 'double' ? `${head}${middle}${middle}${tail}` : `${head}${piece}${middle}${tail}`
  })
