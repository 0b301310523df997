// JSON lines on stderr: a fixed lower-case sentence, and facts in fields. Fields whose name or form is that of a secret
// are cut out here, as the last guard: no caller should have passed them.
import { pino, type DestinationStream, type Logger as Pino } from 'pino'
import { isZtError } from '#shared/errors/error.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
export type LogFields = Readonly<Record<string, unknown>>

export interface Logger {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
  /** A logger that adds these fields to each of its lines. */
  child(fields: LogFields): Logger
}

export interface LoggerOptions {
  /** which program writes */
  readonly name: string
  readonly level?: LogLevel
  /** stderr unless given */
  readonly destination?: DestinationStream
}

const MAX_DEPTH = 6
const MAX_TEXT = 2048
const REDACTED = '[redacted]'

// By name: what the protocol calls its secrets, whatever they look like.
const SECRET_NAMES: ReadonlySet<string> = new Set(
  'token tokens access_token subject_token actor_token tok nats_jwt jwt seed secret secrets pin password passphrase authorization cookie proof evidence argv env plaintext private_key privatekey key'.split(
    ' ',
  ),
)
// By form: compact JOSE (which starts with a base64url "{"), join strings, NATS seeds, PEM private keys.
const SECRET_FORMS =
  /eyJ[\w-]{8,}\.[\w-]*\.[\w.-]*|ztjoin_[\w-]+|\bS[UAOCNX][A-Z2-7]{56}\b|-----BEGIN [A-Z ]*PRIVATE KEY-----[^]*/g

function cleanText(text: string): string {
  const cut = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text
  return cut.replaceAll(SECRET_FORMS, REDACTED)
}

function cleanError(error: Error, depth: number): unknown {
  const plain = { type: error.name, message: cleanText(error.message) }
  const cause = error.cause === undefined ? {} : { cause: clean(error.cause, depth + 1) }
  if (isZtError(error))
    return { ...plain, code: error.code, details: clean(error.details, depth + 1), ...cause }
  const code = (error as NodeJS.ErrnoException).code
  const stack = cleanText(error.stack ?? '')
  return { ...plain, ...(code !== undefined && { code }), stack, ...cause }
}

function clean(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return cleanText(value)
  if (typeof value === 'bigint') return value.toString()
  if (typeof value !== 'object' || value === null) return value
  if (depth > MAX_DEPTH) return '[deep]'
  if (value instanceof Error) return cleanError(value, depth)
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`
  if (Array.isArray(value)) return value.map((item) => clean(item, depth + 1))
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [
      name,
      SECRET_NAMES.has(name.toLowerCase()) ? REDACTED : clean(item, depth + 1),
    ]),
  )
}

const cleanFields = (fields: LogFields): object => clean(fields, 0) as object

function wrap(logger: Pino): Logger {
  return {
    debug: (message, fields = {}) => logger.debug(cleanFields(fields), cleanText(message)),
    info: (message, fields = {}) => logger.info(cleanFields(fields), cleanText(message)),
    warn: (message, fields = {}) => logger.warn(cleanFields(fields), cleanText(message)),
    error: (message, fields = {}) => logger.error(cleanFields(fields), cleanText(message)),
    child: (fields) => wrap(logger.child(cleanFields(fields))),
  }
}

/** Writes synchronously, so that the last line before a crash is not lost. */
export function createLogger({ name, level = 'info', destination }: LoggerOptions): Logger {
  const options = {
    name,
    level,
    base: { pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  }
  return wrap(pino(options, destination ?? pino.destination({ dest: 2, sync: true })))
}

/** Says nothing: for tests and for callers that report by themselves. */
export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLogger,
}
