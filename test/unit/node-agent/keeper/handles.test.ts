import assert from 'node:assert/strict'
import { it } from 'node:test'
import { HANDLE_LIFE_MS, Handles, type PreparedExecutable } from '#node-agent/keeper/handles.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'

class Program {
  closed = 0

  get prepared(): PreparedExecutable {
    const request = {
      path: '/x',
      searchPath: [],
      runAs: { uid: 1, gid: 1 },
      workspace: { root: '/w', name: 'w' },
    }
    const close = (): void => {
      this.closed += 1
    }
    const file = { fd: -1, named: -1, path: '/x', realpath: '/x', sha256: '', mark: '', close }
    return { exe: { file, interpreter: undefined, close }, request }
  }
}

function setUp(): { clock: ManualClock; handles: Handles; owner: object; program: Program; handle: string } {
  const clock = new ManualClock()
  const handles = new Handles(clock)
  const owner = {}
  const program = new Program()
  return { clock, handles, owner, program, handle: handles.add(owner, program.prepared) }
}

const GONE = { code: 'ZT-412-FACT', details: { fact: 'handle' } }

it('hands a program over once, open', () => {
  const { handles, owner, handle, program } = setUp()
  handles.take(owner, handle)
  assert.equal(program.closed, 0)
  assert.throws(() => handles.take(owner, handle), GONE)
})

it('holds a program for its own connection only', () => {
  const { handles, handle, program, owner } = setUp()
  assert.throws(() => handles.take({}, handle), GONE)
  handles.release({}, handle)
  handles.releaseAll({})
  assert.equal(program.closed, 0)
  handles.take(owner, handle)
})

it('closes a program that nobody started within its minute', () => {
  const { clock, handles, owner, handle, program } = setUp()
  clock.advance(HANDLE_LIFE_MS - 1)
  assert.equal(program.closed, 0)
  clock.advance(1)
  assert.equal(program.closed, 1)
  assert.throws(() => handles.take(owner, handle), GONE)
})

it('closes what a connection held when that ends, once', () => {
  const { clock, handles, owner, program } = setUp()
  handles.releaseAll(owner)
  clock.advance(HANDLE_LIFE_MS)
  assert.equal(program.closed, 1)
})

it('does not know a handle that was made up', () => {
  const { handles, owner } = setUp()
  for (const handle of ['', 'A'.repeat(22), '__proto__'])
    assert.throws(() => handles.take(owner, handle), GONE)
})

it('holds a bounded number, and closes the one that is too many', () => {
  const { handles, owner } = setUp()
  const last = new Program()
  for (let count = 1; count < 256; count += 1) handles.add(owner, new Program().prepared)
  assert.throws(() => handles.add(owner, last.prepared), { code: 'ZT-429-RATE' })
  assert.equal(last.closed, 1)
})
