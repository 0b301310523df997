// What ztctl knows of a mesh is a pin, and the file that holds it is trusted only when nobody else could write it.
import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import {
  checkContext,
  currentContext,
  parseContextFile,
  readContexts,
  saveContext,
  type Place,
} from '#ops/ztctl/client/contexts.ts'
import { parseCommandLine } from '#ops/ztctl/grammar/parse.ts'

const RAW = { hub: 'https://127.0.0.1:7443', hubId: 'spiffe://mesh.example/hub/h1', root: 'ab'.repeat(32) }
let place: Place
let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ztctl-contexts-'))
  place = { env: { ZTMESH_CONFIG_DIR: folder }, uid: process.geteuid?.() ?? 0 }
})
afterEach(() => rmSync(folder, { recursive: true }))

const call = (line: string): ReturnType<typeof parseCommandLine> => parseCommandLine(line.split(' '), {})

describe('contexts', () => {
  it('are none before the first login, and the remedy is to log in', () => {
    assert.throws(() => currentContext(call('ps'), place), {
      code: 'ZT-401-SESSION',
      message: /no mesh is known/,
    })
  })

  it('come back as they were saved, the last one current', () => {
    saveContext(checkContext({ ...RAW, name: 'home' }, 'test'), place)
    saveContext(checkContext({ ...RAW, hubId: 'spiffe://other.example/hub/h1' }, 'test'), place)
    assert.equal(currentContext(call('ps'), place).name, 'other-example')
    assert.equal(currentContext(call('ps --context home'), place).hubId, RAW.hubId)
  })

  it('refuse a name that is not known, and list those that are', () => {
    saveContext(checkContext({ ...RAW, name: 'home' }, 'test'), place)
    assert.throws(() => currentContext(call('ps --context hom'), place), { code: 'ZT-401-SESSION' })
  })

  it('refuse a file that others can write', () => {
    saveContext(checkContext(RAW, 'test'), place)
    chmodSync(join(folder, 'contexts.json'), 0o666)
    assert.throws(() => readContexts(place), { code: 'ZT-400-CONFIG', message: /lets others in/ })
  })

  it('refuse a folder of configuration that others can enter', () => {
    chmodSync(folder, 0o755)
    assert.throws(() => saveContext(checkContext(RAW, 'test'), place), { code: 'ZT-400-CONFIG' })
  })

  it('refuse an unknown member, a duplicate one and text that is not JSON', () => {
    const entry = JSON.stringify({ name: 'x', ...RAW })
    const head = '{"apiVersion":"ztmesh/v1","kind":"Contexts"'
    const texts = [
      `${head},"contexts":[],"insecure":true}`,
      `${head},"contexts":[${entry}],"contexts":[]}`,
      `${head},"contexts":[${entry.replace('"hub"', '"hubb"')}]}`,
      'not json',
      '',
    ]
    for (const text of texts) {
      writeFileSync(join(folder, 'contexts.json'), text, { mode: 0o600 })
      assert.throws(() => readContexts(place), { code: 'ZT-400-CONFIG' }, text)
    }
  })
})

describe('a context', () => {
  it('takes a fingerprint with colons and capitals', () => {
    const root = 'AB:'.repeat(32).slice(0, -1)
    assert.equal(checkContext({ ...RAW, root }, 'test').root, RAW.root)
  })

  it('is read from a file that describes a mesh', () => {
    const context = parseContextFile(
      Buffer.from(JSON.stringify({ ...RAW, td: 'mesh.example' })),
      'mesh.json',
      'home',
    )
    assert.deepEqual(context, { ...RAW, name: 'home', td: 'mesh.example' })
  })

  const refused: Record<string, Partial<Record<keyof typeof RAW | 'td' | 'name', string>>> = {
    'a hub without TLS': { hub: 'http://127.0.0.1:7443' },
    'a hub with a path': { hub: 'https://127.0.0.1/x' },
    'a hub with a password': { hub: 'https://a:b@127.0.0.1' },
    'text that is no address': { hub: 'hub' },
    'a node in place of the hub': { hubId: 'spiffe://mesh.example/node/n1' },
    'a hub id that is no SPIFFE ID': { hubId: 'https://mesh.example/hub/h1' },
    'another trust domain than that of the hub': { td: 'evil.example' },
    'a fingerprint that is too short': { root: 'ab'.repeat(31) },
    'a fingerprint that is not hex': { root: 'zz'.repeat(32) },
    'a name that could be a path': { name: '../x' },
  }
  for (const [what, change] of Object.entries(refused)) {
    it(`refuses ${what}`, () => {
      assert.throws(() => checkContext({ ...RAW, ...change }, 'test'), { code: 'ZT-400-CONFIG' })
    })
  }
})
