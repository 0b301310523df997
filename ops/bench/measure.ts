// Times two things in turn, A B A B …, so that a drift of the machine's speed falls on both; says n, median and spread.
import { loadavg } from 'node:os'

export interface Sample {
  readonly n: number
  /** milliseconds */
  readonly median: number
  readonly p5: number
  readonly p95: number
}

export interface Pair {
  readonly ours: Sample
  readonly beside: Sample
  /** median of the ratios ours/beside, pair by pair */
  readonly ratio: number
}

function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN
}

/** Median, 5th and 95th percentile of `values`, in their own unit. */
export function summarize(values: readonly number[]): Sample {
  const sorted = values.toSorted((a, b) => a - b)
  return {
    n: sorted.length,
    median: quantile(sorted, 0.5),
    p5: quantile(sorted, 0.05),
    p95: quantile(sorted, 0.95),
  }
}

/** Milliseconds that `action` takes. */
export async function timeMs(action: () => unknown): Promise<number> {
  const start = process.hrtime.bigint()
  await action()
  return Number(process.hrtime.bigint() - start) / 1e6
}

export interface PairOptions {
  readonly runs: number
  readonly warmUp: number
}

/** Runs both in turn, `warmUp` times uncounted and then `runs` times. */
export async function timePair(
  ours: () => unknown,
  beside: () => unknown,
  options: PairOptions,
): Promise<Pair> {
  const a: number[] = []
  const b: number[] = []
  for (let run = -options.warmUp; run < options.runs; run += 1) {
    const [x, y] = [await timeMs(ours), await timeMs(beside)]
    if (run < 0) continue
    a.push(x)
    b.push(y)
  }
  const ratios = a.map((value, index) => value / (b[index] ?? Number.NaN))
  return { ours: summarize(a), beside: summarize(b), ratio: summarize(ratios).median }
}

export interface BenchRow {
  readonly name: string
  readonly unit: string
  readonly ours: Sample
  readonly beside: Sample & { readonly what: string }
  readonly ratio: number
  readonly goal: string
  readonly met: boolean
}

export function machineLine(): string {
  return `load average ${loadavg()
    .map((value) => value.toFixed(2))
    .join(' ')}`
}
