// The DER reader takes one encoding of each value, and the writer makes that one.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { DerReader, readDer, TAG } from '#shared/x509/der.ts'
import * as write from '#shared/x509/der-writer.ts'

const reader = (hex: string): DerReader => new DerReader(Buffer.from(hex.replaceAll(' ', ''), 'hex'), 'test')
const code = { code: 'ZT-422-CERT' }
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

describe('der reader', () => {
  const refusedElements = {
    'nothing at all': '',
    'a tag without a length': '02',
    'content that is cut short': '02 02 01',
    'a length that is cut short': '30 82 01',
    'the indefinite form': '30 80 02 01 01 00 00',
    'a long length that fits the short form': '04 81 01 00',
    'a long length with a leading zero': `04 82 00 80 ${'00'.repeat(128)}`,
    'a length of four octets': '04 84 00 00 00 01 00',
    'the reserved length octet': '04 ff 00',
    'a tag number over 30': '1f 1f 00',
  }
  for (const [what, hex] of Object.entries(refusedElements)) {
    it(`refuses ${what}`, () => {
      assert.throws(() => reader(hex).element(), code)
    })
  }

  const refusedIntegers = {
    'an empty one': '02 00',
    'one with a superfluous 00': '02 02 00 7f',
    'one with a superfluous ff': '02 02 ff 80',
    'another type': '04 01 01',
  }
  for (const [what, hex] of Object.entries(refusedIntegers)) {
    it(`refuses an integer that is ${what}`, () => {
      assert.throws(() => reader(hex).integer(), code)
    })
  }

  it('takes integers that need their leading octet', () => {
    assert.equal(hexOf(reader('02 02 00 80').integer()), '0080')
    assert.equal(hexOf(reader('02 02 ff 7f').integer()), 'ff7f')
    assert.equal(reader('02 01 00').smallInteger(), 0)
    assert.equal(reader('02 04 7f ff ff ff').smallInteger(), 2 ** 31 - 1)
  })

  for (const [what, hex] of Object.entries({ negative: '02 01 ff', large: '02 05 01 00 00 00 00' })) {
    it(`refuses a small integer that is ${what}`, () => {
      assert.throws(() => reader(hex).smallInteger(), code)
    })
  }

  for (const hex of ['01 01 01', '01 00', '01 02 ff ff', '01 01 7f']) {
    it(`refuses the boolean ${hex}`, () => {
      assert.throws(() => reader(hex).boolean(), code)
    })
  }

  const refusedOids = {
    'an empty one': '06 00',
    'an arc with a leading 80': '06 03 2a 80 01',
    'an arc that does not end': '06 02 2a 86',
    'an arc over the safe integers': '06 0a 2a ff ff ff ff ff ff ff ff 7f',
    'more than 32 octets': `06 21 ${'2a'.repeat(33)}`,
  }
  for (const [what, hex] of Object.entries(refusedOids)) {
    it(`refuses an object identifier that is ${what}`, () => {
      assert.throws(() => reader(hex).oid(), code)
    })
  }

  it('reads both halves of the first octet of an object identifier', () => {
    assert.equal(reader('06 03 2a 86 48').oid(), '1.2.840')
    assert.equal(reader('06 02 88 37').oid(), '2.999')
    assert.equal(reader('06 01 00').oid(), '0.0')
  })

  const refusedBits = {
    'an empty one': '03 00',
    'eight unused bits': '03 02 08 80',
    'unused bits in an empty list': '03 01 01',
    'an unused bit that is set': '03 02 07 c0',
    'a trailing zero bit': '03 02 06 80',
    'a trailing zero octet': '03 03 07 80 00',
  }
  for (const [what, hex] of Object.entries(refusedBits)) {
    it(`refuses a named bit list that is ${what}`, () => {
      assert.throws(() => reader(hex).namedBits(), code)
    })
  }

  it('refuses a key or signature with unused bits', () => {
    assert.throws(() => reader('03 02 01 80').wholeBits(), code)
    assert.throws(() => reader('03 00').wholeBits(), code)
  })

  it('refuses what follows the one element', () => {
    assert.throws(() => readDer(Buffer.from('300000', 'hex'), TAG.sequence, 'test'), code)
    const inside = readDer(Buffer.from('3003020101', 'hex'), TAG.sequence, 'test')
    assert.throws(() => inside.end(), code)
  })

  it('refuses nesting deeper than 16', () => {
    let nested: Uint8Array = write.sequence()
    for (let depth = 0; depth < 20; depth += 1) nested = write.sequence(nested)
    assert.throws(() => {
      let inner = new DerReader(nested, 'test')
      for (;;) inner = inner.enter(TAG.sequence)
    }, code)
  })

  it('refuses input over 64 KiB', () => {
    assert.throws(() => new DerReader(new Uint8Array(65_537), 'test'), code)
  })

  it('names the field and never the content in its message', () => {
    assert.throws(
      () => new DerReader(Buffer.from('0402dead', 'hex'), 'serial').integer(),
      /^ZtError: serial lacks/,
    )
  })
})

describe('der writer', () => {
  const written: Record<string, [Uint8Array, string]> = {
    'a short length': [write.octetString(new Uint8Array(127)).subarray(0, 2), '047f'],
    'a length of one more octet': [write.octetString(new Uint8Array(128)).subarray(0, 3), '048180'],
    'a length of two more octets': [write.octetString(new Uint8Array(256)).subarray(0, 4), '04820100'],
    'an integer with its high bit set': [write.integer(Uint8Array.of(0x80)), '02020080'],
    'an integer without leading zeros': [write.integer(Uint8Array.of(0, 0, 5)), '020105'],
    zero: [write.integer(Uint8Array.of(0, 0)), '020100'],
    'zero from no octets': [write.integer(new Uint8Array()), '020100'],
    'an object identifier': [write.oid('1.2.840.10045.4.3.2'), '06082a8648ce3d040302'],
    'the first usage bit': [write.namedBits([0]), '03020780'],
    'certificate and crl signing': [write.namedBits([5, 6]), '03020106'],
    'the ninth usage bit': [write.namedBits([8]), '0303070080'],
    'no bits': [write.namedBits([]), '030100'],
    'the last utc time': [write.time(Date.UTC(2049, 11, 31, 23, 59, 59)), '170d3439313233313233353935395a'],
    'the first generalized time': [write.time(Date.UTC(2050, 0, 1)), '180f32303530303130313030303030305a'],
  }
  for (const [what, [bytes, hex]] of Object.entries(written)) {
    it(`writes ${what}`, () => {
      assert.equal(hexOf(bytes), hex)
    })
  }
})
