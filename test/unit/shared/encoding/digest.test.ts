import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { equalBytes, sha256, sha256Text } from '#shared/encoding/digest.ts'

describe('digest', () => {
  it('is SHA-256 of bytes and of the utf-8 form of text alike', () => {
    const abc = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
    assert.equal(Buffer.from(sha256('abc')).toString('hex'), abc)
    assert.equal(Buffer.from(sha256(Buffer.from('abc'))).toString('hex'), abc)
    assert.equal(sha256Text('abc'), Buffer.from(abc, 'hex').toString('base64url'))
    assert.deepEqual(sha256('é'), sha256(Buffer.from('é', 'utf8')))
  })

  it('tells equal bytes from others of the same and of another length', () => {
    assert.equal(equalBytes(new Uint8Array([1, 2]), new Uint8Array([1, 2])), true)
    assert.equal(equalBytes(new Uint8Array([1, 2]), new Uint8Array([1, 3])), false)
    assert.equal(equalBytes(new Uint8Array([1, 2]), new Uint8Array([1, 2, 0])), false)
    assert.equal(equalBytes(new Uint8Array(), new Uint8Array()), true)
  })
})
