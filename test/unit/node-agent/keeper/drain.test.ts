import assert from 'node:assert/strict'
import { closeSync, mkdirSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { it, type TestContext } from 'node:test'
import { startDrain, type Drain } from '#node-agent/keeper/drain.ts'
import { FifoPool } from '#node-agent/keeper/fifo.ts'
import { OutputWriter } from '#node-agent/keeper/output-log.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { waitFor } from '#test/support/keeper.ts'
import { tempDir } from '#test/support/temp-dir.ts'

interface Fixture {
  readonly clock: ManualClock
  readonly writer: OutputWriter
  readonly drain: Drain
  readonly writeFd: number
  readonly logDir: string
  readonly sizes: number[]
}

async function setUp(t: TestContext): Promise<Fixture> {
  const dir = await tempDir(t)
  const logDir = join(dir, 'log')
  const clock = new ManualClock()
  const writer = new OutputWriter(logDir, 'stdout', { maxBytes: 1000, segmentBytes: 100 })
  const { readFd, writeFd } = await new FifoPool(join(dir, 'fifo')).pipe(undefined)
  const sizes: number[] = []
  const drain = startDrain({ readFd, writer, clock, onSize: (size) => sizes.push(size) })
  return { clock, writer, drain, writeFd, logDir, sizes }
}

it('moves all of a pipe to its log, and ends when the last writer has closed it', async (t) => {
  const { drain, writeFd, logDir, sizes } = await setUp(t)
  mkdirSync(logDir)
  writeSync(writeFd, 'a'.repeat(150))
  closeSync(writeFd)
  await drain.done
  assert.equal(sizes.at(-1), 150)
  assert.equal(
    readFileSync(join(logDir, 'stdout.0'), 'utf8') + readFileSync(join(logDir, 'stdout.1'), 'utf8'),
    'a'.repeat(150),
  )
})

it('waits for a disk that refuses, and loses nothing', async (t) => {
  const { clock, drain, writeFd, logDir, writer } = await setUp(t)
  writeSync(writeFd, 'kept')
  closeSync(writeFd)
  let tries = 0
  await waitFor(() => {
    clock.advance(250)
    tries += 1
    return tries > 20 ? true : undefined
  }, 'some tries')
  assert.equal(writer.size, 0)
  mkdirSync(logDir)
  await waitFor(() => {
    clock.advance(250)
    return writer.size === 4 ? true : undefined
  }, 'the log to be written')
  await drain.done
  assert.equal(readFileSync(join(logDir, 'stdout.0'), 'utf8'), 'kept')
})

it('can be given up while the disk refuses', async (t) => {
  const { clock, drain, writeFd } = await setUp(t)
  t.after(() => closeSync(writeFd))
  writeSync(writeFd, 'lost')
  await waitFor(() => {
    clock.advance(250)
    return true
  }, 'a try')
  drain.stop()
  await drain.done
})
