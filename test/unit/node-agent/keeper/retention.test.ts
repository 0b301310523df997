import assert from 'node:assert/strict'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { it, type TestContext } from 'node:test'
import { procDir } from '#node-agent/keeper/record.ts'
import { Retention } from '#node-agent/keeper/retention.ts'
import { parseProcId, type ProcId } from '#shared/identity/names.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { waitFor } from '#test/support/keeper.ts'
import { tempDir } from '#test/support/temp-dir.ts'

const MINUTE = 60_000

class Fixture {
  readonly clock = new ManualClock()
  readonly gone: ProcId[] = []
  readonly stateDir: string
  readonly retention: Retention

  private constructor(stateDir: string, limits: { outputs: number; records: number; ageMs: number }) {
    this.stateDir = stateDir
    this.retention = new Retention({
      stateDir,
      limits,
      clock: this.clock,
      onGone: (proc) => this.gone.push(proc),
      onFault: (what, cause) => assert.fail(`${what}: ${String(cause)}`),
    })
  }

  static async create(
    t: TestContext,
    limits: { outputs: number; records: number; ageMs: number },
  ): Promise<Fixture> {
    return new Fixture(await tempDir(t), limits)
  }

  ended(letter: string): ProcId {
    const proc = parseProcId(`p-${letter.repeat(20)}`)
    mkdirSync(procDir(this.stateDir, proc), { recursive: true })
    for (const name of ['3-ended.json', 'stdout.0', 'stderr.4'])
      writeFileSync(join(procDir(this.stateDir, proc), name), '')
    this.retention.add({ proc, ended: this.clock.now() })
    return proc
  }

  has(proc: ProcId, name: string): boolean {
    return existsSync(join(procDir(this.stateDir, proc), name))
  }

  async settled(holds: () => boolean): Promise<void> {
    this.clock.advance(1000)
    await waitFor(() => (holds() ? true : undefined), 'the retention to act')
  }
}

it('keeps the output of the latest, and the record of all', async (t) => {
  const fixture = await Fixture.create(t, { outputs: 2, records: 10, ageMs: 60 * MINUTE })
  const [a, b, c] = ['a', 'b', 'c'].map((letter) => fixture.ended(letter)) as [ProcId, ProcId, ProcId]
  await fixture.settled(() => !fixture.has(a, 'stdout.0') && !fixture.has(a, 'stderr.4'))
  assert.ok(fixture.has(a, '3-ended.json') && fixture.has(b, 'stdout.0') && fixture.has(c, 'stderr.4'))
})

it('does not forget a process id while a command for it could still be accepted', async (t) => {
  const fixture = await Fixture.create(t, { outputs: 0, records: 0, ageMs: 60 * MINUTE })
  const a = fixture.ended('a')
  await fixture.settled(() => !fixture.has(a, 'stdout.0'))
  fixture.clock.advance(9 * MINUTE)
  const b = fixture.ended('b')
  await fixture.settled(() => !fixture.has(b, 'stdout.0'))
  assert.deepEqual(fixture.gone, [])
  fixture.clock.advance(2 * MINUTE)
  fixture.ended('c')
  await fixture.settled(() => fixture.gone.length > 0)
  assert.deepEqual(fixture.gone, [a])
  assert.ok(!existsSync(procDir(fixture.stateDir, a)) && existsSync(procDir(fixture.stateDir, b)))
})

it('keeps nothing beyond its age', async (t) => {
  const fixture = await Fixture.create(t, { outputs: 10, records: 10, ageMs: 60 * MINUTE })
  const a = fixture.ended('a')
  fixture.clock.advance(61 * MINUTE)
  const b = fixture.ended('b')
  await fixture.settled(() => fixture.gone.length > 0)
  assert.deepEqual([fixture.gone, fixture.has(b, 'stdout.0')], [[a], true])
})
