import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  encodeRow,
  GENESIS_PREV,
  leafHash,
  entryOf,
  parseRow,
  rowHash,
  RowScan,
  type RowBody,
} from '#shared/log/row.ts'
import { nodeHash } from '#shared/log/merkle.ts'

const LOG = 'ztmesh.example/log/node/n1/e1'
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString()
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

describe('golden vectors of a row', () => {
  const body0 = encodeRow({ v: 1, log: LOG, seq: 0, type: 'log.genesis' })
  const hash0 = rowHash(GENESIS_PREV, body0)
  const body1 = encodeRow({ v: 1, type: 'cmd.accepted', seq: 1, log: LOG })
  const leaf0 = leafHash(entryOf(GENESIS_PREV, body0))
  const leaf1 = leafHash(entryOf(hash0, body1))

  it('row 0 has the published bytes, hash and leaf', () => {
    assert.equal(text(body0), `{"log":"${LOG}","seq":0,"type":"log.genesis","v":1}`)
    assert.equal(hex(hash0), 'cf4b7a4e846deac14d93369bd6f889db8eaa1291bc7a561ab4fe3dfc1df8093b')
    assert.equal(hex(leaf0), 'bc742cf0d4cca16b75a74f96fb2d8fc21690c5cbcc90edb105038da883ae4540')
  })

  it('row 1 has the published bytes, hash and leaf', () => {
    assert.equal(text(body1), `{"log":"${LOG}","seq":1,"type":"cmd.accepted","v":1}`)
    assert.equal(
      hex(rowHash(hash0, body1)),
      'ac6f3831fbf529f28ebcadc8d96f0e815e1f4efa0f2c76e972e51467be2c8ba6',
    )
    assert.equal(hex(leaf1), 'e5b8923b3bb10f05e6e8bcd7f001e59b7b2a464c4f19d2befe6558aac78721c1')
  })

  it('both rows have the published root', () => {
    assert.equal(
      hex(nodeHash(leaf0, leaf1)),
      'd00b14aa44e0dcba34c89a7d0bb8b4ab52487b4402c6d06f5f77b339745c50e8',
    )
  })
})

const FULL: RowBody = {
  v: 1,
  log: LOG,
  seq: 7,
  ts: 1_795_000_000_000,
  mono: '123456789',
  boot: '6b1f6c0e-5a1c-4c5e-9d53-0d5c4a1f6b1e',
  type: 'cmd.accepted',
  out: 'allow',
  code: 'ZT-409-REPLAY',
  txn: 't1',
  cmd: 'c1',
  par: `${LOG}#6`,
  actor: {
    sub: 'spiffe://a/operator/x',
    caller: 'spiffe://a/operator/x',
    executor: 'spiffe://a/node/n1',
    x5t: 'x',
  },
  req: { env: 'e', tok: 't', jti: 'j', nonce: 'n' },
  pol: { bundle: 'b', ver: 3, decision: 'allow', reasons: ['may spawn'], input: 'i' },
  obj: { exe: '/usr/bin/true', näme: ['\u0001', 'é', -5, true, null, { a: 1, b: {} }] },
  priv: { alg: 'sha-256-salted', c: 'abc' },
  hubcp: { size: 12, root: `${'A'.repeat(43)}=` },
  key: '0a1b2c3d',
}

describe('a row', () => {
  it('comes back as it was written', () => {
    assert.deepEqual(JSON.parse(JSON.stringify(parseRow(encodeRow(FULL)))), FULL)
  })

  const refused: Record<string, object> = {
    'an unknown field': { ...FULL, extra: 1 },
    'an unknown field of the actor': { ...FULL, actor: { name: 'x' } },
    'an unknown type': { ...FULL, type: 'cmd.maybe' },
    'an unknown outcome': { ...FULL, out: 'perhaps' },
    'no sequence number': { v: 1, log: LOG, type: 'heartbeat' },
    'another version': { ...FULL, v: 2 },
    'a negative sequence number': { ...FULL, seq: -1 },
    'a sequence number above 2^53': { ...FULL, seq: 2 ** 53 },
    'a fraction inside obj': { ...FULL, obj: { a: 0.5 } },
    'a lone surrogate': { ...FULL, obj: { a: '\ud800' } },
    'an own __proto__ key': { ...FULL, obj: JSON.parse('{"__proto__":{}}') as object },
    'monotonic time with a leading zero': { ...FULL, mono: '0123' },
    'a control character in a name': { ...FULL, txn: 'a\nb' },
    'an empty name': { ...FULL, txn: '' },
    'an undefined field': { ...FULL, txn: undefined },
    'a commitment by an unknown algorithm': { ...FULL, priv: { alg: 'md5', c: 'x' } },
    'a key id that is not hex': { ...FULL, key: 'XYZ12345' },
    'nesting beyond its bound': { ...FULL, obj: { a: [[[[[[[[]]]]]]]] } },
  }
  for (const [what, body] of Object.entries(refused)) {
    it(`is refused with ${what}`, () => {
      assert.throws(() => encodeRow(body as RowBody), { code: 'ZT-422-SCHEMA' })
    })
  }

  it('is refused when one byte too long', () => {
    const fits = (n: number): RowBody => ({
      v: 1,
      log: LOG,
      seq: 0,
      type: 'heartbeat',
      obj: { a: 'x'.repeat(n) },
    })
    const room = 65_503 - encodeRow(fits(0)).length
    assert.equal(encodeRow(fits(room)).length, 65_503)
    assert.throws(() => encodeRow(fits(room + 1)), { code: 'ZT-413-SIZE' })
  })

  const stored: Record<string, string> = {
    'a duplicate key': `{"log":"${LOG}","seq":0,"seq":0,"type":"heartbeat","v":1}`,
    'a space': `{"log":"${LOG}", "seq":0,"type":"heartbeat","v":1}`,
    'keys out of order': `{"seq":0,"log":"${LOG}","type":"heartbeat","v":1}`,
    'a number above 2^53': `{"log":"${LOG}","obj":{"n":9007199254740993},"seq":0,"type":"heartbeat","v":1}`,
    'a number in exponent form': `{"log":"${LOG}","seq":1e0,"type":"heartbeat","v":1}`,
    'an escaped letter': `{"log":"${LOG}","seq":0,"type":"heartbe\\u0061t","v":1}`,
    'a lone surrogate': `{"log":"${LOG}","obj":{"a":"\\ud800"},"seq":0,"type":"heartbeat","v":1}`,
    'a __proto__ key': `{"__proto__":{},"log":"${LOG}","seq":0,"type":"heartbeat","v":1}`,
    'a negative zero': `{"log":"${LOG}","obj":{"a":-0},"seq":0,"type":"heartbeat","v":1}`,
    'a trailing newline': `{"log":"${LOG}","seq":0,"type":"heartbeat","v":1}\n`,
    'a byte order mark': `\ufeff{"log":"${LOG}","seq":0,"type":"heartbeat","v":1}`,
    nothing: '',
  }
  for (const [what, body] of Object.entries(stored)) {
    it(`is not read back with ${what}`, () => {
      assert.throws(() => parseRow(Buffer.from(body)), { code: 'ZT-422-SCHEMA' })
    })
  }

  // RFC 3629 §4, around every edge of its grammar; the quick scan has its own reading of it.
  const good = 'c2 80|df bf|e0 a0 80|ed 9f bf|ee 80 80|ef bf bf|f0 90 80 80|f4 8f bf bf|7f'
  const bad =
    '80|bf|c0 80|c1 bf|c2|c2 7f|c2 c0|e0 9f bf|e0 a0|e1 80 7f|ed a0 80|ed bf bf|' +
    'f0 8f bf bf|f0 90 80|f1 80 80 c0|f4 90 80 80|f5 80 80 80|ff|fe'
  for (const sequence of `${good}|${bad}`.split('|')) {
    it(`with the bytes ${sequence} is scanned as it is read`, () => {
      const middle = Buffer.from(sequence.replaceAll(' ', ''), 'hex')
      const [head, tail] = [`{"log":"${LOG}","obj":{"a":"`, '"},"seq":0,"type":"heartbeat","v":1}']
      const bytes = Buffer.concat([Buffer.from(head), middle, Buffer.from(tail)])
      const isGood = good.split('|').includes(sequence)
      assert.equal(new RowScan().scan(bytes, 0), isGood)
      if (isGood) parseRow(bytes)
      else assert.throws(() => parseRow(bytes), { code: 'ZT-422-SCHEMA' })
    })
  }

  it('is not read back with bytes that are not utf-8', () => {
    const bytes = Buffer.from(`{"log":"${LOG}","obj":{"a":"x"},"seq":0,"type":"heartbeat","v":1}`)
    bytes[bytes.indexOf('x')] = 0xff
    assert.throws(() => parseRow(bytes), { code: 'ZT-422-SCHEMA' })
  })
})
