import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { canonicalJson } from '#shared/encoding/canonical-json.ts'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { commandDigest, parseCommand, type Command } from '#shared/protocol/command.ts'
import { PROC, spawnBody } from '#test/support/protocol-fixture.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'

const node = parseSpiffeId('spiffe://mesh.example/node/mac-mini')
const key = encodeBase64url(new Uint8Array(32))
const out = { stream: 'a1', key, window: 1024 * 1024 }
const sha256 = sha256Text('exe')

let spawn: Record<string, unknown>
before(() => {
  spawn = spawnBody({ node: { id: node } } as Parameters<typeof spawnBody>[0])
})

const watch = {
  v: 1,
  op: 'process.watch',
  node,
  proc: PROC,
  started: 5,
  from: { stdout: 0, stderr: 0 },
  follow: true,
  out,
}
const kill = { v: 1, op: 'process.kill', node, proc: PROC, started: 5, signal: 'INT', grace_ms: 5000 }
const list = { v: 1, op: 'process.list', node, all: false }
const auditExport = { v: 1, op: 'audit.export', node, from: 0, out }

describe('command', () => {
  it('of every kind is returned as it came, frozen', () => {
    for (const body of [spawn, { ...spawn, out }, watch, kill, list, auditExport]) {
      const cmd = parseCommand(parseStrictJson(JSON.stringify(body), { maxBytes: 9999 }))
      assert.equal(canonicalJson(cmd), canonicalJson(body))
      assert.ok(Object.isFrozen(cmd))
    }
  })

  const spawns: Record<string, object> = {
    'an unknown field': { shell: true },
    'another version': { v: 2 },
    'an unknown operation': { op: 'process.exec' },
    'a node by name': { node: 'mac-mini' },
    'a process id of its own making': { proc: 'p-1' },
    'a process id with a subject separator': { proc: 'p-abcdefghij.lmnopqrst' },
    'an executable with a NUL': { exe: { path: '/bin/sh\0' } },
    'a relative executable': { exe: { path: './sh' } },
    'an executable above': { exe: { path: '../sh' } },
    'an empty executable': { exe: { path: '' } },
    'an executable with an unknown field': { exe: { path: '/bin/sh', shell: true } },
    'a digest of 31 bytes': { exe: { path: '/bin/sh', sha256: encodeBase64url(new Uint8Array(31)) } },
    'a digest in hex': { exe: { path: '/bin/sh', sha256: 'a'.repeat(64) } },
    'an empty argv': { argv: [] },
    'argv as one string': { argv: 'sh -c ls' },
    'a NUL in argv': { argv: ['sh', 'a\0b'] },
    'a number in argv': { argv: ['sh', 1] },
    'null in argv': { argv: ['sh', null] },
    'argv that is too long': { argv: Array.from({ length: 4097 }, () => '') },
    'a relative folder': { cwd: 'srv' },
    'a folder with a NUL': { cwd: '/srv\0' },
    'env as a list': { env: ['A=1'] },
    'an env name with an equals sign': { env: { 'A=B': '1' } },
    'an empty env name': { env: { '': '1' } },
    'an env name that begins with a digit': { env: { '1A': '1' } },
    'an env value with a NUL': { env: { A: '\0' } },
    'an env value that is not text': { env: { A: 1 } },
    'another sandbox profile': { sandbox: { profile: 'none', caps: [] } },
    'no sandbox': { sandbox: null },
    'an unknown capability': { sandbox: { profile: 'default@1', caps: ['root'] } },
    'capabilities in another order': { sandbox: { profile: 'default@1', caps: ['subprocess', 'network'] } },
    'a capability twice': { sandbox: { profile: 'default@1', caps: ['network', 'network'] } },
    'an unknown limit': { limits: { mem_mb: 1 } },
    'a limit of nothing': { limits: { wall_s: 0 } },
    'a limit below zero': { limits: { wall_s: -1 } },
    'a stream with a wildcard': { out: { ...out, stream: '*' } },
    'a stream with a dot': { out: { ...out, stream: 'a.b' } },
    'a stream in capitals': { out: { ...out, stream: 'A' } },
    'an output key of 33 bytes': { out: { ...out, key: encodeBase64url(new Uint8Array(33)) } },
    'a window too small for one frame': { out: { ...out, window: 1024 } },
    'a window too large': { out: { ...out, window: 2 ** 30 } },
    'a user of its choice': { user: { uid: 0, gid: 0 } },
  }
  for (const [what, change] of Object.entries(spawns)) {
    it(`refuses a spawn with ${what}`, () => {
      assert.throws(() => parseCommand({ ...spawn, ...change }), { code: 'ZT-422-SCHEMA' })
    })
  }

  const others: Record<string, object> = {
    'a watch without an output': (({ out: _out, ...rest }) => rest)(watch),
    'a watch from below zero': { ...watch, from: { stdout: -1, stderr: 0 } },
    'a watch of one stream only': { ...watch, from: { stdout: 0 } },
    'a watch without the start time': (({ started: _started, ...rest }) => rest)(watch),
    'a kill without the start time': (({ started: _started, ...rest }) => rest)(kill),
    'a kill with a signal by number': { ...kill, signal: 9 },
    'a kill with an unknown signal': { ...kill, signal: 'STOP' },
    'a kill with SIG before its signal': { ...kill, signal: 'SIGTERM' },
    'a kill with an endless grace': { ...kill, grace_ms: 60_001 },
    'a list with a process': { ...list, proc: PROC },
    'a list with a number for all': { ...list, all: 1 },
    'an export from below zero': { ...auditExport, from: -1 },
    'a command that is a list': [],
    'a command without an operation': { v: 1, node },
  }
  for (const [what, body] of Object.entries(others)) {
    it(`refuses ${what}`, () => assert.throws(() => parseCommand(body), { code: 'ZT-422-SCHEMA' }))
  }

  it('refuses a missing field, whichever it is', () => {
    for (const body of [spawn, watch, list, auditExport] as Record<string, unknown>[]) {
      for (const field of Object.keys(body).filter((name) => name !== 'cwd')) {
        const { [field]: _gone, ...rest } = body
        assert.throws(() => parseCommand(rest), { code: 'ZT-422-SCHEMA' }, `${String(body['op'])} ${field}`)
      }
    }
  })

  it('names the field in its refusal, and repeats nothing of its value', () => {
    assert.throws(() => parseCommand({ ...spawn, argv: ['sh', 'hunter2\0'] }), {
      details: { field: 'cmd.argv[1]' },
      message: /^(?!.*hunter2)/,
    })
  })

  it('has a digest of its canonical form, another for another byte, the same for another order of keys', () => {
    const cmd = parseCommand(spawn)
    const reordered = parseCommand(Object.fromEntries(Object.entries(spawn).toReversed()))
    assert.equal(commandDigest(cmd), `sha-256:${sha256Text(canonicalJson(spawn))}`)
    assert.equal(commandDigest(reordered), commandDigest(cmd))
    const changed: Command = parseCommand({ ...spawn, argv: ['node', '/srv/run.jt'] })
    assert.notEqual(commandDigest(changed), commandDigest(cmd))
    assert.notEqual(
      commandDigest(parseCommand({ ...spawn, exe: { path: '/usr/bin/node', sha256 } })),
      commandDigest(cmd),
    )
  })
})
