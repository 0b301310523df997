// Which rows of which log `audit verify` says are quarantined, for somebody who asks nobody.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, describe, it } from 'node:test'
import { DENY_COPY, writeDenyCopy } from '#ops/ztctl/audit/deny-copy.ts'
import { LogCopyWriter } from '#ops/ztctl/audit/log-copy.ts'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { entryOf } from '#shared/log/row.ts'
import { signDenyList, type DenyEntry } from '#shared/protocol/deny-list.ts'
import { rootFingerprint } from '#shared/x509/bundle.ts'
import { MadeLog, newSigner, rootOf } from '#test/support/log-fixture.ts'
import { makeTestPki, type TestPki } from '#test/support/test-pki.ts'
import { say } from '#test/support/ztctl-io.ts'

const HUB = 'mesh.example/log/hub/h1/e1'
const NODE = 'mesh.example/log/node/n1/e1'
const N1 = 'spiffe://mesh.example/node/n1'
const BOB = 'spiffe://mesh.example/operator/bob'
const ANN = 'spiffe://mesh.example/operator/ann'
const PRINT = 'Q'.repeat(43)
/** of row 0 of a made log; each row is 10 ms later, so that 100 of them are a second */
const T0 = 1_800_000_000_000
const S = 1000

interface Item {
  readonly log: string
  readonly ok: boolean
  readonly quarantined:
    | {
        readonly rows: number
        readonly since: string
        readonly until: string | null
        readonly reason: string
        readonly by: readonly { readonly id: string; readonly rows: number }[]
      }
    | 'unknown'
    | null
}

/** Rows of Bob and Ann in turn, 10 ms apart, for three seconds. */
function nodeLog(): MadeLog {
  const log = new MadeLog(newSigner(NODE))
  for (let row = 1; row < 300; row += 1) {
    const caller = row % 2 === 0 ? BOB : ANN
    const x5t = row < 200 ? PRINT : 'A'.repeat(43)
    log.add({ type: 'cmd.accepted', out: 'allow', cmd: `c-${row}`, actor: { caller, sub: caller, x5t } })
  }
  return log
}

interface Anchored {
  readonly size: number
  readonly at: number
}

function hubLog(node: MadeLog, anchored: readonly Anchored[] = []): MadeLog {
  const hub = new MadeLog(newSigner(HUB))
  hub.add({ type: 'node.joined', out: 'allow', obj: { node: 'n1', log: NODE, vkey: node.signer.vkey } })
  for (const { size, at } of anchored) {
    const root = encodeBase64url(rootOf(node.rows().slice(0, size)))
    hub.add({ type: 'anchor.received', out: 'allow', obj: { origin: NODE, size, root, hub_ts: at } })
  }
  return hub
}

describe('quarantined rows', () => {
  const node = nodeLog()
  let pki: TestPki
  let folder = ''
  before(async () => {
    pki = await makeTestPki({ now: T0 })
  })
  const folders: string[] = []
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'ztctl-quarantine-'))
    folders.push(folder)
  })
  after(() => {
    for (const made of folders) rmSync(made, { recursive: true })
  })

  const save = (name: string, log: MadeLog): string => {
    const path = join(folder, `${name}.ztlog`)
    const { name: origin, vkey } = log.signer
    const writer = new LogCopyWriter(path, { origin, vkey, checkpoints: [log.note()] })
    for (const { prev, body } of log.rows()) writer.add(entryOf(prev, body))
    writer.close()
    return path
  }
  const verify = async (...args: string[]): ReturnType<typeof say> =>
    say(['audit', 'verify', '-o', 'json', ...args], { env: { ZTMESH_CONFIG_DIR: join(folder, 'config') } })
  const itemsOf = async (hub: MadeLog): Promise<readonly Item[]> => {
    const files = ['--file', save('n1', node), '--hub-log', save('hub', hub)]
    const { stdout, stderr, status } = await verify(...files, '--vkey', hub.signer.vkey)
    assert.equal(status, 0, stderr)
    return (JSON.parse(stdout) as { items: Item[] }).items
  }
  const nodeOf = (items: readonly Item[]): Item['quarantined'] =>
    items.find(({ log }) => log.endsWith('n1.ztlog'))?.quarantined ?? null

  describe('by the hub’s log alone', () => {
    it('are those of a denied identity, from the moment that was named', async () => {
      const hub = hubLog(node)
      const obj = { id: BOB, reason: 'left', since: T0 + S }
      hub.add({ type: 'identity.revoked', out: 'allow', ts: T0 + 3 * S, obj })
      const found = nodeOf(await itemsOf(hub))
      assert.deepEqual(found, {
        rows: 100,
        since: new Date(T0 + S).toISOString(),
        until: null,
        reason: 'left',
        by: [{ id: BOB, rows: 100, since: new Date(T0 + S).toISOString(), until: null, reason: 'left' }],
      })
    })

    it('are no others when it is allowed again', async () => {
      const hub = hubLog(node)
      const revoked = { id: BOB, reason: 'left', since: T0 }
      hub.add({ type: 'identity.revoked', out: 'allow', ts: T0, obj: revoked })
      hub.add({ type: 'identity.restored', out: 'allow', ts: T0 + S, obj: { id: BOB } })
      const found = nodeOf(await itemsOf(hub))
      assert.ok(found !== null && found !== 'unknown')
      assert.deepEqual([found.rows, found.until], [49, new Date(T0 + S).toISOString()])
    })

    it('are those of a denied certificate, and not what its identity did with another', async () => {
      const hub = hubLog(node)
      const obj = { id: BOB, x5t: PRINT, reason: 'copied', since: T0, not_after: T0 + 300 * S }
      hub.add({ type: 'identity.revoked', out: 'allow', obj })
      const found = nodeOf(await itemsOf(hub))
      assert.ok(found !== null && found !== 'unknown')
      assert.equal(found.rows, 99)
    })

    it('are also those of the hub’s own log', async () => {
      const hub = hubLog(node)
      hub.add({ type: 'token.minted', out: 'allow', actor: { sub: BOB, caller: BOB } })
      hub.add({ type: 'identity.revoked', out: 'allow', obj: { id: BOB, reason: 'left', since: T0 } })
      const found = (await itemsOf(hub)).find(({ log }) => log.endsWith('hub.ztlog'))?.quarantined
      assert.ok(found !== null && found !== undefined && found !== 'unknown')
      assert.equal(found.rows, 1)
    })

    it('are those of a task whose owner is denied, though the task and its node are not', async () => {
      const hub = hubLog(node)
      const actor = { sub: 'spiffe://mesh.example/agent/coder/task/p-1', caller: N1 }
      const about = { proc: 'p-1', node: N1 }
      for (const type of ['svid.issued', 'jwt.issued'] as const)
        for (const owner of [BOB, ANN]) hub.add({ type, out: 'allow', actor, obj: { ...about, owner } })
      hub.add({ type: 'identity.revoked', out: 'allow', obj: { id: BOB, reason: 'left', since: T0 } })
      const found = (await itemsOf(hub)).find(({ log }) => log.endsWith('hub.ztlog'))?.quarantined
      assert.ok(found !== null && found !== undefined && found !== 'unknown')
      assert.deepEqual([found.rows, found.by.map(({ id }) => id)], [2, [BOB]])
    })

    it('are nobody’s while nobody was denied', async () => {
      assert.equal(nodeOf(await itemsOf(hubLog(node))), null)
    })
  })

  describe('of a denied node', () => {
    const revoked = { id: N1, reason: 'lost', since: T0 + 2 * S }

    it('are all that was not anchored before, whatever time its rows say', async () => {
      // Its rows claim to be from before; the hub had seen 120 of them by then.
      const hub = hubLog(node, [
        { size: 50, at: T0 },
        { size: 120, at: T0 + 2 * S - 1 },
        { size: 200, at: T0 + 2 * S },
      ])
      hub.add({ type: 'identity.revoked', out: 'allow', ts: T0 + 3 * S, obj: revoked })
      const found = nodeOf(await itemsOf(hub))
      assert.ok(found !== null && found !== 'unknown')
      assert.deepEqual([found.rows, found.by.map(({ id }) => id)], [180, [N1]])
    })

    it('are all, where nothing was anchored', async () => {
      const hub = hubLog(node)
      hub.add({ type: 'identity.revoked', out: 'allow', ts: T0 + 3 * S, obj: revoked })
      const found = nodeOf(await itemsOf(hub))
      assert.ok(found !== null && found !== 'unknown')
      assert.equal(found.rows, 300)
    })

    it('are those written while a denied certificate of it lived, by what was anchored before and after', async () => {
      const hub = hubLog(node, [
        { size: 50, at: T0 - 1 },
        { size: 120, at: T0 + S },
        { size: 220, at: T0 + 2 * S },
        { size: 280, at: T0 + 3 * S },
      ])
      const obj = { id: N1, x5t: PRINT, reason: 'copied', since: T0, not_after: T0 + 2 * S }
      hub.add({ type: 'identity.revoked', out: 'allow', ts: T0 + S, obj })
      const found = nodeOf(await itemsOf(hub))
      assert.ok(found !== null && found !== 'unknown')
      assert.deepEqual([found.rows, found.by.map(({ id }) => id)], [170, [N1]])
    })

    it('are counted once where two of its certificates are denied', async () => {
      const hub = hubLog(node, [
        { size: 100, at: T0 - 1 },
        { size: 200, at: T0 + 2 * S },
      ])
      for (const x5t of [PRINT, 'A'.repeat(43)]) {
        const obj = { id: N1, x5t, reason: 'copied', since: T0, not_after: T0 + 2 * S }
        hub.add({ type: 'identity.revoked', out: 'allow', ts: T0 + S, obj })
      }
      const found = nodeOf(await itemsOf(hub))
      assert.ok(found !== null && found !== 'unknown')
      assert.equal(found.rows, 100)
    })

    it('are none of a log that it began after it had been allowed again', async () => {
      const hub = new MadeLog(newSigner(HUB))
      hub.add({ type: 'identity.revoked', out: 'allow', ts: T0, obj: { id: N1, reason: 'lost' } })
      hub.add({ type: 'identity.restored', out: 'allow', ts: T0 + S, obj: { id: N1 } })
      const joined = { node: 'n1', log: NODE, vkey: node.signer.vkey }
      hub.add({ type: 'node.joined', out: 'allow', ts: T0 + S, obj: joined })
      assert.equal(nodeOf(await itemsOf(hub)), null)
    })

    it('are counted once where their actor is denied too', async () => {
      const hub = hubLog(node, [{ size: 100, at: T0 }])
      hub.add({ type: 'identity.revoked', out: 'allow', ts: T0 + 3 * S, obj: revoked })
      hub.add({ type: 'identity.revoked', out: 'allow', obj: { id: BOB, reason: 'left', since: T0 } })
      const found = nodeOf(await itemsOf(hub))
      assert.ok(found !== null && found !== 'unknown')
      assert.deepEqual(
        [found.rows, found.by.map(({ id, rows }) => [id, rows])],
        [
          249,
          [
            [N1, 200],
            [BOB, 49],
          ],
        ],
      )
    })
  })

  describe('by a saved deny list', () => {
    const entry: DenyEntry = { kind: 'id', value: BOB, from: T0 / S + 5, since: T0 / S + 1, reason: 'left' }
    const root = (): string => {
      const [certificate] = pki.bundle.roots
      assert.ok(certificate !== undefined)
      return rootFingerprint(certificate)
    }
    const saved = (path: string, signer = pki.identity('/hub/h1')): string => {
      const deny = signDenyList(signer, { ver: 1, entries: [entry], now: T0 })
      writeDenyCopy(path, { at: T0, deny, bundle: pki.signedBundle })
      return path
    }
    const offline = (...more: string[]): ReturnType<typeof verify> =>
      verify('--file', save('n1', node), '--vkey', node.signer.vkey, ...more)

    it('are the same as online, from the copy that lies beside the log', async () => {
      saved(join(folder, DENY_COPY))
      const { status, stdout, stderr } = await offline('--root-fingerprint', root())
      assert.equal(status, 0, stderr)
      assert.match(
        stderr,
        /warning: .*100 rows are quarantined because of spiffe:\/\/mesh\.example\/operator\/bob/,
      )
      const found = nodeOf((JSON.parse(stdout) as { items: Item[] }).items)
      assert.ok(found !== null && found !== 'unknown')
      assert.equal(found.rows, 100)
    })

    it('are the same from one that is named', async () => {
      const path = saved(join(folder, 'other.json'))
      assert.equal((await offline('--deny-list', path, '--root-fingerprint', root())).status, 0)
    })

    const broken: Record<string, (text: string) => string> = {
      'with an entry taken out': (text) => {
        const copy = JSON.parse(text) as { deny: string }
        const [head = '', , signature = ''] = copy.deny.split('.')
        const clean = { v: 1, iss: 'spiffe://mesh.example/hub/h1', ver: 1, iat: T0 / S, entries: [] }
        const payload = Buffer.from(JSON.stringify(clean)).toString('base64url')
        return JSON.stringify({ ...copy, deny: `${head}.${payload}.${signature}` })
      },
      'cut short': (text) => text.slice(0, -20),
      'that says another time': (text) => JSON.stringify({ ...JSON.parse(text), at: T0 + 86_400_000 * 30 }),
    }
    for (const [what, change] of Object.entries(broken))
      it(`are not taken from a copy ${what}`, async () => {
        const path = saved(join(folder, DENY_COPY))
        writeFileSync(path, change(readFileSync(path, 'utf8')))
        const { status, stderr, stdout } = await offline('--root-fingerprint', root())
        assert.deepEqual([status, stdout], [7, ''])
        assert.match(stderr, /ZT-503-DENY-LIST/)
      })

    it('are not taken from a copy of a mesh whose root nobody trusts here', async () => {
      saved(join(folder, DENY_COPY))
      assert.match((await offline('--root-fingerprint', 'ab'.repeat(32))).stderr, /ZT-503-DENY-LIST/)
    })

    it('are not taken from a copy where no root is pinned', async () => {
      saved(join(folder, DENY_COPY))
      assert.match((await offline()).stderr, /ZT-503-DENY-LIST/)
    })

    it('are not taken from a list that no hub has signed', async () => {
      saved(join(folder, DENY_COPY), pki.identity('/node/n1'))
      assert.match((await offline('--root-fingerprint', root())).stderr, /ZT-503-DENY-LIST/)
    })
  })
})
