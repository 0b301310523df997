// The one configuration file of a node agent: strict JSON, closed schema. A bad file stops the process; nothing in the
// environment changes what is in force. It holds no secrets: those are files of the state folder.
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import { normalize } from 'node:path'

import {
  array,
  integer,
  object,
  oneOf,
  optional,
  parsed,
  string,
  type Parser,
} from '#shared/encoding/shape.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { ZtError, isZtError } from '#shared/errors/error.ts'
import { parseNodeName } from '#shared/identity/names.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { DEFAULT_CAPABILITIES } from '#shared/protocol/sandbox-capability.ts'

const MAX_BYTES = 64 * 1024
const LINUX_MAX_ID = 4_294_967_294

/** An absolute, normal path: what is written is what is meant, without `..`, `//` or a trailing slash. */
const path: Parser<string> = (value, at) => {
  const text = string({ min: 2, max: 1024, pattern: /^\/[^\0]*[^\0/]$/ })(value, at)
  if (normalize(text) !== text)
    throw new ZtError('ZT-422-SCHEMA', `field "${at}" must be a normal absolute path`)
  return text
}

const seconds = (min: number, max: number): Parser<number> => integer({ min, max })

const fileShape = object({
  name: parsed(parseNodeName),
  state_dir: path,
  workspace_root: path,
  search_path: optional(array(path, { min: 1, max: 32 })),
  run_as: optional(
    object({ uid: integer({ min: 1, max: LINUX_MAX_ID }), gid: integer({ min: 1, max: LINUX_MAX_ID }) }),
  ),
  allow: optional(
    object({
      capabilities: optional(
        array(string({ min: 1, max: 256, pattern: /^[a-z_]+(:[^\0]+)?$/ }), { max: 64 }),
      ),
      callers: optional(array(parsed(parseSpiffeId), { min: 1, max: 1024 })),
    }),
  ),
  anchor: optional(
    object({
      interval_s: optional(seconds(1, 30)),
      heartbeat_s: optional(seconds(5, 50)),
      max_age_s: optional(seconds(10, 3600)),
      required_for: optional(oneOf(['privileged-spawns', 'every-spawn'])),
    }),
  ),
  output: optional(
    object({
      max_bytes_per_stream: optional(integer({ min: 64 * 1024, max: 1024 ** 4 })),
      max_sessions: optional(integer({ min: 1, max: 10_000 })),
    }),
  ),
  rate: optional(
    object({
      messages_per_s: optional(integer({ min: 1, max: 100_000 })),
      commands_per_s_per_caller: optional(integer({ min: 1, max: 100_000 })),
    }),
  ),
  log_level: optional(oneOf(['debug', 'info', 'warn', 'error'])),
})

export interface NodeConfig {
  readonly name: string
  readonly stateDir: string
  readonly workspaceRoot: string
  readonly searchPath: readonly string[]
  readonly runAs: { readonly uid: number; readonly gid: number } | undefined
  readonly allow: {
    readonly capabilities: readonly string[]
    /** undefined: whoever the hub's policy lets through; else these and nobody else */
    readonly callers: readonly string[] | undefined
  }
  readonly anchor: {
    readonly intervalMs: number
    readonly heartbeatMs: number
    readonly maxAgeMs: number
    readonly requiredFor: 'privileged-spawns' | 'every-spawn'
  }
  readonly output: { readonly maxBytesPerStream: number; readonly maxSessions: number }
  readonly rate: { readonly messagesPerSecond: number; readonly commandsPerSecondPerCaller: number }
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error'
}

/** Reads hostile bytes; ZT-400-CONFIG names the first field that is wrong. */
export function parseNodeConfig(bytes: Uint8Array): NodeConfig {
  try {
    return complete(fileShape(parseStrictJson(bytes, { maxBytes: MAX_BYTES }), ''))
  } catch (cause) {
    if (!isZtError(cause)) throw cause
    throw new ZtError('ZT-400-CONFIG', `node configuration: ${cause.message}`, { cause })
  }
}

/** Errors: ZT-400-CONFIG if the file is missing, not a regular file, too large or wrong. */
export function loadNodeConfig(file: string): NodeConfig {
  let fd: number
  try {
    fd = openSync(file, constants.O_RDONLY)
  } catch (cause) {
    throw new ZtError('ZT-400-CONFIG', `configuration file ${file} cannot be opened`, { cause })
  }
  try {
    const stat = fstatSync(fd)
    if (!stat.isFile() || stat.size > MAX_BYTES) {
      throw new ZtError(
        'ZT-400-CONFIG',
        `configuration file ${file} is not a file of at most ${MAX_BYTES} bytes`,
      )
    }
    return parseNodeConfig(readFileSync(fd))
  } finally {
    closeSync(fd)
  }
}

type ConfigFile = ReturnType<typeof fileShape>

function complete(file: ConfigFile): NodeConfig {
  const config: NodeConfig = {
    name: file.name,
    stateDir: file.state_dir,
    workspaceRoot: file.workspace_root,
    searchPath: file.search_path ?? ['/usr/local/bin', '/usr/bin', '/bin'],
    runAs: file.run_as,
    allow: {
      capabilities: (file.allow?.capabilities ?? DEFAULT_CAPABILITIES).toSorted(),
      callers: file.allow?.callers,
    },
    anchor: completeAnchor(file.anchor),
    output: {
      maxBytesPerStream: file.output?.max_bytes_per_stream ?? 64 * 1024 * 1024,
      maxSessions: file.output?.max_sessions ?? 256,
    },
    rate: {
      messagesPerSecond: file.rate?.messages_per_s ?? 500,
      commandsPerSecondPerCaller: file.rate?.commands_per_s_per_caller ?? 200,
    },
    logLevel: file.log_level ?? 'info',
  }
  refuseContradictions(config)
  return config
}

function completeAnchor(anchor: ConfigFile['anchor']): NodeConfig['anchor'] {
  return {
    intervalMs: (anchor?.interval_s ?? 5) * 1000,
    heartbeatMs: (anchor?.heartbeat_s ?? 30) * 1000,
    maxAgeMs: (anchor?.max_age_s ?? 60) * 1000,
    requiredFor: anchor?.required_for ?? 'privileged-spawns',
  }
}

function refuseContradictions(config: NodeConfig): void {
  const { stateDir, workspaceRoot, anchor } = config
  // A workspace is writable from inside a sandbox, so neither folder may hold the other.
  if (`${workspaceRoot}/`.startsWith(`${stateDir}/`) || `${stateDir}/`.startsWith(`${workspaceRoot}/`)) {
    throw new ZtError('ZT-422-SCHEMA', 'fields "state_dir" and "workspace_root" must not contain each other')
  }
  // An idle node anchors one heartbeat row a period; it must not go stale between two of them.
  if (anchor.heartbeatMs + 2 * anchor.intervalMs > anchor.maxAgeMs) {
    throw new ZtError('ZT-422-SCHEMA', 'field "anchor.max_age_s" is too short for its heartbeat and interval')
  }
  if (new Set(config.allow.capabilities).size !== config.allow.capabilities.length) {
    throw new ZtError('ZT-422-SCHEMA', 'field "allow.capabilities" names one twice')
  }
}
