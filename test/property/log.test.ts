// Hostile bytes against the log: rows, notes, heads, proofs and tiles either hold or are refused with a code, and the
// quick scan of a row accepts exactly what the strict reader accepts.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { isZtError } from '#shared/errors/error.ts'
import { scanFree } from '#shared/log/canonical-scan.ts'
import { claimedHead, formatCheckpoint, openCheckpoint, signCheckpoint } from '#shared/log/checkpoint.ts'
import { sha256, toBinary } from '#shared/log/hash.ts'
import { proveConsistency, proveInclusion, verifyConsistency, verifyInclusion } from '#shared/log/merkle.ts'
import { openNote, parseVkey, signNote } from '#shared/log/note.ts'
import type { StoredRow } from '#shared/log/record.ts'
import { encodeRow, parseRow, quoted, RowScan, type RowBody } from '#shared/log/row.ts'
import { ROW_OUTCOMES, ROW_TYPES } from '#shared/log/row-types.ts'
import { decodeEntries, encodeEntries, parseTilePath, readHashesFrom, tilePath } from '#shared/log/tiles.ts'
import { TreeEdge } from '#shared/log/tree-edge.ts'
import { verifyLog } from '#shared/log/verify-log.ts'
import { RUNS } from '#test/support/fuzz.ts'
import { MadeLog, newSigner, ORIGIN } from '#test/support/log-fixture.ts'

const { numRuns } = RUNS

/** True if `action` goes well, false if it refuses with a code; any other error is a fault. */
function holds(action: () => unknown): boolean {
  try {
    action()
    return true
  } catch (cause) {
    if (!isZtError(cause)) throw cause
    return false
  }
}

const anyText = fc.string({ unit: 'binary', maxLength: 12 })
const visible = fc.stringMatching(/^[!#-[\]-~]{1,20}$/)
const safeInteger = fc.maxSafeInteger()
const size = fc.maxSafeNat()

/** Good in forty of forty-one cases: a row has twenty fields, and one bad one is enough. */
const mostly = <T>(good: fc.Arbitrary<T>, bad: fc.Arbitrary<T>): fc.Arbitrary<T> =>
  fc.oneof({ weight: 40, arbitrary: good }, { weight: 1, arbitrary: bad })

const { free } = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    anyText,
    safeInteger,
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('value'), { maxLength: 4 }),
    tie('free'),
  ),
  free: fc.dictionary(mostly(fc.oneof(anyText, visible), fc.constant('__proto__')), tie('value'), {
    maxKeys: 5,
  }),
}))

const word = mostly(visible, anyText)
const digits = mostly(fc.nat().map(String), fc.stringMatching(/^[0-9]{1,22}$/))
const count = mostly(size, fc.constant(-1))

const body = fc.record(
  {
    v: mostly(fc.constant(1), fc.constant(2)),
    log: mostly(fc.constantFrom(ORIGIN, 'other'), fc.constantFrom('', 'a b')),
    seq: count,
    ts: count,
    mono: digits,
    boot: word,
    type: mostly(fc.constantFrom<string>(...ROW_TYPES), fc.constant('cmd.maybe')),
    out: mostly(fc.constantFrom<string>(...ROW_OUTCOMES), fc.constant('')),
    code: mostly(fc.constant('ZT-409-REPLAY'), fc.constant('zt')),
    txn: word,
    cmd: word,
    par: word,
    actor: fc.record({ sub: word, caller: word, executor: word, x5t: word }, { requiredKeys: [] }),
    req: fc.record({ env: word, tok: word, jti: word, nonce: word }, { requiredKeys: [] }),
    pol: fc.record(
      { bundle: word, ver: count, decision: word, reasons: fc.array(word, { maxLength: 3 }), input: word },
      { requiredKeys: [] },
    ),
    obj: free,
    priv: fc.record({ alg: mostly(fc.constant('sha-256-salted'), fc.constant('md5')), c: word }),
    hubcp: fc.record({ size: count, root: fc.constant('A'.repeat(43)) }),
    key: mostly(fc.constant('0a1b2c3d'), fc.constant('0A1B2C3D')),
  },
  { requiredKeys: ['v', 'log', 'seq', 'type'] },
)

/** Up to three edits of bytes, favouring the characters that JSON is made of. */
const edits = fc.array(
  fc.record({
    at: fc.nat(10_000),
    kind: fc.constantFrom('set', 'insert', 'delete', 'duplicate'),
    byte: fc.oneof(fc.constantFrom(...Buffer.from('{}[]",:\\ 0-1eu\n')), fc.nat(255)),
  }),
  { maxLength: 3 },
)

type Edit = { at: number; kind: string; byte: number }

function edited(bytes: Uint8Array, list: readonly Edit[]): Buffer {
  return list.reduce<Buffer>((now, { at, kind, byte }) => {
    const place = now.length === 0 ? 0 : at % now.length
    const tail = now.subarray(kind === 'set' || kind === 'delete' ? place + 1 : place)
    const middle = kind === 'delete' ? [] : [kind === 'duplicate' ? (now[place] ?? 0) : byte]
    return Buffer.concat([now.subarray(0, place), Buffer.from(middle), tail])
  }, Buffer.from(bytes))
}

describe('the quick scan of a row', () => {
  const scan = new RowScan()

  it('accepts what the strict reader accepts, and nothing else, of rows and bent rows', () => {
    let accepted = 0
    const check = (input: object, list: readonly Edit[], front: number): void => {
      const bytes = edited(canonicalBytes(input), list)
      const strict = holds(() => parseRow(bytes))
      assert.equal(scan.scan(Buffer.concat([Buffer.alloc(front), bytes]), front), strict, bytes.toString())
      if (strict) accepted += 1
    }
    fc.assert(fc.property(body, edits, fc.nat(70), check), { numRuns: numRuns * 4 })
    assert.ok(accepted > numRuns / 10, `only ${accepted} rows were acceptable`)
  })

  it('reads the same facts as the strict reader', () => {
    const check = (input: object): void => {
      if (!holds(() => encodeRow(input as RowBody))) return
      const bytes = encodeRow(input as RowBody)
      const row = parseRow(bytes)
      assert.ok(scan.scan(bytes, 0))
      assert.deepEqual(
        [scan.seq, scan.ts, ...(['type', 'log', 'boot', 'key'] as const).map((field) => scan.text(field))],
        [row.seq, row.ts ?? -1, row.type, row.log, row.boot ?? '', row.key ?? ''],
      )
      assert.ok(scan.is('log', quoted(row.log)) && !scan.is('log', quoted(`${row.log}x`)))
      const nanoseconds = row.mono === undefined ? undefined : BigInt(row.mono)
      const { ms, ns } = scan.mono
      assert.equal(ms, nanoseconds === undefined ? -1 : Number(nanoseconds / 1_000_000n))
      assert.equal(ns, nanoseconds === undefined ? -1 : Number(nanoseconds % 1_000_000n))
    }
    fc.assert(fc.property(body, check), { numRuns: numRuns * 2 })
  })

  it('takes any JSON for canonical exactly when it is', () => {
    const strictly = (bytes: Uint8Array): boolean =>
      holds(() => {
        const value = parseStrictJson(bytes, { maxBytes: 100_000, maxDepth: 16 })
        if (Buffer.compare(canonicalBytes(value), bytes) !== 0) parseStrictJson('', { maxBytes: 1 })
      })
    const check = (input: unknown, list: readonly Edit[]): void => {
      const bytes = edited(canonicalBytes(input), list)
      assert.equal(scanFree(bytes, 0, 16) === bytes.length, strictly(bytes), bytes.toString())
    }
    fc.assert(fc.property(free, edits, check), { numRuns: numRuns * 4 })
    const spelled = (input: unknown, list: readonly Edit[]): void => {
      const bytes = edited(Buffer.from(JSON.stringify(input)), list)
      assert.equal(scanFree(bytes, 0, 16) === bytes.length, strictly(bytes), bytes.toString())
    }
    fc.assert(fc.property(fc.jsonValue({ stringUnit: 'binary' }), edits, spelled), { numRuns: numRuns * 4 })
  })
})

describe('a note', () => {
  const signer = newSigner()
  const known = [parseVkey(signer.vkey)]
  const head = fc.record({ size, root: fc.uint8Array({ minLength: 32, maxLength: 32 }) })

  it('opens to nothing but what was signed, however it is bent', () => {
    const check = (given: { size: number; root: Uint8Array }, list: readonly Edit[]): void => {
      const { note } = signCheckpoint(given, signer)
      const bent = edited(Buffer.from(note), list).toString()
      if (!holds(() => openNote(bent, known))) return
      assert.equal(openNote(bent, known).text, formatCheckpoint(ORIGIN, given))
    }
    fc.assert(fc.property(head, edits, check), { numRuns })
  })

  it('carries any head there and back', () => {
    const check = (given: { size: number; root: Uint8Array }): void => {
      const opened = openCheckpoint(signCheckpoint(given, signer).note, ORIGIN, known)
      assert.deepEqual([opened.size, Buffer.from(opened.root)], [given.size, Buffer.from(given.root)])
    }
    fc.assert(fc.property(head, check), { numRuns })
  })

  it('made of anything is refused with a code', () => {
    const check = (text: string, lines: readonly string[]): void => {
      const note = `${text}\n\n${lines.map((line) => `\u2014 ${line}\n`).join('')}`
      for (const input of [note, text]) {
        assert.equal(
          holds(() => openNote(input, known)),
          false,
        )
        holds(() => claimedHead(input))
        holds(() => parseVkey(input))
      }
    }
    fc.assert(fc.property(anyText, fc.array(anyText, { maxLength: 3 }), check), { numRuns })
  })

  it('is made of any text that can be one, and opens again', () => {
    const check = (text: string): void => {
      if (!holds(() => signNote(`${text}\n`, [signer]))) return
      assert.equal(openNote(signNote(`${text}\n`, [signer]), known).text, `${text}\n`)
    }
    fc.assert(fc.property(fc.oneof(anyText, visible), check), { numRuns })
  })
})

describe('a proof', () => {
  const COUNT = 700
  const leaves = Array.from({ length: COUNT }, (_, index) => sha256(Buffer.from(String(index))))
  const tiles = new Map<string, Buffer>()
  const edge = new TreeEdge((tile) => tiles.set(`${tile.level}/${tile.index}`, tile.data))
  const roots = [edge.root()]
  for (const leaf of leaves) {
    edge.push(toBinary(leaf))
    roots.push(edge.root())
  }
  const read = readHashesFrom((level, index) => tiles.get(`${level}/${index}`) ?? edge.partial(level))
  const two = fc
    .tuple(fc.nat(COUNT), fc.nat(COUNT))
    .map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const)
  const bend = fc.record({ at: fc.nat(20), kind: fc.constantFrom('flip', 'drop', 'double') })

  function bent(proof: readonly Uint8Array[], { at, kind }: { at: number; kind: string }): Uint8Array[] {
    const place = proof.length === 0 ? 0 : at % proof.length
    const hash = Buffer.from(proof[place] ?? Buffer.alloc(32))
    if (kind === 'flip') hash[at] = (hash[at] ?? 0) ^ 1
    const middle = kind === 'drop' ? [] : kind === 'double' ? [hash, hash] : [hash]
    return [...proof.slice(0, place), ...middle, ...proof.slice(place + 1)]
  }

  it('of inclusion holds, and no longer when it is bent', () => {
    const check = ([index, last]: readonly [number, number], how: { at: number; kind: string }): void => {
      if (index === last) return
      const leaf = leaves[index]
      const root = roots[last]
      assert.ok(leaf !== undefined && root !== undefined)
      const proof = proveInclusion(index, last, read)
      verifyInclusion({ leaf, index, size: last, root, proof })
      const other = bent(proof, how)
      if (proof.length === 0 && other.length === 0) return
      assert.throws(() => verifyInclusion({ leaf, index, size: last, root, proof: other }), {
        code: 'ZT-490-PROOF',
      })
    }
    fc.assert(fc.property(two, bend, check), { numRuns })
  })

  it('of consistency holds, and no longer when it is bent', () => {
    const check = ([first, last]: readonly [number, number], how: { at: number; kind: string }): void => {
      const [oldRoot, root] = [roots[first], roots[last]]
      assert.ok(oldRoot !== undefined && root !== undefined)
      const claim = { oldSize: first, oldRoot, size: last, root }
      const proof = proveConsistency(first, last, read)
      verifyConsistency({ ...claim, proof })
      const other = bent(proof, how)
      if (proof.length === 0 && other.length === 0) return
      assert.throws(() => verifyConsistency({ ...claim, proof: other }), { code: 'ZT-490-PROOF' })
    }
    fc.assert(fc.property(two, bend, check), { numRuns })
  })

  it('of any hashes for any place is refused with a code', () => {
    const hashes = fc.array(fc.uint8Array({ maxLength: 33, minLength: 31 }), { maxLength: 8 })
    const check = (index: number, last: number, proof: readonly Uint8Array[]): void => {
      const root = roots[1]
      assert.ok(root !== undefined)
      assert.equal(
        holds(() => verifyInclusion({ leaf: root, index, size: last, root, proof })),
        index === 0 && last === 1 && proof.length === 0,
      )
    }
    fc.assert(fc.property(size, size, hashes, check), { numRuns })
  })
})

describe('tiles', () => {
  it('have one path each, and a path has one tile', () => {
    const level = fc.oneof(fc.constant('entries' as const), fc.nat(63))
    const check = (tile: { level: number | 'entries'; index: number; width: number }): void => {
      assert.deepEqual(parseTilePath(tilePath(tile)), tile)
    }
    const tile = fc.record(
      { level, index: fc.nat(10 ** 9), width: fc.integer({ min: 1, max: 256 }) },
      { noNullPrototype: true },
    )
    fc.assert(fc.property(tile, check), { numRuns })
    const path = fc.stringMatching(/^tile\/[a-z0-9]{1,7}\/[x0-9/.p]{0,20}$/)
    const exact = (text: string): void => {
      if (holds(() => parseTilePath(text))) assert.equal(tilePath(parseTilePath(text)), text)
    }
    fc.assert(fc.property(path, exact), { numRuns })
  })

  it('of entries come back as they were, and any bytes are refused or come back', () => {
    const check = (entries: Uint8Array[], junk: Uint8Array): void => {
      const bundle = encodeEntries(entries)
      assert.deepEqual(
        decodeEntries(bundle).map((entry) => Buffer.from(entry)),
        entries.map((entry) => Buffer.from(entry)),
      )
      if (!holds(() => decodeEntries(junk))) return
      assert.deepEqual(Buffer.from(encodeEntries(decodeEntries(junk))), Buffer.from(junk))
    }
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 })), fc.uint8Array({ maxLength: 20 }), check),
      { numRuns },
    )
  })
})

describe('a log', () => {
  const signer = newSigner()
  const made = new MadeLog(signer).fill(40)
  const rows = made.rows()
  const checkpoints = [made.note()]
  const verify = (list: readonly StoredRow[]) =>
    verifyLog({ origin: ORIGIN, vkeys: [signer.vkey], rows: list, checkpoints })

  it('of which one stored byte is changed is refused at that very row', () => {
    const column = fc.constantFrom('prev' as const, 'body' as const, 'hash' as const)
    const check = (at: number, name: 'prev' | 'body' | 'hash', list: readonly Edit[]): void => {
      const row = rows[at]
      assert.ok(row !== undefined)
      const bytes = edited(row[name], list)
      if (Buffer.compare(bytes, row[name]) === 0) return
      const report = verify(rows.map((other) => (other.seq === at ? { ...row, [name]: bytes } : other)))
      assert.deepEqual([report.firstBad?.code, report.firstBad?.seq], ['ZT-490-ROW', at])
    }
    fc.assert(fc.property(fc.nat(rows.length - 1), column, edits, check), { numRuns })
  })

  it('of which rows are cut, copied or moved is refused', () => {
    const check = (from: number, count: number, to: number): void => {
      const block = rows.slice(from, from + count)
      const rest = [...rows.slice(0, from), ...rows.slice(from + count)]
      const moved = [...rest.slice(0, to), ...block, ...rest.slice(to)]
      const copied = [...rows.slice(0, to), ...block, ...rows.slice(to)]
      for (const list of [rest, moved, copied]) {
        const renumbered = list.map((row, seq) => ({ ...row, seq }))
        const same =
          renumbered.length === rows.length && renumbered.every((row, seq) => row.body === rows[seq]?.body)
        assert.equal(verify(renumbered).firstBad === undefined, same)
      }
    }
    const place = fc.nat(rows.length - 1)
    fc.assert(fc.property(place, fc.integer({ min: 1, max: 5 }), place, check), { numRuns })
  })
})
