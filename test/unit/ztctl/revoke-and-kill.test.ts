// A revocation that is in force is said to be, whatever becomes of the processes that should be ended with it.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Mesh } from '#ops/ztctl/client/mesh.ts'
import { parseCommandLine } from '#ops/ztctl/grammar/parse.ts'
import { revokeAndSay } from '#ops/ztctl/verbs/revoke.ts'
import { ZtError } from '#shared/errors/error.ts'
import { systemClock } from '#shared/host/clock.ts'
import { memorySink } from '#test/support/ztctl-io.ts'

const id = 'spiffe://mesh.example/operator/bob'
const denyList = (): Promise<never> => Promise.reject(new ZtError('ZT-504-TIMEOUT', 'no answer'))
const mesh = { hub: async () => ({ ver: 7, id, live: 1 }), denyList } as unknown as Mesh

describe('revoke --kill that cannot know what to end', () => {
  const run = async (...flags: string[]): Promise<{ stdout: string; stderr: string }> => {
    const [stdout, stderr] = [memorySink(), memorySink()]
    const io = { env: {}, clock: systemClock, stdout, stderr, onSignal: () => () => undefined }
    const call = parseCommandLine(['revoke', 'operator/bob', '--yes', '--kill', ...flags], {})
    const wish = { target: { id }, grounds: { reason: 'left' } } as never
    await assert.rejects(revokeAndSay(wish, { call, io, mesh }), { code: 'ZT-503-DENY-LIST' })
    return { stdout: stdout.text(), stderr: stderr.text() }
  }

  it('fails, and says first that the revocation is in force', async () => {
    const { stdout, stderr } = await run()
    assert.equal(stdout, `${id} is revoked (deny list 7)\n`)
    assert.match(stderr, /warning: the revocation is in force, but what runs could not be ended/)
  })

  it('says it to programs too, in one object', async () => {
    const said = JSON.parse((await run('-o', 'json')).stdout) as Record<string, unknown>
    assert.deepEqual([said['kind'], said['denyListVersion'], said['ended']], ['Revocation', 7, []])
  })
})
