// What speaks gRPC on the socket of a task is made with the first connection, and again if that failed.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { getegid, geteuid } from 'node:process'
import { describe, it } from 'node:test'
import { status } from '@grpc/grpc-js'
import { silentLogger } from '#shared/host/logger.ts'
import { TaskSocket } from '#node-agent/workload-api/task-socket.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { eventually } from '#test/support/eventually.ts'
import { tempDir } from '#test/support/temp-dir.ts'
import { WorkloadClient } from '#test/support/workload-client.ts'

describe('the socket of a task', () => {
  it('is served once what it takes can be made, whatever failed before', async (t) => {
    const path = join(await tempDir(t), 's')
    let made = 0
    const socket = await TaskSocket.listen({
      path,
      runAs: { uid: geteuid?.() ?? 0, gid: getegid?.() ?? 0 },
      clock: new ManualClock(),
      logger: silentLogger,
      serve: () => {
        made += 1
        if (made === 1) throw new Error('no memory')
      },
    })
    t.after(() => socket.close(0))
    const client = new WorkloadClient(path)
    t.after(() => client.close())
    await eventually('an answer', async () => {
      const code = await client.unary('Any', new Uint8Array()).then(
        () => status.OK,
        (error: { readonly code: number }) => error.code,
      )
      return code === status.UNIMPLEMENTED || undefined
    })
    assert.equal(made, 2)
  })
})
