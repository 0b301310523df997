// Whatever reaches a node: nothing is thrown, every refusal has a code, and nothing runs but what was granted.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { canonicalJson } from '#shared/encoding/canonical-json.ts'
import { isErrorCode } from '#shared/errors/codes.ts'
import { parseNodeConfig } from '#node-agent/config.ts'
import { change, changed, edit, refusalOr, RUNS, strictJson } from '#test/support/fuzz.ts'
import { ReceivingNode } from '#test/support/receiving-node.ts'

/** Delivers bytes of which nobody is known to have sent them. */
async function deliverHostile(node: ReceivingNode, data: Uint8Array): Promise<void> {
  await node.receiver.receive({
    subject: node.subject,
    replyTo: 'zt.inbox.x.y',
    data,
    respond: () => assert.fail('somebody was answered'),
  })
}

function allRefused(node: ReceivingNode): void {
  assert.equal(node.keeper.prepared.length, 0)
  assert.equal(node.rows('cmd.accepted').length, 0)
  for (const { code } of node.rows('cmd.rejected')) assert.ok(isErrorCode(code ?? ''))
}

describe('the receive path', () => {
  it('refuses any bytes', async (test) => {
    const node = await ReceivingNode.create(test)
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), (bytes) => deliverHostile(node, bytes)),
      RUNS,
    )
    allRefused(node)
  })

  it('refuses a sound message that was changed anywhere on its way', async (test) => {
    const node = await ReceivingNode.create(test)
    const { text } = node.message(node.spawn())
    await fc.assert(
      fc.asyncProperty(edit, async (alter) => {
        const altered = alter(text)
        if (altered !== text) await deliverHostile(node, Buffer.from(altered, 'latin1'))
      }),
      RUNS,
    )
    allRefused(node)
  })

  it('refuses anything that a genuine caller signs which is no command', async (test) => {
    const node = await ReceivingNode.create(test)
    await fc.assert(
      fc.asyncProperty(strictJson, (value) => deliverHostile(node, Buffer.from(node.seal(value), 'latin1'))),
      RUNS,
    )
    allRefused(node)
  })

  it('runs what was granted or nothing, whatever a genuine caller changes about a sound message', async (test) => {
    const node = await ReceivingNode.create(test)
    await fc.assert(
      fc.asyncProperty(change, async (one) => {
        const before = node.keeper.started.length
        const cmd = node.spawn()
        const body = node.body(cmd)
        await node.receiver.receive({
          subject: node.subject,
          replyTo: String(body['reply']),
          data: Buffer.from(node.seal(changed(body, one)), 'latin1'),
          respond: () => undefined,
        })
        const ran = node.keeper.started.slice(before)
        assert.ok(ran.length <= 1)
        for (const { proc, spec } of ran) {
          const { argv, env, caps } = spec
          const granted = { proc: cmd.proc, argv: cmd.argv, env: cmd.env, caps: cmd.sandbox.caps }
          assert.equal(canonicalJson({ proc, argv, env, caps }), canonicalJson(granted))
        }
      }),
      RUNS,
    )
  })
})

describe("the node's configuration", () => {
  it('is refused with one code, or is sound', () => {
    const sound = {
      name: 'n1',
      stateDir: '/var/lib/z',
      workspaceRoot: '/srv/z',
      allow: { capabilities: [] },
    }
    fc.assert(
      fc.property(change, (one) => {
        const bytes = Buffer.from(JSON.stringify(changed(sound, one)))
        refusalOr(() => parseNodeConfig(bytes), ['ZT-400-CONFIG'])
      }),
      RUNS,
    )
  })
})
