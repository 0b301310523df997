// "did you mean": the nearest known word by edit distance, counting a swap of neighbours as one edit.

function nextRow(previous: readonly (readonly number[])[], from: string, to: string): number[] {
  const i = previous.length
  const last = previous[i - 1] ?? []
  const before = previous[i - 2] ?? []
  const row = [i]
  for (let j = 1; j <= to.length; j += 1) {
    const same = from[i - 1] === to[j - 1] ? 0 : 1
    const edits = [(last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + same]
    if (from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]) edits.push((before[j - 2] ?? Infinity) + 1)
    row.push(Math.min(...edits))
  }
  return row
}

/** Optimal string alignment distance between two words. */
export function editDistance(from: string, to: string): number {
  const rows: number[][] = [Array.from({ length: to.length + 1 }, (_, index) => index)]
  for (let i = 0; i < from.length; i += 1) rows.push(nextRow(rows, from, to))
  return rows.at(-1)?.at(-1) ?? 0
}

/** The known word that was probably meant, or undefined: at most two edits, and fewer for a short word. */
export function suggest(word: string, known: Iterable<string>): string | undefined {
  if (word.length > 64) return undefined
  const limit = Math.min(2, Math.floor(word.length / 2))
  let best: { word: string; distance: number } | undefined
  for (const candidate of known) {
    const distance = candidate.startsWith(word) && word.length > 1 ? 1 : editDistance(word, candidate)
    if (distance <= limit && distance < (best?.distance ?? Infinity)) best = { word: candidate, distance }
  }
  return best?.word
}
