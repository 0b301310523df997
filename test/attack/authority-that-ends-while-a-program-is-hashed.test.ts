// A program as large as its sender likes takes as long to hash as its sender likes: what was allowed before is looked at
// again in the transaction that accepts the command.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { DenyEntry } from '#shared/protocol/deny-list.ts'
import { ReceivingNode } from '#test/support/receiving-node.ts'

function deny(node: ReceivingNode, entry: Pick<DenyEntry, 'kind' | 'value'>): void {
  node.deny.replace({
    v: 1,
    iss: node.hub.id,
    ver: 1,
    iat: 0,
    entries: [{ ...entry, from: 0, reason: 'lost' }],
  })
}

const ends: Record<string, { readonly happens: (node: ReceivingNode) => void; readonly code: string }> = {
  'the sender is revoked': {
    happens: (node) => deny(node, { kind: 'id', value: node.operator.id }),
    code: 'ZT-403-REVOKED',
  },
  'the certificate of the sender is revoked': {
    happens: (node) => deny(node, { kind: 'thumbprint', value: node.operator.thumbprint }),
    code: 'ZT-403-REVOKED',
  },
  'the hub that granted it is revoked': {
    happens: (node) => deny(node, { kind: 'id', value: node.hub.id }),
    code: 'ZT-403-REVOKED',
  },
  'the token ends': { happens: (node) => node.clock.advance(15_000), code: 'ZT-401-TOKEN' },
  'the message ends': { happens: (node) => node.clock.advance(61_000), code: 'ZT-408-STALE' },
}

for (const [what, { happens, code }] of Object.entries(ends)) {
  describe(`while a program is hashed, ${what}`, () => {
    it('and nothing runs', async (test) => {
      const node = await ReceivingNode.create(test)
      node.keeper.whileHashing = async () => happens(node)
      assert.equal(await node.refusal(node.message(node.spawn())), code)
      assert.equal(node.keeper.started.length, 0)
      assert.equal(node.rows('cmd.accepted').length, 0)
      assert.equal(node.lastRejection()?.code, code)
      assert.equal(node.keeper.released.length, 1)
    })
  })
}
