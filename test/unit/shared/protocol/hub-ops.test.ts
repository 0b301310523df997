import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { HUB_OPS, parseHubParams, parseHubResult, type HubOp } from '#shared/protocol/hub-ops.ts'
import { parseResult } from '#shared/protocol/results.ts'
import { PROC } from '#test/support/protocol-fixture.ts'

const b64 = (length: number): string => encodeBase64url(new Uint8Array(length).fill(1))
const list = { v: 1, op: 'process.list', node: 'spiffe://mesh.example/node/a', all: true }
const note = 'origin\n1\nAAAA\n\n— k s\n'
const ann = 'spiffe://mesh.example/operator/ann'

const good: Partial<Record<HubOp, unknown>> = {
  hello: { enc_key: 'a.b.c' },
  'enc-key': { enc_key: 'a.b.c' },
  'node.list': {},
  'node.join-token': { node: 'mac-mini' },
  'node.revoke': { node: 'mac-mini', reason: 'stolen' },
  revoke: { id: ann, reason: 'left' },
  allow: { id: ann },
  'can-i': { cmd: list },
  log: { kind: 'tile', path: 'tile/0/x001/x234/067' },
  deny: {},
  anchor: { checkpoint: note, old: 3, proof: [b64(32)], hub_old: 0 },
}

describe('hub operations', () => {
  it('read their parameters', () => {
    for (const [op, params] of Object.entries(good)) {
      assert.equal(JSON.stringify(parseHubParams(op as HubOp, params)), JSON.stringify(params), op)
    }
  })

  it('refuse an unknown field, each of them', () => {
    for (const op of HUB_OPS) {
      const params = { ...(good[op] as object | undefined), surprise: 1 }
      assert.throws(() => parseHubParams(op, params), { code: 'ZT-422-SCHEMA' }, op)
    }
  })

  const bent: readonly [HubOp, string, unknown][] = [
    ['hello', 'no key', {}],
    ['node.join-token', 'a name that is none', { node: 'a.b' }],
    ['node.revoke', 'no reason', { node: 'a' }],
    ['node.revoke', 'a reason of two lines', { node: 'a', reason: 'x\ny' }],
    ['revoke', 'a name in place of an id', { id: 'ann', reason: '' }],
    ['node.join-token', 'replace as text', { node: 'a', replace: 'yes' }],
    ['allow', 'a name in place of an id', { id: 'ann' }],
    ['can-i', 'a command that is none', { cmd: { op: 'process.exec' } }],
    ['log', 'a row before the first', { kind: 'entries', from: -1 }],
    ['log', 'a path out of the log', { kind: 'tile', path: 'tile/../key' }],
    ['log', 'a level that is not there', { kind: 'tile', path: 'tile/100/000' }],
    ['log', 'a tile by number', { kind: 'tile', path: 'tile/0/1234' }],
    ['log', 'a partial tile of no width', { kind: 'tile', path: 'tile/0/000.p/' }],
    ['log', 'an unknown kind', { kind: 'rows' }],
    ['anchor', 'a hash of 31 bytes', { ...(good.anchor as object), proof: [b64(31)] }],
    [
      'anchor',
      'a proof without end',
      { ...(good.anchor as object), proof: Array.from({ length: 129 }, () => b64(32)) },
    ],
    ['anchor', 'a size below zero', { ...(good.anchor as object), old: -1 }],
  ]
  for (const [op, what, params] of bent) {
    it(`${op} refuses ${what}`, () =>
      assert.throws(() => parseHubParams(op, params), { code: 'ZT-422-SCHEMA' }))
  }

  it('read their results and refuse what is not one', () => {
    const nodes = [
      {
        name: 'a',
        id: 'spiffe://mesh.example/node/a',
        state: 'joined',
        lvl: 1,
        joined: 1,
        seen: 2,
        anchored: null,
        svidKey: null,
      },
    ]
    assert.equal(parseHubResult('node.list', { nodes }).nodes[0]?.anchored, null)
    assert.equal(parseHubResult('log', { kind: 'checkpoint', note }).kind, 'checkpoint')
    assert.equal(parseHubResult('node.revoke', { ver: 3 }).ver, 3)
    const results: readonly [HubOp, unknown][] = [
      ['node.list', { nodes: [{ ...nodes[0], state: 'trusted' }] }],
      ['node.join-token', { join: 'token', expires: 1 }],
      ['log', { kind: 'tile', data: 'a=' }],
      ['can-i', { allowed: 'yes', reasons: [], decision: 'x' }],
      ['anchor', { checkpoint: note, index: 0, entry: b64(32), inclusion: [], consistency: [] }],
    ]
    for (const [op, value] of results) {
      assert.throws(() => parseHubResult(op, value), { code: 'ZT-422-SCHEMA' }, op)
    }
  })
})

describe('results of commands', () => {
  const out = { epk: b64(32) }

  it('are read by the kind of the command', () => {
    const exe = { path: '/bin/true', sha256: b64(32) }
    assert.equal(parseResult('process.spawn', { proc: PROC, started: 1, exe, out }).out?.epk, out.epk)
    assert.equal(
      parseResult('process.watch', { proc: PROC, started: 1, state: 'running', out }).state,
      'running',
    )
    const killed = { proc: PROC, started: 1, state: 'exited', exit: { signal: 'TERM' } }
    assert.equal(parseResult('process.kill', killed).exit?.signal, 'TERM')
    assert.deepEqual(parseResult('process.list', { procs: [] }).procs, [])
    assert.equal(parseResult('audit.export', { size: 9, out }).size, 9)
  })

  const bent: readonly [Parameters<typeof parseResult>[0], unknown][] = [
    ['process.spawn', { proc: PROC, started: 1 }],
    ['process.spawn', { proc: 'p-1', started: 1, exe: { path: '/x' } }],
    ['process.watch', { proc: PROC, started: 1, state: 'running' }],
    ['process.watch', { proc: PROC, started: 1, state: 'zombie', out }],
    ['process.kill', { proc: PROC, started: 1, state: 'exited', exit: { code: 256 } }],
    ['process.list', { procs: [{ proc: PROC }] }],
    ['audit.export', { size: -1, out }],
    ['audit.export', { size: 1, out: { epk: b64(31) } }],
  ]
  for (const [op, value] of bent) {
    it(`${op} refuses ${JSON.stringify(value).slice(0, 70)}`, () => {
      assert.throws(() => parseResult(op, value), { code: 'ZT-422-SCHEMA' })
    })
  }
})
