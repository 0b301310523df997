// What a verifier says of a log that somebody changed: each test is an attacker who holds the file, and in some the key.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { StoredRow } from '#shared/log/record.ts'
import { rowHash } from '#shared/log/row.ts'
import { verifyLog, type LogInput, type LogReport } from '#shared/log/verify-log.ts'
import { chainRows, MadeLog, newSigner, ORIGIN, rootOf, signedHead } from '#test/support/log-fixture.ts'

const SIZE = 600
const signer = newSigner()
const made = new MadeLog(signer).fill(SIZE - 1)
const rows = made.rows()
const bodies = rows.map((row) => row.body)
const heads = [1, 300, SIZE].map((size) => signedHead(rows.slice(0, size), signer))
const anchors = [{ size: 400, root: rootOf(rows.slice(0, 400)) }]

function verify(change: Partial<LogInput> = {}): LogReport {
  return verifyLog({ origin: ORIGIN, vkeys: [signer.vkey], rows, checkpoints: heads, ...change })
}

function found(report: LogReport): string {
  return report.firstBad === undefined ? 'nothing' : `${report.firstBad.code} at ${report.firstBad.seq}`
}

function changed(at: number, change: (row: StoredRow) => Partial<StoredRow>): StoredRow[] {
  return rows.map((row) => (row.seq === at ? { ...row, ...change(row) } : row))
}

function flip(bytes: Uint8Array, at = 0): Uint8Array {
  const copy = Buffer.from(bytes)
  copy[at] = (copy[at] ?? 0) ^ 1
  return copy
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString()
const edited = (at: number, change: (body: string) => string): Uint8Array[] =>
  bodies.map((body, seq) => (seq === at ? Buffer.from(change(text(body))) : body))
const denied = (body: string): string => body.replace('"out":"allow"', '"out":"deny"')

/** The rows again with their numbers in a row, as an attacker would who deletes or inserts. */
const renumbered = (list: readonly StoredRow[]): StoredRow[] => list.map((row, seq) => ({ ...row, seq }))

describe('a log as it was written', () => {
  it('verifies to its newest head', () => {
    const report = verify({ anchors })
    assert.deepEqual(
      { ...report, root: '' },
      { rows: SIZE, size: SIZE, root: '', heads: heads.length + anchors.length },
    )
    assert.equal(report.root, Buffer.from(rootOf(rows)).toString('base64'))
  })
})

describe('without any key, an attacker is found who', () => {
  const attacks: Record<string, [Partial<LogInput>, string]> = {
    'A1: flips a bit of a body': [
      { rows: changed(123, (row) => ({ body: flip(row.body, 20) })) },
      'ZT-490-ROW at 123',
    ],
    'A2: flips a bit of a hash': [
      { rows: changed(123, (row) => ({ hash: flip(row.hash) })) },
      'ZT-490-ROW at 123',
    ],
    'A3: flips a bit of a link': [
      { rows: changed(123, (row) => ({ prev: flip(row.prev) })) },
      'ZT-490-ROW at 123',
    ],
    'A4: deletes a row': [{ rows: rows.filter((row) => row.seq !== 123) }, 'ZT-490-CHAIN at 123'],
    'A4: deletes a row and renumbers': [
      { rows: renumbered(rows.filter((row) => row.seq !== 123)) },
      'ZT-490-CHAIN at 123',
    ],
    'A4: deletes the first row': [{ rows: renumbered(rows.slice(1)) }, 'ZT-490-CHAIN at 0'],
    'A5: swaps two rows': [
      { rows: renumbered([...rows.slice(0, 123), rows[124]!, rows[123]!, ...rows.slice(125)]) },
      'ZT-490-CHAIN at 123',
    ],
    'A5: swaps the bodies of two rows': [
      { rows: changed(123, () => ({ body: rows[124]!.body })) },
      'ZT-490-ROW at 123',
    ],
    'A6: inserts a row': [
      { rows: renumbered([...rows.slice(0, 123), rows[50]!, ...rows.slice(123)]) },
      'ZT-490-CHAIN at 123',
    ],
    'A7: duplicates a row': [
      { rows: renumbered([...rows.slice(0, 124), rows[123]!, ...rows.slice(124)]) },
      'ZT-490-CHAIN at 124',
    ],
    'A7: repeats a row under its own number': [
      { rows: [...rows.slice(0, 124), ...rows.slice(123)] },
      'ZT-490-CHAIN at 124',
    ],
    'A8: changes a row and recomputes every hash': [
      { rows: chainRows(edited(450, denied)) },
      'ZT-490-FORK at 300',
    ],
    'A8: swaps two rows and recomputes every hash': [
      { rows: chainRows([...bodies.slice(0, 123), bodies[124]!, bodies[123]!, ...bodies.slice(125)]) },
      'ZT-490-CHAIN at 123',
    ],
    'A11: truncates below a signed head': [{ rows: rows.slice(0, 599) }, 'ZT-490-TRUNCATED at 599'],
    'A11: truncates, and deletes the heads above': [
      { rows: rows.slice(0, 300), checkpoints: heads.slice(0, 2), anchors },
      'ZT-490-TRUNCATED at 300',
    ],
    'A11: truncates everything': [{ rows: [], checkpoints: [] }, 'ZT-490-SIGNATURE at 0'],
    'A12: truncates and goes on with rows of their own': [
      { rows: chainRows([...bodies.slice(0, 500), ...edited(500, denied).slice(500)]) },
      'ZT-490-FORK at 300',
    ],
    'A12: truncates, goes on, and deletes the heads above': [
      { rows: chainRows(edited(500, denied)), checkpoints: heads.slice(0, 2) },
      'ZT-490-SIGNATURE at 300',
    ],
    'A14: replaces the genesis': [
      { rows: chainRows(edited(0, (body) => body.replace('boot-1', 'boot-2'))) },
      'ZT-490-FORK at 0',
    ],
    'deletes every signed head': [{ checkpoints: [] }, 'ZT-490-SIGNATURE at 0'],
    'puts something in place of a head': [{ checkpoints: [...heads, 'no note'] }, 'ZT-490-SIGNATURE at 0'],
    'A20: puts the head of another log beside': [
      { checkpoints: [...heads, signedHead(rows, newSigner('mesh.example/log/node/n2/e1'))] },
      'ZT-490-SIGNATURE at 600',
    ],
    'A22: has an unknown key sign the heads': [
      { checkpoints: [signedHead(rows, newSigner())] },
      'ZT-490-SIGNATURE at 0',
    ],
  }
  for (const [what, [change, expected]] of Object.entries(attacks)) {
    it(what, () => {
      assert.equal(found(verify(change)), expected)
    })
  }
})

describe('with the current key, an attacker is found by an anchor who', () => {
  const forge = (list: StoredRow[]): Partial<LogInput> => ({
    rows: list,
    checkpoints: [signedHead(list, signer)],
    anchors,
  })

  const attacks: Record<string, [Partial<LogInput>, string]> = {
    'A9: changes an anchored row and signs again': [
      forge(chainRows(edited(200, denied))),
      'ZT-490-ANCHOR at 0',
    ],
    'A11: truncates below the anchor and signs again': [forge(rows.slice(0, 399)), 'ZT-490-TRUNCATED at 399'],
    'A12: truncates, goes on and signs again': [forge(chainRows(edited(399, denied))), 'ZT-490-ANCHOR at 0'],
    'A14: replaces the whole log by a fresh one': [
      forge(new MadeLog(signer).add({ type: 'heartbeat' }).fill(SIZE).rows()),
      'ZT-490-ANCHOR at 0',
    ],
  }
  for (const [what, [change, expected]] of Object.entries(attacks)) {
    it(what, () => {
      assert.equal(found(verify(change)), expected)
    })
  }

  it('and whoever touches no anchored row is not found without a receipt: that is what receipts are for', () => {
    assert.equal(found(verify(forge(chainRows(edited(450, denied))))), 'nothing')
  })
})

describe('with the current key, a row is still refused that', () => {
  const line = (body: string): Uint8Array => Buffer.from(body)
  const row1 = (members: string): string => `{${members}"log":"${ORIGIN}","seq":1,"type":"heartbeat","v":1}`
  const bad: Record<string, string> = {
    'A29: has a duplicate key': `{"log":"${ORIGIN}","seq":1,"seq":1,"type":"heartbeat","v":1}`,
    'A30: is not canonical': `{"seq":1,"log":"${ORIGIN}","type":"heartbeat","v":1}`,
    'A30: has a space': row1('"boot":"b", '),
    'A31: has a number above 2^53': `{"log":"${ORIGIN}","obj":{"n":9007199254740993},"seq":1,"type":"heartbeat","v":1}`,
    'A31: has a lone surrogate': `{"log":"${ORIGIN}","obj":{"n":"\\udfff"},"seq":1,"type":"heartbeat","v":1}`,
    'A31: has a __proto__ key': row1('"__proto__":{},'),
    'A31: has a __proto__ key inside obj': `{"log":"${ORIGIN}","obj":{"__proto__":1},"seq":1,"type":"heartbeat","v":1}`,
    'has an unknown field': row1('"extra":1,'),
    'is of an unknown type': `{"log":"${ORIGIN}","seq":1,"type":"cmd.maybe","v":1}`,
    'belongs to another log': '{"log":"other.example","seq":1,"type":"heartbeat","v":1}',
    'is not JSON': 'x',
  }
  for (const [what, body] of Object.entries(bad)) {
    it(what, () => {
      const list = chainRows([bodies[0]!, line(body)])
      assert.equal(found(verify({ rows: list, checkpoints: [signedHead(list, signer)] })), 'ZT-490-ROW at 1')
    })
  }

  const misplaced: Record<string, string> = {
    'has another number than its place': `{"log":"${ORIGIN}","seq":2,"type":"heartbeat","v":1}`,
    'is a second genesis': `{"log":"${ORIGIN}","seq":1,"type":"log.genesis","v":1}`,
  }
  for (const [what, body] of Object.entries(misplaced)) {
    it(what, () => {
      const list = chainRows([bodies[0]!, line(body)])
      assert.equal(
        found(verify({ rows: list, checkpoints: [signedHead(list, signer)] })),
        'ZT-490-CHAIN at 1',
      )
    })
  }

  it('follows a row that was never there', () => {
    const [prev, body] = [Buffer.alloc(32, 9), line(row1(''))]
    const list = [rows[0]!, { seq: 1, prev, body, hash: rowHash(prev, body) }]
    const report = verify({ rows: list, checkpoints: [signedHead(list, signer)] })
    assert.equal(found(report), 'ZT-490-CHAIN at 1')
  })

  it('stands first and is no genesis', () => {
    const list = chainRows([line(`{"log":"${ORIGIN}","seq":0,"type":"heartbeat","v":1}`)])
    assert.equal(found(verify({ rows: list, checkpoints: [signedHead(list, signer)] })), 'ZT-490-CHAIN at 0')
  })
})

describe('times that cannot be', () => {
  const hour = 3_600_000
  const t0 = 1_800_000_000_000
  const at = (ts: number, mono: number, boot = 'boot-1') => ({ ts, mono: String(mono), boot })
  const logOf = (...drafts: object[]): Partial<LogInput> => {
    const log = new MadeLog(signer)
    for (const draft of drafts) log.add({ type: 'heartbeat', ...draft })
    return { rows: log.rows(), checkpoints: [log.note()] }
  }
  const cases: Record<string, [Partial<LogInput>, string]> = {
    'A33: the monotonic clock goes back within a boot': [
      logOf(at(t0 + 60, 1_800_000_000_060_000_000), at(t0 + 70, 1_800_000_000_050_000_000)),
      'ZT-490-TIME at 2',
    ],
    'A33: by less than a millisecond': [
      logOf({ ...at(t0, 0, 'b'), mono: '5000001' }, { ...at(t0, 0, 'b'), mono: '5000000' }),
      'ZT-490-TIME at 2',
    ],
    'A32: the clock goes back an hour and no row says so': [
      logOf(at(t0 + 10, 1, 'b'), at(t0 + 20 - hour, 2, 'b')),
      'ZT-490-TIME at 2',
    ],
    'A32: the clock goes forward an hour and no row says so': [
      logOf(at(t0 + 10, 1, 'b'), at(t0 + 20 + hour, 2, 'b')),
      'ZT-490-TIME at 2',
    ],
    'A32: the clock is behind after a boot and no row says so': [
      logOf(at(t0 + 10, 1, 'b'), at(t0 + 20 - hour, 2, 'c')),
      'ZT-490-TIME at 2',
    ],
    'the clock goes back and a row says so': [
      logOf(at(t0 + 10, 1, 'b'), { ...at(t0 + 20 - hour, 2, 'b'), type: 'clock.stepped' }),
      'nothing',
    ],
    'the machine was off for an hour': [logOf(at(t0 + 10, 5, 'b'), at(t0 + hour, 2, 'c')), 'nothing'],
  }
  for (const [what, [change, expected]] of Object.entries(cases)) {
    it(`${what}: ${expected}`, () => {
      assert.equal(found(verify(change)), expected)
    })
  }
})

describe('a rotated key', () => {
  const next = newSigner()
  const log = new MadeLog(signer).fill(9).add({ type: 'key.rotated', obj: { vkey: next.vkey } })
  for (let index = 0; index < 9; index += 1) log.add({ type: 'heartbeat', key: next.keyId })
  const list = log.rows()
  const head = (size: number, by = next): string => signedHead(list.slice(0, size), by)
  const ends = head(11, signer)
  const check = (checkpoints: string[], vkeys = [signer.vkey]): string =>
    found(verify({ rows: list, checkpoints, vkeys }))

  it('signs for what comes behind the row that names it', () => {
    assert.equal(check([head(5, signer), ends, head(12), head(20)]), 'nothing')
  })

  it('is believed when it is registered, even if the last head of the old key is lost', () => {
    assert.equal(check([head(20)], [signer.vkey, next.vkey]), 'nothing')
  })

  it('is not believed when nobody vouches for it', () => {
    assert.equal(check([head(20)]), 'ZT-490-SIGNATURE at 0')
  })

  it('A13: cannot sign for the range of the old key', () => {
    assert.equal(check([head(5), ends, head(20)], [signer.vkey, next.vkey]), 'ZT-490-SIGNATURE at 0')
    assert.equal(check([head(11), head(20)], [signer.vkey, next.vkey]), 'ZT-490-SIGNATURE at 0')
  })

  it('ends what the old key can sign for', () => {
    assert.equal(check([ends, head(12, signer)]), 'ZT-490-SIGNATURE at 11')
    assert.equal(check([ends, head(20, signer)]), 'ZT-490-SIGNATURE at 11')
  })

  it('is refused under a row that names a key of another log, or none', () => {
    for (const vkey of [newSigner('other.example').vkey, 'x', 7]) {
      const bad = new MadeLog(signer).add({ type: 'key.rotated', obj: { vkey } }).rows()
      assert.equal(found(verify({ rows: bad, checkpoints: [signedHead(bad, signer)] })), 'ZT-490-ROW at 1')
    }
  })

  it('is refused when a row names a key that is not in force', () => {
    const bad = new MadeLog(signer).add({ type: 'heartbeat', key: next.keyId }).rows()
    assert.equal(found(verify({ rows: bad, checkpoints: [signedHead(bad, signer)] })), 'ZT-490-ROW at 1')
  })
})

describe('a log that cannot be read', () => {
  it('is not verified', () => {
    const broken = {
      *[Symbol.iterator](): Generator<StoredRow> {
        yield* rows.slice(0, 10)
        throw new Error('disk image is malformed')
      },
    }
    assert.equal(found(verify({ rows: broken })), 'ZT-490-UNVERIFIABLE at 10')
  })

  it('is not verified with a key that is none', () => {
    assert.throws(() => verify({ vkeys: ['x'] }), { code: 'ZT-422-NOTE' })
  })
})
