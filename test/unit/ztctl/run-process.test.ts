// A signal that comes while the command is on its way reaches the process.
import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { LiveMesh } from '#ops/ztctl/client/live-mesh.ts'
import { runProcess } from '#ops/ztctl/client/run-process.ts'
import { parseCommandLine } from '#ops/ztctl/grammar/parse.ts'
import type { Io } from '#ops/ztctl/io.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { TEST_NOW } from '#test/support/test-authority.ts'
import { exit, scriptedMesh, type ScriptedStream } from '#test/support/ztctl-mesh.ts'

it('^C between sending the command and its answer interrupts what was started', async () => {
  const clock = new ManualClock(TEST_NOW)
  const mesh = await scriptedMesh(clock)
  const handlers = new Set<(signal: NodeJS.Signals) => void>()
  const onSignal = (handler: (signal: NodeJS.Signals) => void): (() => void) => {
    handlers.add(handler)
    return () => handlers.delete(handler)
  }
  const io = { clock, onSignal, stdout: process.stderr, stderr: process.stderr, env: {} } as unknown as Io
  let output: ScriptedStream | undefined
  mesh.onCommand = (cmd, stream) => {
    if (cmd.op === 'process.spawn') {
      output = stream
      assert.equal(handlers.size, 1)
      for (const handler of handlers) handler('SIGINT')
      return { proc: cmd.proc, started: 5, exe: { path: '/bin/sleep' }, out: stream?.grant }
    }
    assert.ok(cmd.op === 'process.kill' && cmd.signal === 'INT')
    output?.send(exit({ signal: 'INT' }))
    return { proc: cmd.proc, started: 5, state: 'exited' }
  }
  const live = { current: mesh.mesh, msToRenewal: 1_000_000, refreshed: async () => mesh.mesh }
  const call = parseCommandLine(['run', '-n', 'mac-mini', '--', 'sleep', '60'], {})
  const { ending } = await runProcess(live as unknown as LiveMesh, { call, io }, () => undefined)
  assert.deepEqual(ending, { kind: 'exit', status: { signal: 'INT' } })
  assert.equal(handlers.size, 0)
})
