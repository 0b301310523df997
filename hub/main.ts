// The hub's program. `hub --config FILE` serves; the other verbs make its state and carry its ladder to and from the
// ceremony. stdout holds results, stderr the log and errors.
import { readFile, writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { ZtError } from '#shared/errors/error.ts'
import { systemClock } from '#shared/host/clock.ts'
import { createLogger } from '#shared/host/logger.ts'
import { runProgram } from '#shared/host/program.ts'
import { principalOf } from '#shared/identity/spiffe-id.ts'
import { DEFAULT_RUNGS } from '#pki/issuance/ladder-request.ts'
import { readConfig, requireRoot, type HubConfig } from './config.ts'
import { startHub } from './hub.ts'
import { openLadderStore, type LadderPlace } from './identity/rungs.ts'
import { Trust } from './identity/trust.ts'
import { hubKeeper } from './state/keeper.ts'
import { resealState } from './state/reseal.ts'
import { createState } from './state/state.ts'

const USAGE = `usage: hub --config FILE                                 serve
       hub --config FILE --check-config                  print what is in force, and exit
       hub init --config FILE                            make the state of a new hub
       hub ladder-request OUT --config FILE [--rungs N] [--fresh]
       hub ladder-import IN --config FILE
       hub reseal --config FILE                          seal its keys by what the configuration names now

ladder-request and ladder-import are for a hub that no operator can ask: it has not run yet, or it has no rung left. Use
\`ztctl ladder\` for any other. A hub that runs takes up what was imported on SIGHUP.
`

const AWAKE_MS = 3_600_000

interface Flags {
  readonly config: HubConfig
  readonly checkConfig: boolean
  readonly rungs: number
  readonly fresh: boolean
}

const usageError = (cause?: unknown): ZtError => new ZtError('ZT-400-USAGE', USAGE, { cause })

function parseCommandLine(args: readonly string[]): { words: readonly string[]; flags: Flags } {
  const options = {
    config: { type: 'string' },
    'check-config': { type: 'boolean' },
    rungs: { type: 'string' },
    fresh: { type: 'boolean' },
  } as const
  let parsed
  try {
    parsed = parseArgs({ args: [...args], options, allowPositionals: true, strict: true })
  } catch (cause) {
    throw usageError(cause)
  }
  const { values, positionals } = parsed
  if (values.config === undefined) throw usageError()
  const rungs = values.rungs === undefined ? DEFAULT_RUNGS : Number(values.rungs)
  const config = readConfig(values.config)
  const flags = { config, rungs, checkConfig: values['check-config'] ?? false, fresh: values.fresh ?? false }
  return { words: positionals, flags }
}

const print = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value, null, 2)}\n`)

async function serve({ config }: Flags, fail: (error: unknown) => void): Promise<void> {
  const log = createLogger({ name: 'hub' })
  // The clock's timers do not keep a process alive: without this one it could end while it starts or ends.
  setInterval(() => undefined, AWAKE_MS)
  const hub = await startHub({ config, clock: systemClock, log, onFatal: fail })
  const end = (signal: string): void => {
    log.info('ending', { signal })
    process.once(signal, () => process.exit(1))
    void hub.close().then(() => process.exit(0))
  }
  process.once('SIGTERM', () => end('SIGTERM'))
  process.once('SIGINT', () => end('SIGINT'))
  process.on('SIGHUP', () => {
    hub.refresh().catch((error: unknown) => log.error('bundle and ladder could not be read again', { error }))
  })
  log.info('serving', { id: config.id, url: config.url, nats: config.nats.url })
  process.stdout.write(
    `${JSON.stringify({ ready: true, id: config.id, url: config.url, nats: config.nats.url })}\n`,
  )
}

async function ladderRequest(out: string, { config, rungs, fresh }: Flags): Promise<void> {
  const now = systemClock.now()
  const bundle = config.root === undefined ? undefined : (await openTrust(config)).validator.bundle
  const store = await openLadderStore(await placeOf(config), { now, bundle })
  const { file, sha256 } = await store.makeRequest({ count: rungs, now, fresh })
  try {
    await writeFile(out, await readFile(file), { flag: 'wx', mode: 0o644 })
  } catch (cause) {
    throw new ZtError('ZT-409-EXISTS', `the request is in ${file}, and could not be written to ${out}`, {
      cause,
    })
  }
  print({ request: out, sha256, hub: principalOf(config.id).name, rungs })
}

async function ladderImport(file: string, { config }: Flags): Promise<void> {
  const now = systemClock.now()
  const { bundle } = (await openTrust(config)).validator
  const store = await openLadderStore(await placeOf(config), { now, bundle })
  const ladder = await store.importResponse(await readFile(file), { bundle, now })
  print(ladder.status(now))
}

const openTrust = (config: HubConfig): Promise<Trust> =>
  Trust.open({
    stateDir: config.stateDir,
    file: config.bundleFile,
    root: requireRoot(config),
    clock: systemClock,
  })

const placeOf = async (config: HubConfig): Promise<LadderPlace> => ({
  stateDir: config.stateDir,
  keeper: await hubKeeper(config),
  hub: config.id,
})

async function init({ config }: Flags): Promise<void> {
  await createState(config, systemClock)
  print({ hub: config.id, stateDir: config.stateDir })
}

async function main(args: readonly string[], fail: (error: unknown) => void): Promise<void> {
  const { words, flags } = parseCommandLine(args)
  const [verb, file, ...rest] = words
  if (rest.length > 0) throw usageError()
  if (verb === undefined) return flags.checkConfig ? print(flags.config) : serve(flags, fail)
  if (verb === 'init' && file === undefined) return init(flags)
  if (verb === 'reseal' && file === undefined) return print(await resealState(flags.config))
  if (verb === 'ladder-request' && file !== undefined) return ladderRequest(file, flags)
  if (verb === 'ladder-import' && file !== undefined) return ladderImport(file, flags)
  throw usageError()
}

await runProgram({
  name: 'hub',
  main,
  onFault: (error) => createLogger({ name: 'hub' }).error('the hub ends', { error }),
})
