// Prints what failed, and why before what only came of it: tests that could not run because a hook failed are one line.
// Last come all failures once more, one line each, and `N passed, N failed`: the end of a log that was cut says enough.
// In CI a skipped test is a failed one: on a machine that lacks a part the suite must not be green and empty.
import { relative, resolve } from 'node:path'
import type { TestEvent } from 'node:test/reporters'

type Failed = Extract<TestEvent, { type: 'test:fail' }>['data']
type Passed = Extract<TestEvent, { type: 'test:pass' }>['data']

/** Characters of the standard error of a file that say why it ended. */
const STDERR_CHARS = 4_000
/** Characters of a line of the list at the end. */
const SHORT_CHARS = 240

const inCi = (): boolean => process.env['CI'] !== undefined

/** A file that ended before its tests had, or has none. */
const isFile = ({ nesting, name, file }: Failed | Passed): boolean =>
  nesting === 0 && file !== undefined && (name === file || name === relative(process.cwd(), file))

/** A suite or a file is a container: its tests are counted, not itself. */
const isContainer = (data: Failed | Passed): boolean => data.details.type === 'suite' || isFile(data)

function failureType({ details: { error } }: Failed): unknown {
  return 'failureType' in error ? error.failureType : undefined
}

function whereOf(data: Failed): string {
  const { file, line } = data
  if (file === undefined) return ''
  return isFile(data) ? '' : ` (${relative(process.cwd(), file)}:${line ?? 0})`
}

/** An error with what caused it, each with its stack. */
function whole(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const own = error.stack ?? error.message
  return error.cause === undefined ? own : `${own}\ncaused by: ${whole(error.cause)}`
}

/** Which hook it was, or how the process ended: what the runner says beside the error that was thrown. */
function circumstance({ details: { error } }: Failed): string {
  const said = String(error.message)
  if ('failureType' in error && error.failureType === 'hookFailed') return `${said}: `
  if ('signal' in error && typeof error.signal === 'string') return `ended by ${error.signal}: `
  return 'exitCode' in error && typeof error.exitCode === 'number' ? `exit code ${error.exitCode}: ` : ''
}

const indented = (text: string): string => text.trimEnd().replaceAll(/^(?=.)/gm, '    ')

class Report {
  #passed = 0
  #failed = 0
  readonly #skipped = new Map<string, number>()
  /** One line a failure. */
  readonly #short: string[] = []
  /** What could not run: the runner tells of it before it tells why, and of one file after the other. */
  #cancelled: readonly Failed[] = []
  readonly #stderr = new Map<string, string>()

  hear(file: string, said: string): void {
    const path = resolve(file)
    this.#stderr.set(path, `${this.#stderr.get(path) ?? ''}${said}`.slice(-STDERR_CHARS))
  }

  pass(data: Passed): string {
    if (isContainer(data)) return ''
    const skipped = data.skip ?? data.todo
    if (skipped === undefined) {
      this.#passed += 1
      return ''
    }
    const reason = String(skipped)
    this.#skipped.set(reason, (this.#skipped.get(reason) ?? 0) + 1)
    return `SKIPPED ${data.name}: ${reason}\n`
  }

  fail(data: Failed): string {
    const type = failureType(data)
    if (type === 'cancelledByParent') {
      this.#cancelled = [...this.#cancelled, data]
      return ''
    }
    const below = this.#takeBelow(data)
    return isContainer(data) && type === 'subtestsFailed'
      ? this.#unexplained(below)
      : this.#describe(data, below)
  }

  /** The list and the closing line. Sets the exit code. */
  end(): string {
    let text = this.#unexplained(this.#cancelled)
    const nothingRan = this.#passed + this.#failed === 0
    const skips = [...this.#skipped.values()].reduce((sum, count) => sum + count, 0)
    if (nothingRan || (inCi() && skips > 0)) process.exitCode = 1
    const failed = this.#failed + (inCi() ? skips : 0) + (nothingRan ? 1 : 0)
    const lines = [...this.#short, ...(inCi() ? this.#skips() : [])]
    if (lines.length > 0) text += `\nWhat failed:\n${lines.map((line) => `    ${line}\n`).join('')}\n`
    return `${text}${this.#passed} passed, ${failed} failed${!inCi() && skips > 0 ? `, ${skips} skipped` : ''}\n`
  }

  /** Takes out what could not run because of this. */
  #takeBelow(data: Failed): readonly Failed[] {
    const isBelow = ({ nesting }: Failed): boolean => isFile(data) || nesting > data.nesting
    const below = this.#cancelled.filter(isBelow)
    this.#cancelled = this.#cancelled.filter((one) => !isBelow(one))
    return below
  }

  /** What was cancelled by something that is no failure: the first one says what is known. */
  #unexplained([first, ...others]: readonly Failed[]): string {
    return first === undefined ? '' : this.#describe(first, others)
  }

  #describe(data: Failed, cancelled: readonly Failed[]): string {
    const tests = cancelled.filter((one) => !isContainer(one)).length
    this.#failed += 1 + tests
    const { error } = data.details
    const why = `${circumstance(data)}${whole(error.cause ?? error.message)}`
    const said = isFile(data) ? (this.#stderr.get(data.file ?? '') ?? '') : ''
    const head = `${data.name}${whereOf(data)}`
    const more = tests === 0 ? '' : `... and ${tests} more that could not run`
    const line = firstLine(said.trim() === '' ? why : firstError(said, why))
    this.#short.push(`${head}: ${line.slice(0, SHORT_CHARS)}`)
    if (more !== '') this.#short.push(more)
    return [`FAILED ${head}`, ...[why, said, more].map(indented).filter((part) => part !== ''), ''].join('\n')
  }

  #skips(): string[] {
    return [...this.#skipped].map(([reason, count]) => `${count} skipped: ${reason}`)
  }
}

/** With the next one if what it says is to come. */
function firstLine(text: string): string {
  const [line = '', next = ''] = text.split('\n')
  return line.endsWith(':') ? `${line} ${next.trim()}` : line
}

/** The line of a standard error that looks most like the error itself. */
function firstError(said: string, otherwise: string): string {
  return /^\S*Error\b.*$/m.exec(said)?.[0] ?? otherwise
}

export default async function* report(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const all = new Report()
  for await (const event of source) {
    if (event.type === 'test:fail') yield all.fail(event.data)
    else if (event.type === 'test:pass') yield all.pass(event.data)
    else if (event.type === 'test:stderr') {
      all.hear(event.data.file, event.data.message)
      if (process.env['ZT_TEST_VERBOSE'] !== undefined) yield event.data.message
    }
  }
  yield all.end()
}
