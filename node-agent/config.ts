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
import type { PasswordFiles } from '#shared/host/tpm/password-file.ts'
import { parseNodeName } from '#shared/identity/names.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { DEFAULT_CAPABILITIES } from '#shared/protocol/sandbox-capability.ts'

const MAX_BYTES = 64 * 1024
/** Where Linux shows what the firmware measured; for root alone. */
const FIRMWARE_LOG = '/sys/kernel/security/tpm0/binary_bios_measurements'
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
  stateDir: path,
  workspaceRoot: path,
  searchPath: optional(array(path, { min: 1, max: 32 })),
  hide: optional(array(path, { max: 64 })),
  runAs: optional(
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
      intervalS: optional(seconds(1, 30)),
      heartbeatS: optional(seconds(5, 50)),
      maxAgeS: optional(seconds(10, 3600)),
      requiredFor: optional(oneOf(['privileged-spawns', 'every-spawn'])),
    }),
  ),
  output: optional(
    object({
      maxBytesPerStream: optional(integer({ min: 64 * 1024, max: 1024 ** 4 })),
      maxSessions: optional(integer({ min: 1, max: 10_000 })),
    }),
  ),
  rate: optional(
    object({
      messagesPerS: optional(integer({ min: 1, max: 100_000 })),
      commandsPerSPerCaller: optional(integer({ min: 1, max: 100_000 })),
    }),
  ),
  tpm: optional(
    object({
      device: optional(path),
      tcp: optional(string({ max: 260, pattern: /^(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$/ })),
      eventLog: optional(path),
      svidKey: optional(oneOf(['tpm', 'memory'])),
      ownerPasswordFile: optional(path),
      endorsementPasswordFile: optional(path),
    }),
  ),
  logLevel: optional(oneOf(['debug', 'info', 'warn', 'error'])),
})

/** A node with this proves itself by its TPM, and by nothing else. */
export interface TpmSettings {
  /** `/dev/tpmrm0`, or where a software TPM listens */
  readonly where: { readonly path: string } | { readonly host: string; readonly port: number }
  /** the firmware's log, read if the hub's PCR policy asks for it */
  readonly eventLog: string
  /** where the key of the SVID is: in the TPM, which then signs all that the node says, or in the agent's memory */
  readonly svidKey: 'tpm' | 'memory'
  /** of the TPM's hierarchies, where its administrator has set any */
  readonly passwords?: PasswordFiles
}

export interface NodeConfig {
  readonly name: string
  readonly stateDir: string
  readonly workspaceRoot: string
  readonly searchPath: readonly string[]
  /** host folders that no process sees, besides the agent's own */
  readonly hide: readonly string[]
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
  readonly tpm: TpmSettings | undefined
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
    stateDir: file.stateDir,
    workspaceRoot: file.workspaceRoot,
    hide: file.hide ?? [],
    searchPath: file.searchPath ?? ['/usr/local/bin', '/usr/bin', '/bin'],
    runAs: file.runAs,
    allow: {
      capabilities: (file.allow?.capabilities ?? DEFAULT_CAPABILITIES).toSorted(),
      callers: file.allow?.callers,
    },
    anchor: completeAnchor(file.anchor),
    output: {
      maxBytesPerStream: file.output?.maxBytesPerStream ?? 64 * 1024 * 1024,
      maxSessions: file.output?.maxSessions ?? 256,
    },
    rate: {
      messagesPerSecond: file.rate?.messagesPerS ?? 500,
      commandsPerSecondPerCaller: file.rate?.commandsPerSPerCaller ?? 200,
    },
    tpm: file.tpm === undefined ? undefined : completeTpm(file.tpm),
    logLevel: file.logLevel ?? 'info',
  }
  refuseContradictions(config)
  return config
}

function completeTpm(file: NonNullable<ConfigFile['tpm']>): TpmSettings {
  const { device, tcp, ownerPasswordFile: owner, endorsementPasswordFile: endorsement } = file
  const { eventLog = FIRMWARE_LOG, svidKey = 'tpm' } = file
  if ((device === undefined) === (tcp === undefined))
    throw new ZtError('ZT-422-SCHEMA', 'field "tpm" must have either "device" or "tcp"')
  const settings = { where: placeOf(device, tcp ?? ''), eventLog, svidKey }
  return owner === undefined && endorsement === undefined
    ? settings
    : { ...settings, passwords: { owner, endorsement } }
}

function placeOf(device: string | undefined, tcp: string): TpmSettings['where'] {
  if (device !== undefined) return { path: device }
  const at = tcp.lastIndexOf(':')
  const port = Number(tcp.slice(at + 1))
  if (port < 1 || port > 65_535) throw new ZtError('ZT-422-SCHEMA', 'field "tpm.tcp" must be HOST:PORT')
  return { host: tcp.slice(0, at).replace(/^\[|\]$/g, ''), port }
}

function completeAnchor(anchor: ConfigFile['anchor']): NodeConfig['anchor'] {
  return {
    intervalMs: (anchor?.intervalS ?? 5) * 1000,
    heartbeatMs: (anchor?.heartbeatS ?? 30) * 1000,
    maxAgeMs: (anchor?.maxAgeS ?? 60) * 1000,
    requiredFor: anchor?.requiredFor ?? 'privileged-spawns',
  }
}

function refuseContradictions(config: NodeConfig): void {
  const { stateDir, workspaceRoot, anchor } = config
  // A workspace is writable from inside a sandbox, so neither folder may hold the other.
  if (`${workspaceRoot}/`.startsWith(`${stateDir}/`) || `${stateDir}/`.startsWith(`${workspaceRoot}/`)) {
    throw new ZtError('ZT-422-SCHEMA', 'fields "stateDir" and "workspaceRoot" must not contain each other')
  }
  // An idle node anchors one heartbeat row a period; it must not go stale between two of them.
  if (anchor.heartbeatMs + 2 * anchor.intervalMs > anchor.maxAgeMs) {
    throw new ZtError('ZT-422-SCHEMA', 'field "anchor.maxAgeS" is too short for its heartbeat and interval')
  }
  if (new Set(config.allow.capabilities).size !== config.allow.capabilities.length) {
    throw new ZtError('ZT-422-SCHEMA', 'field "allow.capabilities" names one twice')
  }
}
