// `make bench`: every row of the table in one run, each beside its peer. Writes bench-results.json; exits 0 whether or
// not the goals are met: it measures, it does not judge.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { machineLine, type BenchRow, type Sample } from './measure.ts'
import { audit } from './rows/audit.ts'
import { revocation } from './rows/revocation.ts'
import { run } from './rows/run.ts'
import { spawnShare } from './rows/spawn-share.ts'
import { svidRate } from './rows/svid-rate.ts'
import { tpmSignature } from './rows/tpm-signature.ts'

const RESULTS = join(import.meta.dirname, '..', '..', 'bench-results.json')

const SUITES: ReadonlyMap<string, () => Promise<BenchRow[]>> = new Map([
  ['share', spawnShare],
  ['svid', svidRate],
  ['audit', audit],
  ['run', run],
  ['revocation', revocation],
  ['tpm', tpmSignature],
])

const figure = (value: number): string =>
  value >= 1000 ? Math.round(value).toString() : value.toPrecision(3)

function spread({ median, p5, p95 }: Sample, unit: string): string {
  return `${figure(median)} ${unit} (${figure(p5)} to ${figure(p95)})`
}

function print(row: BenchRow): void {
  const { name, unit, ours, beside, ratio, goal, met } = row
  process.stdout.write(
    [
      `${name}: ${met ? 'met' : 'MISSED'}, goal ${goal}`,
      `  ours    ${spread(ours, unit)}, n = ${ours.n}`,
      `  beside  ${spread(beside, unit)}, n = ${beside.n}: ${beside.what}`,
      `  ratio   ${ratio.toFixed(2)}`,
      '',
    ].join('\n'),
  )
}

const wanted = process.argv.slice(2)
const rows: BenchRow[] = []
process.stdout.write(`medians with the 5th and 95th percentile; ${machineLine()}\n`)
for (const [name, suite] of SUITES) {
  if (wanted.length > 0 && !wanted.includes(name)) continue
  for (const row of await suite()) {
    rows.push(row)
    print(row)
  }
}
writeFileSync(
  RESULTS,
  `${JSON.stringify({ at: new Date().toISOString(), load: machineLine(), rows }, null, 2)}\n`,
)
