// The node agent's program. `node-agent --config FILE` serves; `node-agent join` makes this machine a node. stdout holds
// results, stderr the log and errors. A join string comes from a file or stdin, never from the command line.
import { readFileSync } from 'node:fs'
import { basename, join as joinPath } from 'node:path'
import { parseArgs } from 'node:util'

import { ZtError } from '#shared/errors/error.ts'
import { systemClock } from '#shared/host/clock.ts'
import { createLogger } from '#shared/host/logger.ts'
import { runProgram } from '#shared/host/program.ts'
import { notJoinString, parseJoinString } from '#shared/protocol/admission.ts'
import { NodeAgent, runAs } from './agent.ts'
import { loadNodeConfig, type NodeConfig } from './config.ts'
import { join } from './join.ts'

const USAGE = `usage: node-agent --config FILE                               serve
       node-agent --config FILE --check-config                print what is in force, and exit
       node-agent join --config FILE --join-file FILE|-       join with a join string
`
const MAX_JOIN_BYTES = 4096
const STDIN = 0

interface CommandLine {
  readonly verb: 'serve' | 'check-config' | 'join'
  readonly config: string
  readonly joinFile: string | undefined
}

const usageError = (cause?: unknown): ZtError => new ZtError('ZT-400-USAGE', USAGE, { cause })

function parseCommandLine(args: readonly string[]): CommandLine {
  const options = {
    config: { type: 'string' },
    'check-config': { type: 'boolean' },
    'join-file': { type: 'string' },
  } as const
  let parsed
  try {
    parsed = parseArgs({ args: [...args], options, allowPositionals: true, strict: true })
  } catch (cause) {
    throw usageError(cause)
  }
  const { values, positionals } = parsed
  const joining = positionals.length === 1 && positionals[0] === 'join'
  const joinFile = values['join-file']
  const check = values['check-config'] ?? false
  if (values.config === undefined || (positionals.length > 0 && !joining)) throw usageError()
  if (joining !== (joinFile !== undefined) || (joining && check)) throw usageError()
  const verb = joining ? 'join' : check ? 'check-config' : 'serve'
  return { verb, config: values.config, joinFile }
}

const print = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value, null, 2)}\n`)

/** The text is a secret, so nothing of it is in any message. */
function readJoinString(file: string): string {
  let bytes: Buffer
  try {
    bytes = readFileSync(file === '-' ? STDIN : file)
  } catch {
    throw new ZtError('ZT-403-JOIN', 'the join string cannot be read', {
      details: { hint: 'name a file that this user may read, or - for standard input' },
    })
  }
  if (bytes.length > MAX_JOIN_BYTES) throw notJoinString('the join string is too long')
  return bytes.toString('utf8')
}

async function joinMesh(config: NodeConfig, joinFile: string): Promise<void> {
  const ticket = parseJoinString(readJoinString(joinFile))
  const { id, hub, hubId, logOrigin } = await join(config, ticket, systemClock)
  print({ joined: id, hub, hubId, log: logOrigin })
}

/** Beside this file, in the sources as in a release. */
function keeperCommand({ output }: NodeConfig): readonly [string, ...string[]] {
  const released = basename(import.meta.filename) === 'node-agent.js'
  const program = joinPath(import.meta.dirname, released ? 'keeper.js' : joinPath('keeper', 'main.ts'))
  return [process.execPath, program, '--max-output-bytes', String(output.maxBytesPerStream)]
}

async function serve(config: NodeConfig): Promise<void> {
  const logger = createLogger({ name: 'node-agent', level: config.logLevel })
  const agent = await NodeAgent.start({
    config,
    clock: systemClock,
    logger,
    keeperCommand: keeperCommand(config),
  })
  const end = (signal: string): void => {
    logger.info('ending', { signal })
    process.once(signal, () => process.exit(1))
    void agent.close().then(() => process.exit(0))
  }
  process.once('SIGTERM', () => end('SIGTERM'))
  process.once('SIGINT', () => end('SIGINT'))
  // A terminal that closes is not a reason to end.
  process.on('SIGHUP', () => undefined)
  logger.info('running', { id: agent.membership.id, hub: agent.membership.hub })
}

async function main(args: readonly string[]): Promise<void> {
  const { verb, config: file, joinFile } = parseCommandLine(args)
  const config = loadNodeConfig(file)
  const user = runAs(config)
  if (verb === 'check-config') print({ ...config, runAs: user })
  else if (joinFile !== undefined) await joinMesh(config, joinFile)
  else await serve(config)
}

await runProgram({
  name: 'node-agent',
  main,
  onFault: (error) => createLogger({ name: 'node-agent' }).error('the node agent ends', { error }),
})
