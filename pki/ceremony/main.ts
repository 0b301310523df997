// The ceremony program, for the offline machine beside the token: `ceremony run FILE --local LOCAL`. Never part of
// anything that has a network.
import { ZtError } from '#shared/errors/error.ts'
import { systemClock } from '#shared/host/clock.ts'
import { runProgram } from '#shared/host/program.ts'
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

await runProgram({ name: 'ceremony', main })
