// One invocation from argument vector to exit status. It never throws: every failure becomes a report and a status.
import type { Invocation } from './grammar/invocation.ts'
import { parseCommandLine } from './grammar/parse.ts'
import type { Io } from './io.ts'
import { LOADERS } from './loaders.ts'
import { exitStatus, reportError } from './output/report-error.ts'

/** Runs one command line and resolves to the exit status. */
export async function ztctl(argv: readonly string[], io: Io): Promise<number> {
  let call: Invocation | undefined
  try {
    call = parseCommandLine(argv, io.env)
    const { execute } = await LOADERS[call.verb.name]()
    return await execute(call, io)
  } catch (error) {
    reportError(error, io, { json: asksForJson(argv, io.env), color: call?.flags.one('color') })
    return exitStatus(error, call === undefined ? meansRun(argv) : hasRemoteExit(call))
  }
}

function hasRemoteExit({ verb, flags }: Invocation): boolean {
  return verb.remoteExit === 'always' || (verb.remoteExit === 'with-follow' && flags.has('follow'))
}

// A command line that cannot be parsed has no verb yet, but a script that runs `ztctl run …` must be able to tell a
// refused command line (125) from the remote program's own exit code 2.
function meansRun(argv: readonly string[]): boolean {
  return ownWords(argv).find((word) => Object.hasOwn(LOADERS, word)) === 'run'
}

// Looked up in the raw words, since a command line that cannot be parsed is to be refused in the asked form too.
function asksForJson(argv: readonly string[], env: Io['env']): boolean {
  const words = ownWords(argv)
  const at = words.findLastIndex((word) => /^(?:-o|--output)/.test(word))
  const word = words[at]
  if (word === undefined) return env['ZTMESH_OUTPUT'] === 'json'
  return /^(?:-o|--output=)json$/.test(word) || words[at + 1] === 'json'
}

function ownWords(argv: readonly string[]): readonly string[] {
  const end = argv.indexOf('--')
  return end === -1 ? argv : argv.slice(0, end)
}
