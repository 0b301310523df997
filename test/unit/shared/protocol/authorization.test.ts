import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { sha256Text } from '#shared/encoding/digest.ts'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { detailFor, matchCommand, parseDetail } from '#shared/protocol/authorization.ts'
import { parseCommand, type Command } from '#shared/protocol/command.ts'
import {
  createProtocolFixture,
  PROC,
  spawnCommand,
  type ProtocolFixture,
} from '#test/support/protocol-fixture.ts'

let fixture: ProtocolFixture
let commands: Record<string, Command>
before(async () => {
  fixture = await createProtocolFixture()
  const node = fixture.node.id
  const out = { stream: 'a1', key: encodeBase64url(new Uint8Array(32)), window: 65_536 }
  commands = {
    spawn: spawnCommand(fixture),
    watch: parseCommand({
      v: 1,
      op: 'process.watch',
      node,
      proc: PROC,
      started: 5,
      from: { stdout: 0, stderr: 0 },
      follow: true,
      out,
    }),
    kill: parseCommand({ v: 1, op: 'process.kill', node, proc: PROC, started: 5, grace_ms: 0 }),
    list: parseCommand({ v: 1, op: 'process.list', node, all: true }),
    'audit.export': parseCommand({ v: 1, op: 'audit.export', node, from: 0, out }),
  }
})

describe('authorization detail', () => {
  it('of every command is well-formed, names its action, and allows that command alone', () => {
    for (const [action, cmd] of Object.entries(commands)) {
      const detail = parseDetail(JSON.parse(JSON.stringify(detailFor(cmd))), '')
      assert.deepEqual(detail.actions, [action])
      matchCommand(cmd, detail)
      for (const [other, otherCmd] of Object.entries(commands)) {
        if (other !== action) assert.throws(() => matchCommand(otherCmd, detail), { code: 'ZT-422-CMD' })
      }
    }
  })

  it('carries no argv and no environment', () => {
    const text = JSON.stringify(
      detailFor(spawnCommand(fixture, { argv: ['node', 'hunter2'], env: { KEY: 'hunter2' } })),
    )
    assert.equal(text.includes('hunter2'), false)
  })

  const changes: Record<string, object> = {
    'one more argument': { argv: ['node', '/srv/run.js', '--x'] },
    'another argv[0]': { argv: ['nodE', '/srv/run.js'] },
    'another program': { exe: { path: '/usr/bin/nod' } },
    'a pinned program': { exe: { path: '/usr/bin/node', sha256: sha256Text('x') } },
    'another folder': { cwd: '/' },
    'another variable': { env: { ZT_TASK: '43' } },
    'one variable more': { env: { ZT_TASK: '42', LD_PRELOAD: '/x.so' } },
    'one capability more': {
      sandbox: {
        profile: 'default@1',
        caps: ['network', 'pty', 'read_anywhere', 'subprocess', 'workspace_rw'],
      },
    },
    'one capability less': { sandbox: { profile: 'default@1', caps: ['network', 'read_anywhere'] } },
    'no time limit': { limits: {} },
    'another process': { proc: 'p-bbbbbbbbbbbbbbbbbbbb' },
    'another node': { node: 'spiffe://mesh.example/node/build-box' },
  }
  for (const [what, change] of Object.entries(changes)) {
    it(`does not allow ${what}`, () => {
      const granted = detailFor(spawnCommand(fixture))
      assert.throws(() => matchCommand(spawnCommand(fixture, change), granted), { code: 'ZT-422-CMD' })
    })
  }

  it('does not allow a kill of the same process id with another start', () => {
    const kill = commands['kill'] as Command
    const later = parseCommand({ ...kill, started: 6 })
    assert.throws(() => matchCommand(later, detailFor(kill)), { code: 'ZT-422-CMD' })
  })

  it('refuses an explicit field that contradicts the digest, is missing, or is one too many', () => {
    const cmd = spawnCommand(fixture)
    const granted = detailFor(cmd)
    const { caps: _caps, ...withoutCaps } = granted
    const bent = [
      { ...granted, caps: ['network'] },
      { ...granted, exe: { path: '/bin/sh' } },
      { ...granted, sandbox: { profile: 'other' } },
      { ...granted, limits: { wall_s: 601 } },
      { ...granted, actions: ['list' as const] },
      { ...granted, locations: [fixture.otherNode.id] },
      { ...granted, started: 1 },
      withoutCaps,
    ]
    for (const detail of bent) assert.throws(() => matchCommand(cmd, detail), { code: 'ZT-422-CMD' })
    assert.throws(
      () =>
        matchCommand(commands['list'] as Command, { ...detailFor(commands['list'] as Command), caps: [] }),
      {
        code: 'ZT-422-CMD',
        details: { field: 'caps' },
      },
    )
  })

  const malformed: Record<string, object> = {
    'a digest of another algorithm': { cmd_digest: `md5:${'A'.repeat(43)}` },
    'a digest without its algorithm': { cmd_digest: 'A'.repeat(43) },
    'an unknown action': { actions: ['exec'] },
    'an unknown field': { argv: [] },
    'no location': { locations: [] },
  }
  for (const [what, change] of Object.entries(malformed)) {
    it(`refuses ${what}`, () => {
      assert.throws(() => parseDetail({ ...detailFor(spawnCommand(fixture)), ...change }, ''), {
        code: 'ZT-422-SCHEMA',
      })
    })
  }
})
