// Flags and the words after `--` to one spawn command. The words are the argument vector itself: no shell sees them.
import { randomBytes } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { encodeBase32 } from '#shared/encoding/base32.ts'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import { parseProcId, type ProcId } from '#shared/identity/names.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import { parseCommand, type OutputRequest, type SpawnCommand } from '#shared/protocol/command.ts'
import { DEFAULT_CAPABILITIES, identityAgent, isCapability } from '#shared/protocol/sandbox-capability.ts'
import type { Flags, Invocation } from '../grammar/invocation.ts'
import { quoted, usageError } from '../grammar/usage-error.ts'

const MAX_ENV_FILE_BYTES = 1024 * 1024

/** A new process id: 100 random bits, so that a second spawn never gets the same. */
export function newProcId(): ProcId {
  return parseProcId(`p-${encodeBase32(randomBytes(13)).slice(0, 20)}`)
}

export interface SpawnInput {
  readonly node: SpiffeId
  readonly proc: ProcId
  readonly out?: OutputRequest
}

/** The command that the invocation means, without its output: nothing is sent yet. Errors: ZT-400-USAGE. */
export function spawnCommand(call: Invocation, { node, proc, out }: SpawnInput): SpawnCommand {
  const argv = call.command ?? []
  const [path = ''] = argv
  const { flags } = call
  const cwd = flags.one('workdir')
  const sha256 = flags.one('exe-sha256')
  const timeoutMs = flags.durationMs('timeout')
  const command = {
    v: 1,
    op: 'process.spawn',
    node,
    proc,
    exe: { path: checkPath(path), ...(sha256 === undefined ? {} : { sha256: parseDigest(sha256) }) },
    argv: [...argv],
    ...(cwd === undefined ? {} : { cwd: checkAbsolute(cwd) }),
    env: readEnv(flags),
    sandbox: { profile: 'default@1', caps: readCaps(flags) },
    limits: timeoutMs === undefined ? {} : { wall_s: Math.max(1, Math.ceil(timeoutMs / 1000)) },
    ...(out === undefined ? {} : { out }),
  }
  return asUsage(() => parseCommand(command)) as SpawnCommand
}

function checkPath(path: string): string {
  if (!path.includes('/') || path.startsWith('/')) return path
  throw usageError(
    `the program ${quoted(path)} is named by a relative path`,
    'name it absolutely, or by its bare name for the search path of the node; relative to the workspace: -- sh -c ./NAME',
  )
}

function checkAbsolute(path: string): string {
  if (path.startsWith('/')) return path
  throw usageError('--workdir is not an absolute path', 'the folder is on the node: name it absolutely')
}

function parseDigest(hex: string): string {
  if (/^[0-9a-fA-F]{64}$/.test(hex)) return encodeBase64url(Buffer.from(hex, 'hex'))
  throw usageError('--exe-sha256 is not a SHA-256 in hex', 'run sha256sum on the file')
}

/** `--cap X` replaces the default bundle, `--cap +X` adds to what there is. */
function readCaps(flags: Flags): readonly string[] {
  const given = flags.all('cap')
  const named = given.filter((cap) => !cap.startsWith('+'))
  const added = given.filter((cap) => cap.startsWith('+')).map((cap) => cap.slice(1))
  const unknown = [...named, ...added].find((cap) => !isCapability(cap))
  if (unknown !== undefined)
    throw usageError(`${quoted(unknown)} is no capability`, '`ztctl help spawn` and docs/ztctl.md list them')
  const base = named.length > 0 ? named : DEFAULT_CAPABILITIES
  const caps = [...new Set([...base, ...added])].toSorted()
  if (identityAgent(caps) !== undefined && caps.includes('read_anywhere'))
    throw usageError(
      'an identity and read_anywhere cannot be given together',
      'name what it needs: --cap identity:AGENT --cap network --cap subprocess --cap workspace_rw',
    )
  return caps
}

function readEnv(flags: Flags): Record<string, string> {
  const fromFiles = flags.all('env-file').flatMap(readEnvFile)
  return Object.fromEntries([...fromFiles, ...flags.all('env')].map((pair) => splitPair(pair)))
}

function splitPair(pair: string): [string, string] {
  const at = pair.indexOf('=')
  // The value may be a secret: only the name is ever repeated.
  if (at < 1) throw usageError('a variable is not of the form K=V', 'write -e NAME=value')
  return [pair.slice(0, at), pair.slice(at + 1)]
}

function readEnvFile(path: string): string[] {
  return readText(path)
    .split('\n')
    .map((line) => line.replace(/\r$/, ''))
    .filter((line) => line.trim() !== '' && !line.trimStart().startsWith('#'))
}

function readText(path: string): string {
  try {
    if (statSync(path).size > MAX_ENV_FILE_BYTES) throw usageError('--env-file is over 1 MiB', 'give less')
    return readFileSync(path, 'utf8')
  } catch (cause) {
    if (isZtError(cause)) throw cause
    const { code } = cause as NodeJS.ErrnoException
    throw usageError(`--env-file ${quoted(path)} cannot be read (${code ?? 'unknown'})`, 'check the path')
  }
}

function asUsage<T>(parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    if (!isZtError(error, 'ZT-422-SCHEMA')) throw error
    throw new ZtError('ZT-400-USAGE', `the command cannot be sent: ${error.message}`, {
      cause: error,
      details: { hint: 'names of variables are A-Z, a-z, 0-9 and _; no text holds a NUL' },
    })
  }
}
