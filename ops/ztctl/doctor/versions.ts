// Programs that must be there, and new enough.
import { ok, fail, warn, type Check, type CheckResult } from './check.ts'
import { findProgram, runProgram } from './program.ts'

export type Version = readonly [number, number, number]

interface Wanted {
  readonly program: string
  readonly neededBy: string
  readonly floor: Version
  readonly missing: 'warn' | 'fail'
}

const BUILD = 'run `make tools` in the checkout'

/** The first x.y.z in a text, or undefined: a pre-release does not count as the release. */
export function readVersion(text: string): Version | undefined {
  const match = /(?:^|[^\d.])(\d+)\.(\d+)\.(\d+)(?![\d.]|-[a-z])/m.exec(text)
  return match === null ? undefined : [Number(match[1]), Number(match[2]), Number(match[3])]
}

/** True if `have` is `floor` or newer. */
export function isAtLeast(have: Version, floor: Version): boolean {
  for (const [index, part] of floor.entries()) {
    if (have[index] !== part) return (have[index] ?? 0) > part
  }
  return true
}

/** Node.js itself: erasable TypeScript, node:sqlite and OpenSSL 3.5 come with 24. */
export const checkNode: Check = async () => {
  const about = { name: 'Node.js', neededBy: 'all' }
  const have = readVersion(process.version.slice(1))
  if (have !== undefined && isAtLeast(have, [24, 12, 0])) return ok(about, process.version)
  return fail(
    about,
    `${process.version} is too old`,
    'run `npm ci` in the checkout: the lockfile pins Node.js 24',
  )
}

/** nats-server of the oldest line that still gets fixes, or newer. */
export const checkNats: Check = (input) =>
  checkProgram({ program: 'nats-server', neededBy: 'hub', floor: [2, 11, 0], missing: 'fail' }, input)

/** frps and frpc without GHSA-26gq-p25f-99cp. */
export const checkFrps: Check = (input) =>
  checkProgram({ program: 'frps', neededBy: 'tunnel', floor: [0, 70, 1], missing: 'warn' }, input)
export const checkFrpc: Check = (input) =>
  checkProgram({ program: 'frpc', neededBy: 'tunnel', floor: [0, 70, 1], missing: 'warn' }, input)

async function checkProgram(wanted: Wanted, { env }: Parameters<Check>[0]): Promise<CheckResult> {
  const { program, neededBy, floor, missing } = wanted
  const about = { name: program, neededBy }
  const bad = missing === 'fail' ? fail : warn
  const path = findProgram(program, env)
  if (path === undefined) return bad(about, 'is not installed', BUILD)
  const outcome = await runProgram(path, ['--version'])
  const have = outcome.code === 0 ? readVersion(outcome.text) : undefined
  if (have === undefined) return bad(about, `${path} does not say its version`, BUILD)
  if (!isAtLeast(have, floor)) return bad(about, `${have.join('.')} is older than ${floor.join('.')}`, BUILD)
  return ok(about, `${have.join('.')} (${path})`)
}
