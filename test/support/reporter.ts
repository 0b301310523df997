// Prints what failed, one line a file that passed, and last `N passed, N failed`. In CI a skipped test is a failed
// one: on a machine that lacks a part the suite must not be green and empty.
import { relative } from 'node:path'
import type { TestEvent } from 'node:test/reporters'

interface Tally {
  passed: number
  failed: number
  skipped: number
}

type Data = Extract<TestEvent, { type: 'test:pass' | 'test:fail' }>['data']

/** A suite or a file is a container: its tests are counted, not itself. */
function isContainer(data: Data): boolean {
  return data.details.type === 'suite' || (data.nesting === 0 && data.name === data.file)
}

function onlySubtestsFailed(error: Error): boolean {
  return 'failureType' in error && error.failureType === 'subtestsFailed'
}

function describeFailure(data: Extract<TestEvent, { type: 'test:fail' }>['data']): string {
  const where = data.file === undefined ? '' : ` (${relative(process.cwd(), data.file)}:${data.line ?? 0})`
  const { error } = data.details
  const shown =
    error.cause instanceof Error
      ? (error.cause.stack ?? error.cause.message)
      : String(error.cause ?? error.message)
  return `FAILED ${data.name}${where}\n${shown.replaceAll(/^/gm, '    ')}\n`
}

export default async function* report(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const tally: Tally = { passed: 0, failed: 0, skipped: 0 }
  for await (const event of source) {
    if (event.type === 'test:fail') {
      if (isContainer(event.data) && onlySubtestsFailed(event.data.details.error)) continue
      tally.failed += 1
      yield describeFailure(event.data)
    } else if (event.type === 'test:pass' && !isContainer(event.data)) {
      if (event.data.skip === undefined && event.data.todo === undefined) tally.passed += 1
      else {
        tally.skipped += 1
        yield `SKIPPED ${event.data.name}: ${String(event.data.skip ?? event.data.todo)}\n`
      }
    } else if (event.type === 'test:stderr' && process.env['ZT_TEST_VERBOSE'] !== undefined) {
      yield event.data.message
    }
  }
  yield closingLine(tally)
}

function closingLine(tally: Tally): string {
  const inCi = process.env['CI'] !== undefined
  if (inCi && tally.skipped > 0) process.exitCode = 1
  const nothingRan = tally.passed + tally.failed === 0
  if (nothingRan) process.exitCode = 1
  const failed = tally.failed + (inCi ? tally.skipped : 0) + (nothingRan ? 1 : 0)
  const skipped = !inCi && tally.skipped > 0 ? `, ${tally.skipped} skipped` : ''
  return `${tally.passed} passed, ${failed} failed${skipped}\n`
}
