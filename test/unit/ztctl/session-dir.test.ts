// A session's key is kept in memory, in a folder of its owner's alone, or nowhere.
import assert from 'node:assert/strict'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after, describe, it } from 'node:test'
import { readOwned, writeNew, writeOwned } from '#ops/ztctl/client/owned-files.ts'
import { isInMemory, openSessionDir } from '#ops/ztctl/client/session-dir.ts'
import { ZtError } from '#shared/errors/error.ts'

const uid = process.geteuid?.() ?? 0
const made: string[] = []
function folder(base: string): string {
  const path = mkdtempSync(join(base, 'ztctl-test-'))
  made.push(path)
  return path
}
after(() => made.forEach((path) => rmSync(path, { recursive: true, force: true })))

const open = (path: string, who = uid): string =>
  openSessionDir({ env: { ZTMESH_RUNTIME_DIR: path }, uid: who })
const refuse = (fault: string): Error => new ZtError('ZT-401-SESSION', fault)

describe(
  'the session folder',
  { skip: isInMemory('/dev/shm') ? false : '/dev/shm is not a tmpfs here' },
  () => {
    it('is made with mode 0700 on a tmpfs', () => {
      const path = join(folder('/dev/shm'), 'a', 'b')
      assert.equal(open(path), path)
      assert.equal(open(path), path)
    })

    it('is below XDG_RUNTIME_DIR where that is a tmpfs, and in /dev/shm where it is a disk', () => {
      const runtime = folder('/dev/shm')
      assert.equal(openSessionDir({ env: { XDG_RUNTIME_DIR: runtime }, uid }), join(runtime, 'ztmesh'))
      const onDisk = openSessionDir({ env: { XDG_RUNTIME_DIR: folder(tmpdir()) }, uid })
      assert.equal(onDisk, `/dev/shm/ztmesh-${uid}`)
    })

    it('refuses a folder that others may enter', () => {
      const path = folder('/dev/shm')
      chmodSync(path, 0o750)
      assert.throws(() => open(path), { code: 'ZT-412-SESSION-DIR', message: /lets others in \(mode 0750\)/ })
    })

    it('refuses a folder of another user', () => {
      assert.throws(() => open(folder('/dev/shm'), uid + 1), {
        code: 'ZT-412-SESSION-DIR',
        message: /belongs to uid/,
      })
    })

    it('refuses a symbolic link, even to a good folder', () => {
      const base = folder('/dev/shm')
      mkdirSync(join(base, 'real'), { mode: 0o700 })
      symlinkSync(join(base, 'real'), join(base, 'link'))
      assert.throws(() => open(join(base, 'link')), { code: 'ZT-412-SESSION-DIR', message: /symbolic link/ })
    })

    it('refuses a file in its place', () => {
      const path = join(folder('/dev/shm'), 'file')
      writeFileSync(path, '')
      assert.throws(() => open(path), { code: 'ZT-412-SESSION-DIR' })
    })

    it('refuses a path that depends on the working folder', () => {
      assert.throws(() => open('relative'), { code: 'ZT-412-SESSION-DIR', message: /absolute/ })
    })
  },
)

test('a session folder on a disk is refused with the remedy, and nothing is made there', (t) => {
  const base = folder(tmpdir())
  if (isInMemory(base)) return t.skip('the temporary folder is a tmpfs here')
  const path = join(base, 'sessions')
  assert.throws(
    () => open(path),
    (error) => {
      assert.ok(error instanceof ZtError)
      assert.equal(error.code, 'ZT-412-SESSION-DIR')
      assert.match(error.message, /is on a disk/)
      assert.match(String(error.details['hint']), /ZTMESH_RUNTIME_DIR/)
      return true
    },
  )
  assert.equal(existsSync(path), false)
})

describe('a file of ours', () => {
  const options = { uid, maxBytes: 100 }

  it('is written whole, with mode 0600, and leaves no temporary file', () => {
    const base = folder(tmpdir())
    writeOwned(base, 'x', 'one')
    writeOwned(base, 'x', 'two')
    assert.deepEqual(readdirSync(base), ['x'])
    assert.equal(Buffer.from(readOwned(join(base, 'x'), options, refuse) ?? []).toString(), 'two')
  })

  it('that is not there is undefined', () => {
    assert.equal(readOwned(join(folder(tmpdir()), 'none'), options, refuse), undefined)
  })

  const faults: Record<string, (path: string) => void> = {
    'that others may read': (path) => chmodSync(path, 0o640),
    'that is too large': (path) => writeFileSync(path, 'x'.repeat(101)),
    'that is a link': (path) => {
      rmSync(path)
      symlinkSync('/etc/hostname', path)
    },
    'that is a folder': (path) => {
      rmSync(path)
      mkdirSync(path)
    },
  }
  for (const [what, spoil] of Object.entries(faults)) {
    it(`${what} is refused`, () => {
      const path = join(folder(tmpdir()), 'x')
      writeNew(path, 'secret')
      spoil(path)
      assert.throws(() => readOwned(path, options, refuse), { code: 'ZT-401-SESSION' })
    })
  }

  it('of another user is refused', () => {
    const path = join(folder(tmpdir()), 'x')
    writeNew(path, 'secret')
    assert.throws(() => readOwned(path, { ...options, uid: uid + 1 }, refuse), { message: /belongs to uid/ })
  })

  it('never takes the place of another one', () => {
    const path = join(folder(tmpdir()), 'x')
    writeNew(path, 'first')
    assert.throws(() => writeNew(path, 'second'), { code: 'EEXIST' })
  })
})
