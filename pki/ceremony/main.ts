// The ceremony program, for the offline machine beside the token: `ceremony run FILE --local LOCAL`. Never part of
// anything that has a network.
import { ERROR_CODES } from '#shared/errors/codes.ts'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import { systemClock } from '#shared/host/clock.ts'
import { runCeremony } from './run.ts'

const USAGE = 'usage: ceremony run FILE --local LOCAL'

async function main(args: readonly string[]): Promise<void> {
  const [verb, file, flag, local, ...rest] = args
  if (verb !== 'run' || file === undefined || flag !== '--local' || local === undefined || rest.length > 0) {
    throw new ZtError('ZT-400-USAGE', USAGE)
  }
  const tell = (line: string): void => void process.stderr.write(`ceremony: ${line}\n`)
  const { transcript, head } = await runCeremony({ file, local, clock: systemClock, tell })
  process.stdout.write(`transcript ${transcript}\nhash ${head}\n`)
}

try {
  await main(process.argv.slice(2))
} catch (error) {
  const known = isZtError(error) ? error : new ZtError('ZT-500-INTERNAL', 'internal error', { cause: error })
  const entry = ERROR_CODES.get(known.code)
  process.stderr.write(
    `ceremony: error: ${known.code} ${known.message}\nceremony: hint: ${entry?.remedy ?? ''}\n`,
  )
  process.exitCode = entry?.exit ?? 1
}
