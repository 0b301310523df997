import assert from 'node:assert/strict'
import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { it, type TestContext } from 'node:test'
import {
  dropOutput,
  openOutput,
  OutputWriter,
  sizeOnDisk,
  type OutputReader,
} from '#node-agent/keeper/output-log.ts'
import { keeperDir, procDir, writeRecord, type ProcRecord } from '#node-agent/keeper/record.ts'
import { parseProcId } from '#shared/identity/names.ts'
import { tempDir } from '#test/support/temp-dir.ts'

const PROC = parseProcId('p-aaaaaaaaaaaaaaaaaaaa')
const LIMITS = { maxBytes: 40, segmentBytes: 10 }
const NONE = Buffer.alloc(0)

const record = (changes: Partial<ProcRecord>): ProcRecord => ({
  v: 1,
  proc: PROC,
  state: 'running',
  boot: 'b',
  began: 1,
  exe: { realpath: '/x', sha256: 'A'.repeat(43) },
  profile: { name: 'default@1', sha256: 'A'.repeat(43) },
  output: { segmentBytes: LIMITS.segmentBytes, stdout: 0, stderr: 0 },
  ...changes,
})

class Fixture {
  readonly stateDir: string
  readonly dir: string
  readonly writer: OutputWriter
  readonly reader: OutputReader

  private constructor(stateDir: string) {
    this.stateDir = stateDir
    this.dir = procDir(stateDir, PROC)
    mkdirSync(join(keeperDir(stateDir), 'procs', PROC), { recursive: true })
    writeRecord(stateDir, record({}))
    this.writer = new OutputWriter(this.dir, 'stdout', LIMITS)
    this.reader = openOutput(stateDir, PROC)
  }

  static async create(t: TestContext): Promise<Fixture> {
    const fixture = new Fixture(await tempDir(t))
    t.after(async () => {
      await fixture.writer.close()
      await fixture.reader.close()
    })
    return fixture
  }

  end(): void {
    const output = { segmentBytes: LIMITS.segmentBytes, stdout: this.writer.size, stderr: 0 }
    writeRecord(this.stateDir, record({ state: 'exited', exit: { code: 0 }, output }))
  }

  /** Everything from `from` to what is there, in pieces of at most `step` bytes. */
  async all(from: number, step: number): Promise<{ text: string; gaps: unknown[]; end: boolean }> {
    let text = ''
    const gaps: unknown[] = []
    for (let offset = from; ;) {
      const chunk = await this.reader.read('stdout', offset, step)
      if (chunk.gap !== undefined) gaps.push(chunk.gap)
      if (chunk.data.length === 0) return { text, gaps, end: chunk.end }
      text += chunk.data.toString()
      offset = chunk.offset + chunk.data.length
    }
  }
}

const digits = (from: number, to: number): string =>
  Array.from({ length: to - from }, (_, at) => String((from + at) % 10)).join('')

it('gives back what was written, whatever the pieces were', async (t) => {
  const fixture = await Fixture.create(t)
  for (const [from, to] of [
    [0, 3],
    [3, 10],
    [10, 31],
    [31, 32],
  ] as const)
    await fixture.writer.write(Buffer.from(digits(from, to)))
  for (const step of [1, 3, 10, 1000]) assert.equal((await fixture.all(0, step)).text, digits(0, 32))
  assert.equal((await fixture.all(17, 4)).text, digits(17, 32))
})

it('says that it is the end only when the process has ended and everything was read', async (t) => {
  const fixture = await Fixture.create(t)
  await fixture.writer.write(Buffer.from('12345'))
  assert.deepEqual(await fixture.reader.read('stdout', 5, 10), { data: NONE, offset: 5, end: false })
  fixture.end()
  assert.equal((await fixture.reader.read('stdout', 2, 10)).data.toString(), '345')
  assert.deepEqual(await fixture.reader.read('stdout', 5, 10), { data: NONE, offset: 5, end: true })
  assert.deepEqual(await fixture.reader.read('stderr', 0, 10), { data: NONE, offset: 0, end: true })
})

it('drops the oldest over the bound, and tells what is gone', async (t) => {
  const fixture = await Fixture.create(t)
  await fixture.writer.write(Buffer.from(digits(0, 95)))
  const kept = readdirSync(fixture.dir)
    .filter((name) => name.startsWith('stdout'))
    .toSorted()
  assert.deepEqual(kept, ['stdout.6', 'stdout.7', 'stdout.8', 'stdout.9'])
  assert.deepEqual(await fixture.all(0, 7), { text: digits(60, 95), gaps: [{ from: 0, to: 60 }], end: false })
  assert.deepEqual((await fixture.all(42, 100)).gaps, [{ from: 42, to: 60 }])
  assert.deepEqual((await fixture.all(60, 100)).gaps, [])
})

it('lets a slow reader finish the piece that it has open', async (t) => {
  const fixture = await Fixture.create(t)
  await fixture.writer.write(Buffer.from(digits(0, 5)))
  await fixture.reader.read('stdout', 0, 2)
  await fixture.writer.write(Buffer.from(digits(5, 95)))
  const { text, gaps } = await fixture.all(2, 3)
  assert.deepEqual([text, gaps], [digits(2, 10) + digits(60, 95), [{ from: 10, to: 60 }]])
})

it('tells a gap up to the end when all output is gone before its record', async (t) => {
  const fixture = await Fixture.create(t)
  await fixture.writer.write(Buffer.from(digits(0, 25)))
  fixture.end()
  await dropOutput(fixture.dir)
  const reader = openOutput(fixture.stateDir, PROC)
  t.after(() => reader.close())
  assert.deepEqual(await reader.read('stdout', 4, 10), {
    data: NONE,
    offset: 25,
    gap: { from: 4, to: 25 },
    end: true,
  })
})

it('knows the size of a stream from its files alone', async (t) => {
  const fixture = await Fixture.create(t)
  assert.equal(await sizeOnDisk(fixture.dir, 'stdout', LIMITS.segmentBytes), 0)
  await fixture.writer.write(Buffer.from(digits(0, 67)))
  assert.equal(await sizeOnDisk(fixture.dir, 'stdout', LIMITS.segmentBytes), 67)
  assert.equal(await sizeOnDisk(fixture.dir, 'stderr', LIMITS.segmentBytes), 0)
})

it('has an end for a process that nothing is known of', async (t) => {
  const reader = openOutput(await tempDir(t), PROC)
  assert.deepEqual(await reader.read('stdout', 7, 10), { data: NONE, offset: 7, end: true })
})
