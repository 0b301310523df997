import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { it, type TestContext } from 'node:test'
import {
  claimProc,
  keeperDir,
  procDir,
  procRecord,
  readRecord,
  takenProcs,
  writeRecord,
  type ProcRecord,
} from '#node-agent/keeper/record.ts'
import { parseProcId } from '#shared/identity/names.ts'
import { tempDir } from '#test/support/temp-dir.ts'

const PROC = parseProcId('p-aaaaaaaaaaaaaaaaaaaa')
const RECORD: ProcRecord = {
  v: 1,
  proc: PROC,
  state: 'starting',
  boot: 'c405c3a0',
  began: 1,
  exe: { realpath: '/usr/bin/true', sha256: 'A'.repeat(43) },
  profile: { name: 'default@1', sha256: 'B'.repeat(43) },
  output: { segmentBytes: 10, stdout: 0, stderr: 0 },
}

async function stateDir(t: TestContext): Promise<string> {
  const dir = await tempDir(t)
  mkdirSync(join(keeperDir(dir), 'procs'), { recursive: true })
  return dir
}

it('gives the latest stage that was written', async (t) => {
  const dir = await stateDir(t)
  claimProc(dir, PROC)
  assert.equal(readRecord(dir, PROC), undefined)
  for (const state of ['starting', 'running', 'exited'] as const) {
    writeRecord(dir, { ...RECORD, state })
    assert.equal(readRecord(dir, PROC)?.state, state)
  }
})

for (const torn of ['', '{"v":1', '{"v":1}', '\0'.repeat(100)]) {
  it(`falls back to the stage before one that was torn: ${JSON.stringify(torn.slice(0, 10))}`, async (t) => {
    const dir = await stateDir(t)
    claimProc(dir, PROC)
    writeRecord(dir, { ...RECORD, state: 'running' })
    writeFileSync(join(procDir(dir, PROC), '3-ended.json'), torn)
    assert.equal(readRecord(dir, PROC)?.state, 'running')
  })
}

it('lets an id be taken once, also if nothing was recorded of it', async (t) => {
  const dir = await stateDir(t)
  claimProc(dir, PROC)
  assert.throws(() => claimProc(dir, PROC), { code: 'ZT-409-IDENTIFIER' })
  assert.deepEqual(takenProcs(dir), [PROC])
})

it('counts nothing but process ids as taken', async (t) => {
  const dir = await stateDir(t)
  for (const name of ['p-short', 'lost+found', 'p-AAAAAAAAAAAAAAAAAAAA'])
    mkdirSync(join(keeperDir(dir), 'procs', name))
  assert.deepEqual(takenProcs(dir), [])
})

const refused: Record<string, object> = {
  'an unknown field': { extra: 1 },
  'an unknown state': { state: 'paused' },
  'another version': { v: 2 },
  'a process id that is a path': { proc: 'p-../../../../../../a' },
  'an exit code over 255': { exit: { code: 256 } },
  'a start that is not a number of ticks': { started: '-1' },
  'a pid of zero': { pid: 0 },
  'a digest of the wrong length': { exe: { realpath: '/x', sha256: 'A' } },
}
for (const [what, change] of Object.entries(refused)) {
  it(`refuses a record with ${what}`, () => {
    assert.throws(() => procRecord({ ...RECORD, ...change }, 'record'), { code: 'ZT-422-SCHEMA' })
  })
}
