// Who reads saved evidence is told as of when it is known who is denied, and rows from after that never pass for clean.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { before, describe, it, type TestContext } from 'node:test'
import { DENY_COPY, writeDenyCopy } from '#ops/ztctl/audit/deny-copy.ts'
import { LogCopyWriter } from '#ops/ztctl/audit/log-copy.ts'
import { entryOf } from '#shared/log/row.ts'
import { signDenyList } from '#shared/protocol/deny-list.ts'
import { rootFingerprint } from '#shared/x509/bundle.ts'
import { MadeLog, newSigner } from '#test/support/log-fixture.ts'
import { tempDir } from '#test/support/temp-dir.ts'
import { makeTestPki, type TestPki } from '#test/support/test-pki.ts'
import { say } from '#test/support/ztctl-io.ts'

const HUB = 'mesh.example/log/hub/h1/e1'
const NODE = 'mesh.example/log/node/n1/e1'
const ANN = 'spiffe://mesh.example/operator/ann'
const T0 = 1_800_000_100_000
const MINUTE = 60_000
const AS_OF = new Date(T0).toISOString()

interface Report {
  readonly ok: boolean
  readonly items: readonly {
    readonly log: string
    readonly quarantined: unknown
    readonly unknownRows: number
    readonly deniedAsOf: { readonly time: string; readonly denyListVersion: number | null } | null
  }[]
}

/** When a row was written, by both clocks of its machine. */
const at = (ts: number): { ts: number; mono: string } => ({ ts, mono: String(BigInt(ts) * 1_000_000n) })

function logWith(name: string, ...times: readonly number[]): MadeLog {
  const log = new MadeLog(newSigner(name))
  const actor = { caller: ANN, sub: ANN }
  for (const ts of times) log.add({ type: 'cmd.accepted', out: 'allow', cmd: `c-${ts}`, actor, ...at(ts) })
  return log
}

describe('a deny list that was saved with evidence', () => {
  let pki: TestPki
  before(async () => {
    pki = await makeTestPki({ now: T0 })
  })

  const verify = async (
    t: TestContext,
    { node, hub, list = true }: { node: MadeLog; hub?: MadeLog; list?: boolean },
  ): Promise<Awaited<ReturnType<typeof say>> & { report: Report; table: string }> => {
    const folder = await tempDir(t)
    const save = (name: string, log: MadeLog): string => {
      const path = join(folder, `${name}.ztlog`)
      const { name: origin, vkey } = log.signer
      const writer = new LogCopyWriter(path, { origin, vkey, checkpoints: [log.note()] })
      for (const { prev, body } of log.rows()) writer.add(entryOf(prev, body))
      writer.close()
      return path
    }
    const deny = signDenyList(pki.identity('/hub/h1'), { ver: 7, entries: [], now: T0 })
    if (list) writeDenyCopy(join(folder, DENY_COPY), { at: T0, deny, bundle: pki.signedBundle })
    const [root] = pki.bundle.roots
    assert.ok(root !== undefined)
    const args = ['audit', 'verify', '--file', save('n1', node), '--vkey', node.signer.vkey]
    args.push('--root-fingerprint', rootFingerprint(root))
    if (hub !== undefined) args.push('--hub-log', save('hub', hub), '--vkey', hub.signer.vkey)
    const env = { ZTMESH_CONFIG_DIR: join(folder, 'config') }
    const said = await say([...args, '-o', 'json'], { env })
    const { stdout: table } = await say(args, { env })
    return { ...said, report: JSON.parse(said.stdout) as Report, table }
  }

  it('says as of when it is known who is denied', async (t) => {
    const { status, stderr, report, table } = await verify(t, { node: logWith(NODE, T0 - MINUTE) })
    assert.equal(status, 0, stderr)
    assert.deepEqual(report.items[0]?.deniedAsOf, { time: AS_OF, denyListVersion: 7 })
    assert.match(stderr, new RegExp(`who is denied is known as of ${AS_OF} \\(deny list 7\\)`))
    assert.match(table, /^LOG +STATE +ROWS +QUARANTINED +AS OF /m)
  })

  it('leaves it unknown of the rows that are from after it', async (t) => {
    const node = logWith(NODE, T0 - MINUTE, T0 + MINUTE, T0 + 2 * MINUTE)
    const { status, stderr, report, table } = await verify(t, { node })
    assert.deepEqual([status, report.ok, report.items[0]?.unknownRows], [7, false, 2])
    assert.match(stderr, /2 rows are from after .*ZT-503-DENY-LIST/)
    assert.match(table, / 0, 2 unknown /)
  })

  it('takes the clock of a node that is ahead by seconds for no later time', async (t) => {
    assert.equal((await verify(t, { node: logWith(NODE, T0 + 29_000) })).status, 0)
  })

  it('is continued by the hub’s log, which names whoever was denied up to its last row', async (t) => {
    const node = logWith(NODE, T0 + MINUTE)
    const hub = logWith(HUB)
    hub.add({ type: 'node.joined', out: 'allow', obj: { node: 'n1', log: NODE, vkey: node.signer.vkey } })
    hub.add({ type: 'audit.read', out: 'allow', ...at(T0 + 5 * MINUTE) })
    const { status, stderr, report } = await verify(t, { node, hub })
    assert.equal(status, 0, stderr)
    const time = new Date(T0 + 5 * MINUTE).toISOString()
    assert.deepEqual(report.items[0]?.deniedAsOf, { time, denyListVersion: 7 })
  })

  it('is not needed beside the hub’s log, which tells nothing of what is later either', async (t) => {
    const node = logWith(NODE, T0 + MINUTE)
    const hub = logWith(HUB)
    hub.add({ type: 'node.joined', out: 'allow', obj: { node: 'n1', log: NODE, vkey: node.signer.vkey } })
    const { status, report } = await verify(t, { node, hub, list: false })
    const n1 = report.items.find(({ log }) => log.endsWith('n1.ztlog'))
    assert.deepEqual([status, n1?.unknownRows, n1?.deniedAsOf?.denyListVersion], [8, 1, null])
  })
})
