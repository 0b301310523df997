// What `audit verify` believes, and what it does not: rows, keys, anchors, copies and the hub itself.
import assert from 'node:assert/strict'
import { mkdtempSync, writeFileSync, readFileSync, rmSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it, type TestContext } from 'node:test'
import { EntryReader } from '#ops/ztctl/audit/entry-reader.ts'
import { verifyHubLog, type HubLogOptions } from '#ops/ztctl/audit/hub-log.ts'
import { LogCopyWriter, openLogCopy } from '#ops/ztctl/audit/log-copy.ts'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { entryOf } from '#shared/log/row.ts'
import { encodeEntries } from '#shared/log/tiles.ts'
import type { StoredRow } from '#shared/log/record.ts'
import { fillLog, logOptions, MadeLog, newSigner, openLog, rootOf } from '#test/support/log-fixture.ts'
import { say } from '#test/support/ztctl-io.ts'

const HUB = 'mesh.example/log/hub/h1/e1'
const NODE = 'mesh.example/log/node/n1/e1'
const folder = mkdtempSync(join(tmpdir(), 'ztctl-audit-'))
after(() => rmSync(folder, { recursive: true }))
const env = { ZTMESH_CONFIG_DIR: join(folder, 'config') }

/** A hub's log that registers the node's key and anchors `sizes` of its rows. */
function hubLogOver(node: MadeLog, sizes: readonly number[]): MadeLog {
  const hub = new MadeLog(newSigner(HUB))
  hub.add({ type: 'node.joined', out: 'allow', obj: { node: 'n1', log: NODE, vkey: node.signer.vkey } })
  const rows = node.rows()
  for (const size of sizes) {
    const root = encodeBase64url(rootOf(rows.slice(0, size)))
    hub.add({
      type: 'anchor.received',
      out: 'allow',
      obj: { origin: NODE, size, root, hub_ts: 1_800_000_000_000 },
    })
  }
  return hub
}

const entriesOf = (rows: readonly StoredRow[]): Uint8Array[] =>
  rows.map(({ prev, body }) => entryOf(prev, body))

function saveCopy(name: string, log: MadeLog, rows: readonly StoredRow[] = log.rows()): string {
  const path = join(folder, `${name}.ztlog`)
  rmSync(path, { force: true })
  const writer = new LogCopyWriter(path, {
    origin: log.signer.name,
    vkey: log.signer.vkey,
    checkpoints: [log.note()],
  })
  for (const entry of entriesOf(rows)) writer.add(entry)
  writer.close()
  return path
}

function serve(hub: MadeLog, rows: readonly StoredRow[] = hub.rows()): Omit<HubLogOptions, 'seen' | 'copy'> {
  const entries = entriesOf(rows)
  return {
    identity: { origin: HUB, vkey: hub.signer.vkey },
    async ask(request) {
      if (request.kind === 'checkpoint') return { kind: 'checkpoint', note: hub.note() }
      assert.ok(request.kind === 'entries')
      const { from } = request
      return { kind: 'entries', data: encodeBase64url(encodeEntries(entries.slice(from, from + 100))) }
    },
  }
}

const node = new MadeLog(newSigner(NODE)).fill(30)
const hub = hubLogOver(node, [5, 20])

describe('the log of a hub', () => {
  it('is verified whole, in as many pieces as it comes in', async () => {
    const large = hubLogOver(node, [5]).fill(600)
    const { report, witnessed } = await verifyHubLog({ ...serve(large), seen: undefined, copy: undefined })
    assert.equal(report.firstBad, undefined)
    assert.equal(report.rows, 603)
    assert.equal(witnessed.ofNode('n1')?.vkey, node.signer.vkey)
    assert.deepEqual(
      witnessed.ofOrigin(NODE)?.anchors.map((anchor) => anchor.size),
      [5],
    )
  })

  it('that is signed by another key is refused before any of it is fetched', async () => {
    const served = serve(hub)
    const asked: string[] = []
    const ask: HubLogOptions['ask'] = (request) => {
      asked.push(request.kind)
      return served.ask(request)
    }
    const identity = { origin: HUB, vkey: newSigner(HUB).vkey }
    await assert.rejects(verifyHubLog({ ask, identity, seen: undefined, copy: undefined }), {
      code: 'ZT-490-SIGNATURE',
    })
    assert.deepEqual(asked, ['checkpoint'])
  })

  it('that no longer contains the head seen last is a fork', async () => {
    const other = hubLogOver(node, [6, 21])
    const seen = { size: 3, root: rootOf(other.rows().slice(0, 3)) }
    const { report } = await verifyHubLog({ ...serve(hub), seen, copy: undefined })
    assert.equal(report.firstBad?.code, 'ZT-490-ANCHOR')
  })

  it('that is shorter than the head seen last is truncated', async () => {
    const seen = { size: 10, root: rootOf(hub.rows()) }
    const { report } = await verifyHubLog({ ...serve(hub), seen, copy: undefined })
    assert.equal(report.firstBad?.code, 'ZT-490-TRUNCATED')
  })

  it('that gives fewer entries than it signed for is truncated', async () => {
    const { report } = await verifyHubLog({
      ...serve(hub, hub.rows().slice(0, 3)),
      seen: undefined,
      copy: undefined,
    })
    assert.equal(report.firstBad?.code, 'ZT-490-TRUNCATED')
    assert.equal(report.firstBad.seq, 3)
  })

  const contradictions: Record<string, (log: MadeLog) => MadeLog> = {
    'that anchors a log that was never registered': (log) =>
      log.add({
        type: 'anchor.received',
        obj: { origin: 'mesh.example/log/node/x/e1', size: 1, root: 'AA' },
      }),
    'that registers a second key for a known log': (log) =>
      log.add({ type: 'node.attested', obj: { node: 'n1', log: NODE, vkey: newSigner(NODE).vkey } }),
    'that registers a key of another log': (log) =>
      log.add({ type: 'node.joined', obj: { node: 'n2', log: NODE, vkey: newSigner(HUB).vkey } }),
    'that anchors without a root': (log) =>
      log.add({ type: 'anchor.received', obj: { origin: NODE, size: 7, root: 'AA' } }),
  }
  for (const [what, add] of Object.entries(contradictions)) {
    it(`${what} does not hold`, async () => {
      const { report } = await verifyHubLog({
        ...serve(add(hubLogOver(node, [5]))),
        seen: undefined,
        copy: undefined,
      })
      assert.ok(report.firstBad !== undefined)
    })
  }
})

describe('a copy of a node’s log', () => {
  const verify = (file: string, ...more: string[]): ReturnType<typeof say> =>
    say(['audit', 'verify', '--file', file, ...more, '-o', 'json'], { env })
  const hubFile = saveCopy('hub', hub)
  const withHub = ['--hub-log', hubFile, '--vkey', hub.signer.vkey]

  interface Verified {
    readonly ok: boolean
    readonly items: readonly {
      readonly log: string
      readonly ok: boolean
      readonly firstBad: { readonly seq: number; readonly code: string } | null
    }[]
  }
  const bad = (stdout: string): Verified['items'][0]['firstBad'] | undefined =>
    (JSON.parse(stdout) as Verified).items.at(-1)?.firstBad

  it('passes against the keys and anchors of the hub’s log', async () => {
    const said = await verify(saveCopy('good', node), ...withHub)
    assert.match(said.stderr, /^ztctl: warning: who is denied is known as of \S+ \(the hub's log\)[^\n]*\n$/)
    assert.equal(said.status, 0)
    const report = JSON.parse(said.stdout) as Verified
    assert.equal(report.ok, true)
    assert.equal(report.items.length, 2)
  })

  it('holds with its key alone, and it is said that nobody knows what of it is quarantined', async () => {
    const said = await verify(saveCopy('good', node), '--vkey', node.signer.vkey)
    assert.equal(said.status, 7)
    assert.match(said.stderr, /ZT-503-DENY-LIST/)
    const { ok, items } = JSON.parse(said.stdout) as Verified
    assert.deepEqual([ok, items.map((item) => item.ok)], [false, [true]])
  })

  it('is never verified without a key: that is a failed check', async () => {
    const said = await verify(saveCopy('good', node))
    assert.equal(said.status, 9)
    assert.match(said.stderr, /ZT-490-UNVERIFIABLE/)
  })

  it('with a key of another log is not verified either', async () => {
    assert.equal((await verify(saveCopy('good', node), '--vkey', hub.signer.vkey)).status, 9)
  })

  const tampered: Record<string, [change: (rows: StoredRow[]) => StoredRow[], seq: number, code: string]> = {
    'with an edited row': [
      (rows) => {
        const target = rows[12]
        if (target !== undefined) {
          const body = Buffer.from(
            Buffer.from(target.body).toString().replace('/usr/bin/true', '/usr/bin/evil'),
          )
          rows[12] = { ...target, body }
        }
        return rows
      },
      12,
      'ZT-490-ROW',
    ],
    'with an edited last row': [
      (rows) => {
        const last = rows.at(-1)
        return last === undefined ? rows : rows.with(-1, { ...last, body: rows[3]?.body ?? last.body })
      },
      30,
      'ZT-490-CHAIN',
    ],
    'with an edited row before the last': [
      (rows) => {
        const target = rows.at(-2)
        const body = Buffer.from(
          Buffer.from(target?.body ?? [])
            .toString()
            .replace('true', 'evil'),
        )
        return target === undefined ? rows : rows.with(-2, { ...target, body })
      },
      29,
      'ZT-490-CHAIN',
    ],
    'with a changed link': [
      (rows) => {
        const target = rows[9]
        return target === undefined ? rows : rows.with(9, { ...target, prev: Buffer.alloc(32, 7) })
      },
      9,
      'ZT-490-ROW',
    ],
    'without one row': [(rows) => rows.toSpliced(7, 1), 7, 'ZT-490-CHAIN'],
    'with two rows in each other’s place': [
      (rows) => rows.toSpliced(7, 2, ...rows.slice(7, 9).toReversed()),
      7,
      'ZT-490-CHAIN',
    ],
    'cut below its anchor': [(rows) => rows.slice(0, 15), 15, 'ZT-490-TRUNCATED'],
    'cut behind its anchor': [(rows) => rows.slice(0, 25), 25, 'ZT-490-TRUNCATED'],
  }
  for (const [what, [change, seq, code]] of Object.entries(tampered)) {
    it(`${what} fails, and the row is named`, async () => {
      const said = await verify(saveCopy('bad', node, change(node.rows())), ...withHub)
      assert.equal(said.status, 9)
      assert.deepEqual([bad(said.stdout)?.seq, bad(said.stdout)?.code], [seq, code])
      assert.match(said.stderr, new RegExp(code))
    })
  }

  it('that was rewritten and signed again with its true key is caught by its anchors', async () => {
    const other = new MadeLog(node.signer)
    other.fill(4).add({ type: 'cmd.rejected', out: 'deny' }).fill(25)
    const said = await verify(saveCopy('rewritten', other), ...withHub)
    assert.equal(said.status, 9)
    assert.equal(bad(said.stdout)?.code, 'ZT-490-ANCHOR')
    const alone = await verify(saveCopy('rewritten', other), '--vkey', node.signer.vkey)
    assert.equal(bad(alone.stdout), null)
  })

  it('against a hub’s log that does not hold fails, whatever the node’s own says', async () => {
    const cut = saveCopy('hub-cut', hub, hub.rows().slice(0, 3))
    const said = await verify(saveCopy('good', node), '--hub-log', cut, '--vkey', hub.signer.vkey)
    assert.equal(said.status, 9)
  })

  const files: Record<string, string> = {
    'that is empty': '',
    'that is no copy': 'hello\n',
    'that ends in the middle of a line': readFileSync(hubFile, 'utf8').slice(0, -10),
    'with a line that is no entry': `${readFileSync(hubFile, 'utf8')}***\n`,
  }
  for (const [what, text] of Object.entries(files)) {
    it(`${what} fails`, async () => {
      const path = join(folder, 'odd.ztlog')
      writeFileSync(path, text)
      assert.equal((await verify(path, '--vkey', hub.signer.vkey)).status, 9)
    })
  }

  it('that is not there fails', async () => {
    assert.equal((await verify(join(folder, 'none'))).status, 9)
  })
})

describe('a copy of a database', () => {
  async function database(t: TestContext): Promise<{ file: string; vkey: string }> {
    const options = await logOptions(t)
    const log = openLog(t, options)
    await fillLog(log, 20)
    await log.close()
    return { file: options.file, vkey: options.signer.vkey }
  }

  it('passes with its key', async (t) => {
    const { file, vkey } = await database(t)
    const said = await say(['audit', 'verify', '--file', file, '--vkey', vkey], { env })
    assert.equal(said.status, 7, said.stderr)
    assert.match(said.stdout, /^LOG +STATE +ROWS +QUARANTINED.*\n\S+ +ok +\d+ +unknown /)
  })

  it('with one changed byte fails, and the row is named', async (t) => {
    const { file, vkey } = await database(t)
    const opened = new DatabaseSync(file)
    for (const { name } of opened.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").all()) {
      opened.exec(`DROP TRIGGER ${String(name)}`)
    }
    opened.exec(
      'UPDATE audit SET body = CAST(replace(CAST(body AS TEXT), \'"index":9\', \'"index":8\') AS BLOB) WHERE seq = 10',
    )
    opened.close()
    const said = await say(['audit', 'verify', '--file', file, '--vkey', vkey], { env })
    assert.equal(said.status, 9)
    assert.match(said.stderr, /row 10: .*ZT-490-ROW/)
  })
})

describe('flags of audit verify', () => {
  const refused = ['--vkey x', '--hub-log x', '--file x --save y']
  for (const flags of refused) {
    it(`refuses ${flags} where it would do nothing`, async () => {
      assert.equal((await say(['audit', 'verify', ...flags.split(' ')], { env })).status, 2)
    })
  }
})

it('a copy comes back as it was written, and never takes the place of another file', () => {
  const path = saveCopy('same', node)
  const { head, entries } = openLogCopy(path)
  assert.deepEqual(head, { origin: NODE, vkey: node.signer.vkey, checkpoints: [node.note()] })
  assert.deepEqual(
    [...entries].map((entry) => Buffer.from(entry)),
    entriesOf(node.rows()).map((entry) => Buffer.from(entry)),
  )
  assert.throws(() => new LogCopyWriter(path, head), { code: 'EEXIST' })
})

it('entries come whole out of pieces of any size', () => {
  const entries = entriesOf(node.rows()).map((entry) => Buffer.from(entry))
  const bytes = encodeEntries(entries)
  for (const size of [1, 2, 3, 7, 100, bytes.length]) {
    const reader = new EntryReader()
    const found: Buffer[] = []
    for (let at = 0; at < bytes.length; at += size) {
      found.push(...[...reader.push(bytes.subarray(at, at + size))].map((entry) => Buffer.from(entry)))
    }
    assert.deepEqual(found, entries)
    assert.equal(reader.pending, 0)
  }
})
