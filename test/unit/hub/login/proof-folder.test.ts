// Files that do not prove an account, each made as an attacker on the same machine would.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { ProofFolder } from '#hub/login/proof-folder.ts'

const CONTENT = 'A'.repeat(43)
const uid = process.getuid?.() ?? 0

describe('the login proof', () => {
  let dir: string
  let folder: ProofFolder
  let path: string
  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'zt-login-'))
    folder = await ProofFolder.open(join(dir, 'login'))
    path = join(folder.path, 'proof')
  })
  afterEach(() => rmSync(dir, { recursive: true }))
  const verify = (change: { uid?: number; from?: number; until?: number } = {}): Promise<void> =>
    folder.verify({
      file: 'proof',
      uid,
      content: CONTENT,
      from: Date.now() - 1000,
      until: Date.now() + 60_000,
      ...change,
    })
  const make = (mode = 0o600): void => {
    writeFileSync(path, CONTENT, { mode })
    chmodSync(path, mode)
  }

  it('is a fresh file of the account with the right content, and is removed', async () => {
    make()
    await verify()
    assert.equal(existsSync(path), false)
  })

  it('may be readable by others, for a hub that is not root', async () => {
    make(0o644)
    await verify()
  })

  it('cannot be used twice', async () => {
    make()
    await verify()
    await assert.rejects(verify(), { code: 'ZT-401-LOGIN' })
  })

  const bad: Record<string, () => void> = {
    'no file': () => undefined,
    'a symbolic link to a file of the account': () => {
      writeFileSync(join(dir, 'victim'), CONTENT, { mode: 0o600 })
      symlinkSync(join(dir, 'victim'), path)
    },
    'a hard link to a file of the account': () => {
      writeFileSync(join(dir, 'victim'), CONTENT, { mode: 0o600 })
      linkSync(join(dir, 'victim'), path)
    },
    'other content': () => writeFileSync(path, 'B'.repeat(43), { mode: 0o600 }),
    'the right content and more': () => writeFileSync(path, `${CONTENT}\n`, { mode: 0o600 }),
    'less than the right content': () => writeFileSync(path, CONTENT.slice(1), { mode: 0o600 }),
    'an empty file': () => writeFileSync(path, '', { mode: 0o600 }),
    'a file that its group may write': () => make(0o660),
    'a file that anybody may write': () => make(0o602),
    'a folder': () => mkdirSync(path),
    'a named pipe': () => execFileSync('mkfifo', [path]),
    'a file that is older than the session': () => {
      make()
      utimesSync(path, new Date(0), new Date(0))
    },
    'a file from the future': () => {
      make()
      const future = new Date(Date.now() + 3_600_000)
      utimesSync(path, future, future)
    },
  }
  for (const [what, prepare] of Object.entries(bad))
    it(`is not ${what}`, async () => {
      prepare()
      await assert.rejects(verify(), { code: 'ZT-401-LOGIN' })
    })

  it('is not a file that was moved here from before the session, whatever its mtime says', async () => {
    make()
    const now = Date.now()
    // mtime can be set by its owner, ctime cannot: the session began later than both may say.
    utimesSync(path, new Date(now + 30_000), new Date(now + 30_000))
    await assert.rejects(verify({ from: now + 20_000, until: now + 80_000 }), { code: 'ZT-401-LOGIN' })
  })

  it(
    'is not a file of another account',
    { skip: uid === 0 ? false : 'needs root to give a file away' },
    async () => {
      make()
      chownSync(path, 12_345, 12_345)
      await assert.rejects(verify(), { code: 'ZT-401-LOGIN' })
      make()
      await assert.rejects(verify({ uid: 12_345 }), { code: 'ZT-401-LOGIN' })
    },
  )

  it('lies in a folder where others may make files and neither list nor move them', () => {
    assert.equal(statSync(folder.path).mode & 0o7777, 0o1733)
  })

  it('does not lie in a folder that somebody linked elsewhere', async () => {
    symlinkSync(folder.path, join(dir, 'link'))
    await assert.rejects(ProofFolder.open(join(dir, 'link')), { code: 'ZT-400-CONFIG' })
  })
})
