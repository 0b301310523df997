// What a task sends to its Workload API: every reader answers with a value or with ZT-422-SCHEMA, agrees with protobufjs
// about what it accepts, and what is written is read back by protobufjs.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  readJwtSvidRequest,
  readValidateRequest,
  writeJwtBundlesResponse,
  writeValidateResponse,
  writeX509SvidResponse,
} from '#node-agent/workload-api/messages.ts'
import { readTexts } from '#node-agent/workload-api/protobuf.ts'
import type { JsonObject } from '#shared/encoding/json-value.ts'
import { refusalOr, RUNS, strictJson } from '#test/support/fuzz.ts'
import { decode, encode } from '#test/support/workload-client.ts'

const CODES = ['ZT-422-SCHEMA'] as const
const text = fc.string({ unit: 'grapheme', maxLength: 300 }).filter((one) => one.isWellFormed())
const bytes = fc.uint8Array({ maxLength: 400 })
const same = (value: unknown): Buffer => Buffer.from(value as Uint8Array)

/** JSON of a google.protobuf.Value as protobufjs has it. */
function jsonOf(value: unknown): unknown {
  const [kind, content] = Object.entries(value as object).find(([name]) => name !== 'kind') ?? []
  if (kind === 'structValue') return fieldsOf(content)
  if (kind === 'listValue') return ((content as { values?: unknown[] }).values ?? []).map(jsonOf)
  return kind === 'nullValue' ? null : content
}

function fieldsOf(struct: unknown): unknown {
  const fields = (struct as { fields?: object }).fields ?? {}
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, jsonOf(value)]))
}

describe('what a task sends', () => {
  it('is read, or refused with one code, whatever it is', () => {
    fc.assert(
      fc.property(bytes, (input) => {
        for (const read of [readJwtSvidRequest, readValidateRequest]) refusalOr(() => read(input), CODES)
        refusalOr(() => readTexts(input, [1, 2]), CODES)
      }),
      RUNS,
    )
  })

  it('is read as protobufjs writes it', () => {
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 8 }), text, (audience, spiffeId) => {
        const read = readJwtSvidRequest(encode('JWTSVIDRequest', { audience, spiffeId }))
        assert.deepEqual(read, { audience, spiffeId })
      }),
      RUNS,
    )
  })

  it('is refused cut off at any byte but between two fields', () => {
    const whole = encode('ValidateJWTSVIDRequest', { audience: 'db', svid: 'a.b.c' })
    for (let end = 0; end < whole.length; end += 1)
      assert.equal(
        refusalOr(() => readValidateRequest(whole.subarray(0, end)), CODES),
        'ZT-422-SCHEMA',
      )
  })

  const hostile: Record<string, string> = {
    'a length beyond the end': '0aff01',
    'a length of ten bytes': `0a${'ff'.repeat(9)}01`,
    'a number that never ends': `08${'ff'.repeat(11)}`,
    'a field of number 0': '0200',
    'a group': '0b0c',
    'an unknown kind': '0f',
    'an audience that is a number': '0801',
    'text that is not utf-8': '0a02c328',
    'more fields than anything has': '1800'.repeat(257),
  }
  for (const [what, hex] of Object.entries(hostile))
    it(`is refused with ${what}`, () => {
      assert.throws(() => readTexts(Buffer.from(hex, 'hex'), [1, 2]), { code: 'ZT-422-SCHEMA' })
    })

  it('is passed over where it is a field that nobody knows', () => {
    const known = Buffer.from(encode('ValidateJWTSVIDRequest', { audience: 'db', svid: 'x' }))
    const unknown = Buffer.from('1801' + '250000000021' + '0000000000000000' + '3a0161', 'hex')
    assert.deepEqual(readValidateRequest(Buffer.concat([unknown, known])), { audience: 'db', token: 'x' })
  })
})

describe('what a task is sent', () => {
  it('is read by protobufjs as it was written: bundles', () => {
    fc.assert(
      fc.property(fc.uniqueArray(text, { maxLength: 5 }), bytes, (names, bundle) => {
        const bundles = new Map(names.map((name) => [name, bundle]))
        const read = decode('JWTBundlesResponse', writeJwtBundlesResponse(bundles))
        const entries = Object.entries(read['bundles'] as object)
        assert.deepEqual(
          new Map(entries.map(([name, value]) => [name, same(value)])),
          new Map(names.map((name) => [name, same(bundle)])),
        )
      }),
      RUNS,
    )
  })

  it('is read by protobufjs as it was written: an SVID', () => {
    fc.assert(
      fc.property(text, fc.array(bytes, { maxLength: 3 }), bytes, (spiffeId, chain, key) => {
        const written = writeX509SvidResponse({ spiffeId, chain, key, bundle: key }, new Map())
        const { svids } = decode('X509SVIDResponse', written) as { svids: Record<string, unknown>[] }
        const [svid = {}] = svids
        assert.equal(svid['spiffeId'], spiffeId)
        assert.deepEqual(same(svid['x509Svid']), Buffer.concat(chain))
        assert.deepEqual([same(svid['x509SvidKey']), same(svid['bundle'])], [same(key), same(key)])
      }),
      RUNS,
    )
  })

  it('is read by protobufjs as it was written: claims of any kind', () => {
    const claims = fc.dictionary(text, strictJson, { maxKeys: 5, noNullPrototype: true })
    fc.assert(
      fc.property(text, claims, (spiffeId, object) => {
        const written = writeValidateResponse(spiffeId, object as JsonObject)
        const read = decode('ValidateJWTSVIDResponse', written)
        assert.equal(read['spiffeId'], spiffeId)
        assert.deepEqual(fieldsOf(read['claims']), JSON.parse(JSON.stringify(object)))
      }),
      RUNS,
    )
  })
})
