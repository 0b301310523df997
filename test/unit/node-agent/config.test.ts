import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { loadNodeConfig, parseNodeConfig } from '#node-agent/config.ts'
import { runAs } from '#node-agent/agent.ts'

const SOUND = { name: 'mac-mini', stateDir: '/var/lib/ztmesh', workspaceRoot: '/srv/ztmesh' }
const parse = (value: unknown): ReturnType<typeof parseNodeConfig> =>
  parseNodeConfig(Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)))

const refused: Readonly<Record<string, unknown>> = {
  'an unknown field': { ...SOUND, debug: true },
  'a missing name': { stateDir: '/a', workspaceRoot: '/b' },
  'a name with a dot': { ...SOUND, name: 'mac.mini' },
  'a relative stateDir': { ...SOUND, stateDir: 'state' },
  'a stateDir with a parent step': { ...SOUND, stateDir: '/var/../etc' },
  'a stateDir with a trailing slash': { ...SOUND, stateDir: '/var/lib/' },
  'the root as a stateDir': { ...SOUND, stateDir: '/' },
  'a workspace inside the state': { ...SOUND, workspaceRoot: '/var/lib/ztmesh/work' },
  'a state inside the workspaces': { ...SOUND, stateDir: '/srv/ztmesh/state' },
  'one folder for both': { ...SOUND, workspaceRoot: '/var/lib/ztmesh' },
  'an empty search path': { ...SOUND, searchPath: [] },
  'a relative search path': { ...SOUND, searchPath: ['bin'] },
  'root as the user of workloads': { ...SOUND, runAs: { uid: 0, gid: 0 } },
  'a pattern as a caller': { ...SOUND, allow: { callers: ['spiffe://mesh.example/operator/*'] } },
  'no callers at all': { ...SOUND, allow: { callers: [] } },
  'a capability twice': { ...SOUND, allow: { capabilities: ['network', 'network'] } },
  'an anchor age shorter than its heartbeat': { ...SOUND, anchor: { maxAgeS: 20 } },
  'a heartbeat of no seconds': { ...SOUND, anchor: { heartbeatS: 0 } },
  'a TPM that is nowhere': { ...SOUND, tpm: {} },
  'a TPM in two places': { ...SOUND, tpm: { device: '/dev/tpmrm0', tcp: '127.0.0.1:2321' } },
  'a TPM of a relative path': { ...SOUND, tpm: { device: 'tpmrm0' } },
  'a password in place of its file': { ...SOUND, tpm: { device: '/dev/tpmrm0', ownerPassword: 'x' } },
  'a TPM without a port': { ...SOUND, tpm: { tcp: '127.0.0.1' } },
  'a TPM on port 0': { ...SOUND, tpm: { tcp: '127.0.0.1:0' } },
  'a TPM on a port that is none': { ...SOUND, tpm: { tcp: '127.0.0.1:65536' } },
  'a duplicate field': '{"name":"a","name":"b","stateDir":"/a","workspaceRoot":"/b"}',
  'a comment': '{"name":"a"} // x',
  'no json': 'name = mac-mini',
  'a list': [],
}

describe("the node's configuration", () => {
  for (const [what, value] of Object.entries(refused)) {
    it(`refuses ${what}`, () => assert.throws(() => parse(value), { code: 'ZT-400-CONFIG' }))
  }

  it('says where the TPM is', () => {
    const eventLog = '/sys/kernel/security/tpm0/binary_bios_measurements'
    const svidKey = 'tpm'
    const where = (tpm: object): unknown => parse({ ...SOUND, tpm }).tpm
    assert.deepEqual(where({ device: '/dev/tpmrm0' }), { where: { path: '/dev/tpmrm0' }, eventLog, svidKey })
    assert.deepEqual(where({ tcp: '[::1]:2321', eventLog: '/var/log/boot', svidKey: 'memory' }), {
      where: { host: '::1', port: 2321 },
      eventLog: '/var/log/boot',
      svidKey: 'memory',
    })
    const endorsementPasswordFile = '/etc/ztmesh/endorsement'
    assert.deepEqual(where({ device: '/dev/tpmrm0', endorsementPasswordFile }), {
      where: { path: '/dev/tpmrm0' },
      eventLog,
      svidKey,
      passwords: { owner: undefined, endorsement: endorsementPasswordFile },
    })
    assert.equal(parse(SOUND).tpm, undefined)
  })

  it('names the field that is wrong', () => {
    assert.throws(() => parse({ ...SOUND, name: 'Mac' }), { message: /"name"/ })
  })

  it('gives the default capabilities, and nothing beyond them, unless told otherwise', () => {
    assert.deepEqual(parse(SOUND).allow.capabilities, [
      'network',
      'read_anywhere',
      'subprocess',
      'workspace_rw',
    ])
    assert.deepEqual(parse({ ...SOUND, allow: { capabilities: [] } }).allow.capabilities, [])
  })

  it('anchors every 5 s, says that it lives every 30, and is stale after 60', () => {
    assert.deepEqual(parse(SOUND).anchor, {
      intervalMs: 5000,
      heartbeatMs: 30_000,
      maxAgeMs: 60_000,
      requiredFor: 'privileged-spawns',
    })
  })

  it('refuses a file that is not there, and one that is a folder', () => {
    for (const file of ['/nonexistent/node.json', '/tmp']) {
      assert.throws(() => loadNodeConfig(file), { code: 'ZT-400-CONFIG' })
    }
  })

  it('runs workloads as nobody when it is root, and as nobody else when it is not', () => {
    const root = process.geteuid?.() === 0
    const other = { uid: 4242, gid: 4242 }
    if (root) {
      assert.deepEqual(runAs({ runAs: undefined }), { uid: 65_534, gid: 65_534 })
      assert.deepEqual(runAs({ runAs: other }), other)
    } else assert.throws(() => runAs({ runAs: other }), { code: 'ZT-400-CONFIG' })
  })
})
