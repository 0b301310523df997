// A log that is exported as static files is accepted by the verifier of the Go checksum database, which we did not write.
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test from 'node:test'
import type { DurableLog } from '#shared/host/durable-log.ts'
import { encodeBase64 } from '#shared/encoding/base64url.ts'
import { entryOf, leafHash } from '#shared/log/row.ts'
import { tilePath, tilesOf } from '#shared/log/tiles.ts'
import { fillLog, logOptions, newSigner, openLog, ORIGIN } from '#test/support/log-fixture.ts'
import { tempDir } from '#test/support/temp-dir.ts'

const SIZES = [1, 2, 255, 256, 257, 1_000, 3_001, 66_000]
const MODULE = join(import.meta.dirname, 'go-sumdb')
const hasGo = spawnSync('go', ['version']).status === 0
const required = (process.env['ZTMESH_REQUIRE'] ?? '').includes('go')
const skip = hasGo || required ? false : 'needs go'

/** Builds the log, taking a signed head at each of SIZES, and lays it out as C2SP tlog-tiles in `dir`. */
async function exportLog(log: DurableLog, dir: string): Promise<void> {
  for (const size of SIZES) {
    await fillLog(log, size - log.size)
    assert.equal(log.checkpoint().size, size)
    writeFileSync(join(dir, `checkpoint.${size}`), log.checkpoint().note)
    for (const tile of tilesOf(size)) {
      const path = join(dir, tilePath(tile))
      mkdirSync(dirname(path), { recursive: true })
      const bytes = log.tile(tilePath(tile))
      assert.ok(bytes !== undefined)
      writeFileSync(path, bytes)
    }
  }
  writeFileSync(join(dir, 'proofs.json'), JSON.stringify(proofsOf(log)))
}

function proofsOf(log: DurableLog): object[] {
  const pairs = SIZES.flatMap((size) => SIZES.filter((old) => old <= size).map((old) => ({ old, size })))
  const consistency = pairs.map(({ old, size }) => ({
    kind: 'consistency',
    old,
    size,
    proof: log.proveConsistency(old, size).map((hash) => encodeBase64(hash)),
  }))
  const inclusion = pairs.map(({ old, size }) => {
    const index = old - 1
    const [row] = [...log.rows(index, index + 1)]
    assert.ok(row !== undefined)
    const proof = log.proveInclusion(index, size).map((hash) => encodeBase64(hash))
    return {
      kind: 'inclusion',
      index,
      size,
      leaf: encodeBase64(leafHash(entryOf(row.prev, row.body))),
      proof,
    }
  })
  return [...consistency, ...inclusion]
}

test('golang.org/x/mod/sumdb', { skip }, async (t) => {
  const exported = await tempDir(t)
  const program = join(await tempDir(t), 'go-sumdb')
  execFileSync('go', ['build', '-mod=readonly', '-o', program, '.'], { cwd: MODULE })
  const options = await logOptions(t)
  const { vkey } = options.signer
  await exportLog(openLog(t, options), exported)

  const verdict = (dir: string, key = vkey, origin = ORIGIN): { status: number | null; stderr: string } => {
    const { status, stderr } = spawnSync(program, [dir, origin, key], { encoding: 'utf8' })
    return { status, stderr: stderr.trim() }
  }

  await t.test('accepts every signed head, every root, every record and every proof', () => {
    assert.deepEqual(verdict(exported), { status: 0, stderr: '' })
  })

  const tampered: Record<string, { file: string; change: (bytes: Buffer) => Buffer; says: RegExp }> = {
    'a changed hash in a full tile': {
      file: 'tile/0/001',
      change: (bytes) => flip(bytes, 40),
      says: /record 257 is not/,
    },
    'a changed hash in a tile of the second level': {
      file: 'tile/1/000',
      change: (bytes) => flip(bytes, 33),
      says: /inconsistent|invalid transparency proof/,
    },
    'a changed record': { file: 'tile/entries/002', change: (bytes) => flip(bytes, 60), says: /record 512/ },
    'a record that is missing': {
      file: 'tile/entries/257.p/208',
      change: (bytes) => bytes.subarray(0, -3),
      says: /inside an entry/,
    },
    'a changed size under a signature': {
      file: 'checkpoint.1000',
      change: (bytes) => Buffer.from(bytes.toString().replace('1000', '1001')),
      says: /signature/,
    },
    'a changed proof': {
      file: 'proofs.json',
      change: (bytes) =>
        Buffer.from(
          bytes
            .toString()
            .replace(/("proof":\[")(.)/, (_, head: string, c: string) => head + (c === 'A' ? 'B' : 'A')),
        ),
      says: /proof/,
    },
  }
  for (const [what, { file, change, says }] of Object.entries(tampered)) {
    await t.test(`refuses ${what}`, async (subtest) => {
      const dir = await tempDir(subtest)
      cpSync(exported, dir, { recursive: true })
      writeFileSync(join(dir, file), change(readFileSync(join(dir, file))))
      const { status, stderr } = verdict(dir)
      assert.equal(status, 1)
      assert.match(stderr, says)
    })
  }

  await t.test('refuses the log under another key and under another name', () => {
    assert.equal(verdict(exported, newSigner().vkey).status, 1)
    assert.equal(verdict(exported, vkey, 'other.example').status, 1)
  })
})

function flip(bytes: Buffer, at: number): Buffer {
  const changed = Buffer.from(bytes)
  changed[at] = (changed[at] ?? 0) ^ 1
  return changed
}
