// A challenge is answered once (identity.md §4 T5, A17): genuine evidence of a TPM that is sent again, at once or later, to this
// start of the hub or to the next, gets nothing.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { isZtError } from '#shared/errors/error.ts'
import { parseNodeName } from '#shared/identity/names.ts'
import { httpsTo, operator } from '#test/support/hub-client.ts'
import { startTestHub, type TestHub } from '#test/support/hub.ts'
import { needsNats } from '#test/support/nats.ts'
import { startSwtpm } from '#test/support/swtpm.ts'
import { tempDir } from '#test/support/temp-dir.ts'
import { TpmMachine, trusting, type Https } from '#test/support/tpm-machine.ts'

describe('an answer to a challenge', { skip: needsNats }, () => {
  const undo: (() => Promise<void>)[] = []
  const scope = { after: (action: () => Promise<void>) => void undo.unshift(action) }
  let hub: TestHub
  let mini: TpmMachine
  let text: string

  before(async () => {
    const dir = await tempDir(scope)
    const tpm = await startSwtpm(scope)
    hub = await startTestHub({ config: { tpm: trusting(tpm) } })
    scope.after(() => hub.stop())
    const ann = await operator(hub)
    text = (await ann.call('node.join-token', { node: parseNodeName('mini') })).join
    await ann.close()
    mini = new TpmMachine(hub, { name: 'mini', tpm, dir: join(dir, 'mini') })
    await mini.join(text)
  })
  after(async () => {
    for (const step of undo) await step()
  })

  const send = (body: unknown): Promise<unknown> => httpsTo(hub).post('/v1/attest', body)
  /** Renews, and shows `work` the genuine answer before it is sent. */
  const renewing = (work: (answer: object) => Promise<unknown>): Https => ({
    post: async (path, body) =>
      (path === '/v1/attest' ? work(body as object) : httpsTo(hub).post(path, body)) as never,
  })
  const codeOf = async (work: Promise<unknown>): Promise<string> => {
    try {
      await work
      return 'ok'
    } catch (error) {
      if (isZtError(error)) return error.code
      throw error
    }
  }

  it('is worth nothing once it was given', async () => {
    let genuine: object = {}
    await mini.renew(
      renewing((answer) => {
        genuine = answer
        return send(answer)
      }),
    )
    assert.equal(await codeOf(send(genuine)), 'ZT-401-NONCE')
  })

  it('is taken once, however often it comes at once', async () => {
    const codes: string[] = []
    const all = async (answer: object): Promise<unknown> => {
      codes.push(...(await Promise.all(Array.from({ length: 20 }, () => codeOf(send(answer))))))
      return {}
    }
    await assert.rejects(mini.renew(renewing(all)), { code: 'ZT-422-SCHEMA' })
    assert.deepEqual(codes.toSorted(), [...Array<string>(19).fill('ZT-401-NONCE'), 'ok'])
  })

  it('is void once another challenge of the same TPM was answered', async () => {
    const second = async (answer: object): Promise<unknown> => {
      await mini.join(text)
      return send(answer)
    }
    assert.equal(await codeOf(mini.join(text, renewing(second))), 'ZT-401-NONCE')
    await mini.join(text)
  })

  it('does not answer another challenge', async () => {
    const other = (await httpsTo(hub).post('/v1/challenge', { node: 'mini' })) as { session: string }
    const moved = (answer: object): Promise<unknown> => send({ ...answer, session: other.session })
    // The nats key and the quote each sign the session that they are for.
    assert.equal(await codeOf(mini.renew(renewing(moved))), 'ZT-401-EVIDENCE')
  })

  it('is void after a restart of the hub', async () => {
    const late = async (answer: object): Promise<unknown> => {
      await hub.restart()
      return send(answer)
    }
    assert.equal(await codeOf(mini.renew(renewing(late))), 'ZT-401-NONCE')
    assert.equal((await mini.renew()).lvl, 2)
  })
})
