import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseCall, parseKeeperResult, parseMessage } from '#node-agent/keeper/protocol.ts'

const HANDLE = 'A'.repeat(22)
const PROC = 'p-aaaaaaaaaaaaaaaaaaaa'
const spec = { argv: ['true'], env: { A: 'b' }, caps: ['network'], masks: ['/var/x'] }
const start = { op: 'start', handle: HANDLE, proc: PROC, spec }
const prepare = {
  op: 'prepare',
  path: 'true',
  searchPath: ['/usr/bin'],
  runAs: { uid: 65534, gid: 65534 },
  workspace: { root: '/w', name: 'a' },
}
const kill = { op: 'kill', proc: PROC, started: '123', signal: 'TERM', graceMs: 10 }
const call = (request: unknown): unknown => ({ id: 1, request })

describe('a request', () => {
  for (const request of [
    start,
    prepare,
    kill,
    { op: 'list', all: true },
    { op: 'shutdown' },
    { op: 'inspect', proc: PROC },
  ]) {
    it(`of the form of ${request.op} is taken as it is`, () => {
      assert.deepEqual(JSON.parse(JSON.stringify(parseCall(call(request)))), call(request))
    })
  }

  const refused: Record<string, unknown> = {
    'no number': { request: start },
    'a number of zero': { id: 0, request: start },
    'an unknown operation': call({ op: 'exec' }),
    'an inherited operation': call({ op: 'constructor' }),
    'a field too many': call({ ...start, force: true }),
    'a field too few': call({ op: 'start', handle: HANDLE, proc: PROC }),
    'a process id that is a path': call({ ...start, proc: 'p-../../etc/passwd/aaa' }),
    'a handle that is a path': call({ ...start, handle: '../../../../etc/passwd' }),
    'an empty argv': call({ ...start, spec: { ...spec, argv: [] } }),
    'a nul in argv': call({ ...start, spec: { ...spec, argv: ['a\0b'] } }),
    'a nul in the environment': call({ ...start, spec: { ...spec, env: { A: 'a\0b' } } }),
    'an environment name with an equals sign': call({ ...start, spec: { ...spec, env: { 'A=B': 'c' } } }),
    'a relative mask': call({ ...start, spec: { ...spec, masks: ['var'] } }),
    'a wall time of zero': call({ ...start, spec: { ...spec, wallMs: 0 } }),
    'a relative folder of the search path': call({ ...prepare, searchPath: ['.'] }),
    'a negative user': call({ ...prepare, runAs: { uid: -1, gid: 1 } }),
    'the user that means none': call({ ...prepare, runAs: { uid: 4_294_967_295, gid: 1 } }),
    'a signal that is none': call({ ...kill, signal: 'STOP' }),
    'a start that is a number': call({ ...kill, started: 123 }),
    'a negative grace': call({ ...kill, graceMs: -1 }),
    'a list': [1, start],
    nothing: null,
  }
  for (const [what, value] of Object.entries(refused)) {
    it(`with ${what} is refused`, () => assert.throws(() => parseCall(value), { code: 'ZT-422-SCHEMA' }))
  }
})

describe('a message', () => {
  const refused: Record<string, unknown> = {
    'an unknown type': { type: 'log', text: 'x' },
    'an unknown event': { type: 'event', event: { event: 'paused', proc: PROC } },
    'a size below zero': {
      type: 'event',
      event: { event: 'output', proc: PROC, stream: 'stdout', size: -1 },
    },
    'a stream that is none': {
      type: 'event',
      event: { event: 'output', proc: PROC, stream: 'stdin', size: 1 },
    },
    'a fault without a code': { type: 'fault', id: 1, error: { message: 'x' } },
    'a hello without a version': { type: 'hello', pid: 1, boot: 'x' },
  }
  for (const [what, value] of Object.entries(refused)) {
    it(`with ${what} is refused`, () => assert.throws(() => parseMessage(value), { code: 'ZT-422-SCHEMA' }))
  }

  it('whose result is of another operation is refused', () => {
    assert.throws(() => parseKeeperResult('start', { handle: HANDLE }), { code: 'ZT-422-SCHEMA' })
    assert.throws(() => parseKeeperResult('release', 'x'), { code: 'ZT-422-SCHEMA' })
    assert.deepEqual(JSON.parse(JSON.stringify(parseKeeperResult('start', { pid: 1, started: '2' }))), {
      pid: 1,
      started: '2',
    })
  })
})
