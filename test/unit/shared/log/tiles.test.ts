import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  decodeEntries,
  encodeEntries,
  parseTilePath,
  readHashesFrom,
  tilePath,
  tilesOf,
} from '#shared/log/tiles.ts'

describe('the path of a tile', () => {
  const paths: Record<string, object> = {
    'tile/0/000': { level: 0, index: 0, width: 256 },
    'tile/3/x001/x234/067': { level: 3, index: 1_234_067, width: 256 },
    'tile/0/x001/000.p/255': { level: 0, index: 1_000, width: 255 },
    'tile/entries/999': { level: 'entries', index: 999, width: 256 },
    'tile/entries/x001/000.p/1': { level: 'entries', index: 1_000, width: 1 },
    'tile/63/000': { level: 63, index: 0, width: 256 },
  }
  for (const [path, tile] of Object.entries(paths)) {
    it(`${path} is read and written`, () => {
      assert.deepEqual(parseTilePath(path), tile)
      assert.equal(tilePath(parseTilePath(path)), path)
    })
  }

  const refused = [
    '',
    'tile/0/0',
    'tile/0/0000',
    'tile/0/x000/001',
    'tile/0/x001',
    'tile/64/000',
    'tile/00/000',
    'tile/-1/000',
    'tile/0/000.p/0',
    'tile/0/000.p/256',
    'tile/0/000.p/01',
    'tile/0/000.p/999',
    'tile/0/000/',
    '/tile/0/000',
    'tile/0/../0/000',
    'tile/0/000\n',
    'tile/8/0/000',
    'tile/0/x999/x999/x999/x999/x999/999',
    'checkpoint',
  ]
  for (const path of refused) {
    it(`${JSON.stringify(path)} is refused`, () => {
      assert.throws(() => parseTilePath(path), { code: 'ZT-422-SCHEMA' })
    })
  }
})

describe('the tiles of a tree', () => {
  it('are all its full ones and its right edge', () => {
    const paths = [...tilesOf(256 * 256 + 257)].map((tile) => tilePath(tile))
    assert.equal(paths.length, 2 * (257 + 1) + 2 + 1)
    for (const path of [
      'tile/0/257.p/1',
      'tile/1/000',
      'tile/1/001.p/1',
      'tile/2/000.p/1',
      'tile/entries/257.p/1',
    ]) {
      assert.ok(paths.includes(path), path)
    }
    assert.deepEqual([...tilesOf(0)], [])
    assert.deepEqual(
      [...tilesOf(256)].map((tile) => tilePath(tile)),
      ['tile/entries/000', 'tile/0/000', 'tile/1/000.p/1'],
    )
  })
})

describe('an entry bundle', () => {
  const entries = [Buffer.from('a'), Buffer.alloc(0), Buffer.alloc(65_535, 1)]

  it('comes back as it was written', () => {
    assert.deepEqual(
      decodeEntries(encodeEntries(entries)).map((entry) => Buffer.from(entry)),
      entries,
    )
  })

  it('is refused when it ends inside an entry or its length', () => {
    const bundle = encodeEntries([Buffer.from('abc')])
    for (const length of [1, 2, 4]) {
      assert.throws(() => decodeEntries(bundle.subarray(0, length)), { code: 'ZT-422-SCHEMA' })
    }
  })

  it('is not made of an entry longer than 65535 bytes', () => {
    assert.throws(() => encodeEntries([Buffer.alloc(65_536)]), { code: 'ZT-413-SIZE' })
  })
})

describe('hashes out of tiles', () => {
  it('are refused when their tile is missing or short', () => {
    const read = readHashesFrom(() => Buffer.alloc(32 * 3))
    assert.equal(read(0, 2).length, 32)
    assert.throws(() => read(0, 3), { code: 'ZT-490-UNVERIFIABLE' })
    assert.throws(() => read(2, 0), { code: 'ZT-490-UNVERIFIABLE' })
  })
})
