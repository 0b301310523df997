// A join token is one machine's, once: a thief who is second, or one of fifty at the same moment, gets nothing.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { isZtError } from '#shared/errors/error.ts'
import { parseNodeName } from '#shared/identity/names.ts'
import { encodeJoinString, parseJoinString } from '#shared/protocol/admission.ts'
import { startTestHub, type TestHub } from '#test/support/hub.ts'
import { operator, type TestClient } from '#test/support/hub-client.ts'
import { attest, machine, type TestMachine } from '#test/support/hub-node.ts'
import { needsNats } from '#test/support/nats.ts'

describe('a join token', { skip: needsNats }, () => {
  let hub: TestHub
  let alice: TestClient
  before(async () => {
    hub = await startTestHub()
    alice = await operator(hub)
  })
  after(async () => {
    await alice?.close()
    await hub?.stop()
  })

  const invite = async (name: string): Promise<string> =>
    (await alice.call('node.join-token', { node: parseNodeName(name) })).join
  const joined = async (who: TestMachine): Promise<string> => {
    const join = await invite(who.name)
    await attest(hub, who, { join })
    return join
  }
  const codeOf = async (work: Promise<unknown>): Promise<string> => {
    try {
      await work
      return 'ok'
    } catch (error) {
      if (isZtError(error)) return error.code
      throw error
    }
  }

  it('lets the winner of a token ask again, because an answer can be lost', async () => {
    const who = machine('again')
    const join = await joined(who)
    assert.equal(await codeOf(attest(hub, who, { join })), 'ok')
  })

  it('refuses a join token that another machine used', async () => {
    const join = await joined(machine('spent'))
    assert.equal(await codeOf(attest(hub, machine('spent'), { join })), 'ZT-409-JOIN-SPENT')
  })

  it('lets one of 50 machines win that use one token at once', async () => {
    const join = await invite('race')
    const codes = await Promise.all(
      Array.from({ length: 50 }, () => codeOf(attest(hub, machine('race'), { join }))),
    )
    assert.equal(codes.filter((code) => code === 'ok').length, 1)
    assert.equal(codes.filter((code) => code === 'ZT-409-JOIN-SPENT').length, 49)
  })

  it('refuses a token for another node', async () => {
    const { token, ...ticket } = parseJoinString(await invite('mine'))
    const join = encodeJoinString({ ...ticket, token, node: parseNodeName('yours') })
    assert.equal(await codeOf(attest(hub, machine('yours'), { join })), 'ZT-403-JOIN')
  })

  it('refuses a token that nobody made', async () => {
    const ticket = parseJoinString(await invite('made-up'))
    const join = encodeJoinString({ ...ticket, token: encodeBase64url(randomBytes(32)) })
    assert.equal(await codeOf(attest(hub, machine('made-up'), { join })), 'ZT-403-JOIN')
  })
})
