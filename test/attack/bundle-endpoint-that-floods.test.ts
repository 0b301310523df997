// A bundle endpoint of somebody else cannot take the hub's memory, its time or its log: answers that never end, that are too
// large, or that hold more keys than anybody has are given up, and the bundle that is held stays.
import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { describe, it } from 'node:test'
import { bundleText, foreignCa, x509Jwk } from '#test/support/foreign-pki.ts'
import { eventually } from '#test/support/eventually.ts'
import {
  ca,
  documentOf,
  failureOf,
  fetched,
  NOW,
  spiffeFederation,
  spiffeRelation,
  spiffeServer,
  statusOf,
} from '#test/support/foreign-relation.ts'
import { startBundleServer } from '#test/support/bundle-server.ts'
import { openTestFederation } from '#test/support/relations.ts'

describe('a bundle endpoint', () => {
  const bodies: Record<string, [string, string]> = {
    'that sends more than 128 KiB': ['ZT-413-SIZE', ' '.repeat(129 * 1024)],
    'with more keys than anybody has': [
      'ZT-422-SPIFFE-BUNDLE',
      bundleText(Array.from({ length: 300 }, () => ({ kty: 'EC', use: 'x' }))),
    ],
    'whose json is nested without end': ['ZT-422-SPIFFE-BUNDLE', '['.repeat(100_000)],
    'whose json has a key twice': ['ZT-422-SPIFFE-BUNDLE', '{"keys":[],"keys":[]}'],
    'that answers with a page for people': ['ZT-422-SPIFFE-BUNDLE', '<html></html>'],
  }
  for (const [what, [code, body]] of Object.entries(bodies))
    it(`${what} is given up`, async (t) => {
      const { made } = await spiffeFederation(t, [spiffeServer()], body)
      assert.deepEqual((await failureOf(made))[0], code)
      assert.equal(statusOf(made).sequence, '1')
    })

  it('with more authorities than anybody has is given up', async (t) => {
    const one = x509Jwk(foreignCa('other.example', { at: NOW }))
    const many = Array.from({ length: 65 }, (_, index) =>
      x509Jwk(foreignCa('other.example', { at: NOW, name: `a${index}` })),
    )
    const { made } = await spiffeFederation(t, [spiffeServer()], bundleText([one, ...many]))
    assert.deepEqual((await failureOf(made))[0], 'ZT-422-SPIFFE-BUNDLE')
  })

  it('that never ends its answer is given up after twenty seconds', async (t) => {
    const server = await startBundleServer(t, [spiffeServer()])
    server.answer = (_message, response) => {
      response.writeHead(200)
      response.write('{"keys":[')
    }
    const relations = [await spiffeRelation(t, server.url, documentOf([ca], 1))]
    const made = await openTestFederation(t, { relations })
    made.federation.start()
    await eventually('the question', () => (server.asked.length === 1 ? true : undefined))
    made.clock.advance(20_000)
    assert.deepEqual((await failureOf(made))[0], 'ZT-503-FEDERATION')
  })

  it('that never shakes hands is given up too', async (t) => {
    const server = createServer((socket) => socket.on('error', () => undefined))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.after(() => server.close())
    const connected = once(server, 'connection')
    const url = new URL(`https://localhost:${(server.address() as AddressInfo).port}/`)
    const made = await openTestFederation(t, {
      relations: [await spiffeRelation(t, url, documentOf([ca], 1))],
    })
    made.federation.start()
    await connected
    made.clock.advance(20_000)
    assert.deepEqual((await failureOf(made))[0], 'ZT-503-FEDERATION')
  })

  it('that fails for a day leaves one row', async (t) => {
    const server = await startBundleServer(t, [spiffeServer()])
    server.answer = (_message, response) => {
      response.writeHead(500)
      response.end()
    }
    const relations = [await spiffeRelation(t, server.url, documentOf([ca], 1, 3600))]
    const made = await fetched(await openTestFederation(t, { relations }))
    for (let tries = 2; tries <= 24; tries += 1) {
      made.clock.advance(3_600_000)
      await eventually('the next try', () => (made.warnings.length === tries ? true : undefined))
    }
    await made.federation.close()
    assert.equal(made.rows.types.filter((type) => type === 'federation.failed').length, 1)
  })
})
