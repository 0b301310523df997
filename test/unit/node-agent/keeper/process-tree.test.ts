import assert from 'node:assert/strict'
import { once } from 'node:events'
import { spawn } from 'node:child_process'
import { it } from 'node:test'
import { hasEnded, parseStat, readStat } from '#node-agent/keeper/process-tree.ts'

const TAIL = '1 42 42 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 354566 0 0'

it('reads name, parent, state and start of a process', () => {
  assert.deepEqual(parseStat(`42 (sleep) S ${TAIL}`), {
    pid: 42,
    comm: 'sleep',
    state: 'S',
    ppid: 1,
    started: '354566',
  })
})

for (const comm of ['a b', ')', ') R 1 (', '(', '((x))', '']) {
  it(`is not misled by a process that calls itself ${JSON.stringify(comm)}`, () => {
    const stat = parseStat(`42 (${comm}) S ${TAIL}`)
    assert.deepEqual([stat?.comm, stat?.ppid, stat?.started], [comm, 1, '354566'])
  })
}

for (const text of ['', '42', '42 (x', '42 (x) S 1', 'x (y) S ' + TAIL]) {
  it(`makes nothing of ${JSON.stringify(text)}`, () => assert.equal(parseStat(text), undefined))
}

it('tells a process from another one with its number', async () => {
  const child = spawn('sleep', ['100'], { stdio: 'ignore' })
  const exited = once(child, 'exit')
  const { started } = readStat(child.pid ?? 0) ?? { started: '' }
  assert.equal(hasEnded(child.pid ?? 0, started), false)
  assert.equal(hasEnded(child.pid ?? 0, String(Number(started) + 1)), true)
  child.kill('SIGKILL')
  await exited
  assert.equal(hasEnded(child.pid ?? 0, started), true)
})
