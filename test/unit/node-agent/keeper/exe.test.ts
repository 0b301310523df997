import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import {
  chmod,
  copyFile,
  mkdir,
  rename,
  symlink,
  truncate,
  unlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { ProgramCopies } from '#node-agent/keeper/copies.ts'
import { ExecutableStore, isSameFile, requireUnchanged, type OpenExecutable } from '#node-agent/keeper/exe.ts'
import type { PrepareRequest } from '#node-agent/keeper/protocol.ts'
import { RUN_AS } from '#test/support/keeper.ts'
import { tempDir } from '#test/support/temp-dir.ts'

const WANTED = new AbortController().signal
const asRoot = process.geteuid?.() === 0
const digest = (bytes: string | Buffer): string => createHash('sha256').update(bytes).digest('base64url')

/** By this process until now, proc_pid_io(5). */
function bytesRead(): number {
  return Number(/^rchar: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1])
}

class Fixture {
  readonly dir: string
  readonly store = new ExecutableStore(() => Date.now(), new ProgramCopies('/state'))
  readonly #t: TestContext

  private constructor(t: TestContext, dir: string) {
    this.#t = t
    this.dir = dir
  }

  static async create(t: TestContext): Promise<Fixture> {
    const dir = await tempDir(t)
    await chmod(dir, 0o755)
    await mkdir(join(dir, 'bin'))
    await mkdir(join(dir, 'workspaces/w'), { recursive: true })
    return new Fixture(t, dir)
  }

  async file(path: string, content: string, mode = 0o755): Promise<string> {
    const full = join(this.dir, path)
    await writeFile(full, content)
    await chmod(full, mode)
    return full
  }

  request(path: string): PrepareRequest {
    const workspace = { root: join(this.dir, 'workspaces'), name: 'w' }
    return { path, searchPath: [join(this.dir, 'bin'), '/usr/bin'], runAs: RUN_AS, workspace }
  }

  async open(path: string, hidden: readonly string[] = []): Promise<OpenExecutable> {
    const exe = await this.store.open(this.request(path), { hidden, signal: WANTED })
    this.#t.after(() => exe.close())
    return exe
  }
}

describe('a program', () => {
  it('is hashed by the bytes of its open file', async (t) => {
    const { file, interpreter } = await (await Fixture.create(t)).open('/usr/bin/env')
    assert.equal(file.sha256, digest(readFileSync('/usr/bin/env')))
    assert.equal(interpreter, undefined)
  })

  it('is looked up on the search path of the node, and named by where it really is', async (t) => {
    const fixture = await Fixture.create(t)
    const real = await fixture.file('tool-1.0', '#!/bin/sh\n')
    await symlink('../tool-1.0', join(fixture.dir, 'bin/tool'))
    assert.equal((await fixture.open('tool')).file.realpath, real)
  })

  it('is the first on the search path that can be executed', async (t) => {
    const fixture = await Fixture.create(t)
    await fixture.file('bin/env', 'not executable', 0o644)
    assert.notEqual((await fixture.open('env')).file.realpath, join(fixture.dir, 'bin/env'))
  })

  it('of the workspace is shown at the path of the workspace', async (t) => {
    const fixture = await Fixture.create(t)
    await fixture.file('workspaces/w/run.sh', '#!/bin/sh\n')
    const { file } = await fixture.open('/workspace/./run.sh')
    assert.equal(file.path, '/workspace/run.sh')
    assert.equal(file.realpath, join(fixture.dir, 'workspaces/w/run.sh'))
  })

  for (const path of ['missing', '/no/such/program', '/workspace/missing', './relative', 'a/b', '../x']) {
    it(`that does not exist is not found: ${path}`, async (t) => {
      const fixture = await Fixture.create(t)
      await assert.rejects(fixture.store.open(fixture.request(path), { hidden: [], signal: WANTED }), {
        code: 'ZT-404-EXE',
      })
    })
  }

  for (const path of ['/workspace/../../../usr/bin/env', '/workspace/../w/x']) {
    it(`outside the workspace is not taken for one inside: ${path}`, async (t) => {
      const fixture = await Fixture.create(t)
      const found = await fixture.open(path).catch((error: { code: string }) => error.code)
      assert.ok(
        found === 'ZT-404-EXE' || (typeof found === 'object' && !found.file.path.startsWith('/workspace')),
      )
    })
  }

  for (const path of ['/usr/bin', '/dev/null', '/proc/self/mem']) {
    it(`is refused unless it is a regular file that may be executed: ${path}`, async (t) => {
      const fixture = await Fixture.create(t)
      await assert.rejects(fixture.store.open(fixture.request(path), { hidden: [], signal: WANTED }), {
        code: 'ZT-403-EXE',
      })
    })
  }

  it('without execute bits is refused', async (t) => {
    const fixture = await Fixture.create(t)
    const path = await fixture.file('plain', '#!/bin/sh\n', 0o644)
    await assert.rejects(fixture.store.open(fixture.request(path), { hidden: [], signal: WANTED }), {
      code: 'ZT-403-EXE',
    })
  })

  it('that only we may execute is refused', { skip: asRoot ? false : 'needs root' }, async (t) => {
    const fixture = await Fixture.create(t)
    const path = await fixture.file('ours', '#!/bin/sh\n', 0o700)
    await assert.rejects(fixture.store.open(fixture.request(path), { hidden: [], signal: WANTED }), {
      code: 'ZT-403-EXE',
    })
    await mkdir(join(fixture.dir, 'shut'), { mode: 0o700 })
    const behind = await fixture.file('shut/behind', '#!/bin/sh\n')
    await assert.rejects(fixture.store.open(fixture.request(behind), { hidden: [], signal: WANTED }), {
      code: 'ZT-403-EXE',
    })
  })

  it('of a hidden folder is refused, also by a link from elsewhere', async (t) => {
    const fixture = await Fixture.create(t)
    await mkdir(join(fixture.dir, 'state'))
    const path = await fixture.file('state/tool', '#!/bin/sh\n')
    await symlink(path, join(fixture.dir, 'bin/innocent'))
    const hidden = [join(fixture.dir, 'state')]
    for (const name of [path, 'innocent']) {
      await assert.rejects(fixture.store.open(fixture.request(name), { hidden, signal: WANTED }), {
        code: 'ZT-403-EXE',
      })
    }
  })

  it('whose first line names a program of a hidden folder is refused', async (t) => {
    const fixture = await Fixture.create(t)
    await mkdir(join(fixture.dir, 'state'))
    await copyFile('/bin/sh', join(fixture.dir, 'state/sh'))
    await chmod(join(fixture.dir, 'state/sh'), 0o755)
    await symlink('state/sh', join(fixture.dir, 'innocent'))
    const hidden = [join(fixture.dir, 'state')]
    for (const name of ['state/sh', 'innocent']) {
      const path = await fixture.file('script', `#!${join(fixture.dir, name)}\n`)
      await assert.rejects(fixture.store.open(fixture.request(path), { hidden, signal: WANTED }), {
        code: 'ZT-403-EXE',
      })
    }
  })

  for (const place of ['tool', 'workspaces/w/tool']) {
    it(`that is larger than any program is refused before it is read: ${place}`, async (t) => {
      const fixture = await Fixture.create(t)
      const path = await fixture.file(place, '')
      await truncate(path, 4 * 1024 ** 3 + 1)
      const name = place === 'tool' ? path : '/workspace/tool'
      await assert.rejects(fixture.open(name), { code: 'ZT-412-FACT', details: { fact: 'exe-size' } })
    })

    it(`is not read to its end when nobody waits for it any more: ${place}`, async (t) => {
      const fixture = await Fixture.create(t)
      const path = await fixture.file(place, '')
      await truncate(path, 4 * 1024 ** 3)
      const gone = new AbortController()
      const name = place === 'tool' ? path : '/workspace/tool'
      const opening = fixture.store.open(fixture.request(name), { hidden: [], signal: gone.signal })
      const before = bytesRead()
      gone.abort()
      await assert.rejects(opening, { code: 'ZT-503-SANDBOX' })
      assert.ok(bytesRead() - before < 1024 ** 3)
    })
  }

  it("of another process's workspace is refused, also by a link from ours", async (t) => {
    const fixture = await Fixture.create(t)
    await mkdir(join(fixture.dir, 'workspaces/other'))
    const path = await fixture.file('workspaces/other/tool', '#!/bin/sh\n')
    await symlink('../other/tool', join(fixture.dir, 'workspaces/w/tool'))
    const hidden = [join(fixture.dir, 'workspaces')]
    for (const name of [path, '/workspace/tool']) {
      await assert.rejects(fixture.store.open(fixture.request(name), { hidden, signal: WANTED }), {
        code: 'ZT-403-EXE',
      })
    }
  })
})

describe('a file that begins like a program', () => {
  const real = readFileSync('/usr/bin/env')
  const patched = (at: number, value: number): Buffer => {
    const copy = Buffer.from(real)
    copy.writeUInt16LE(value, at)
    return copy
  }
  const broken: Record<string, Buffer | string> = {
    'has nothing more': '\x7fELF',
    'goes on as text': `\x7fELF${' echo handed to the shell'.repeat(10)}`,
    'is of 32 bits': patched(4, 0x0101),
    'is an object file': patched(16, 1),
    'is for another machine': patched(18, 8),
    'has no segments': patched(56, 0),
    'has segments of another size': patched(54, 57),
  }
  for (const [what, bytes] of Object.entries(broken)) {
    it(`and ${what} is refused, not handed to the shell`, async (t) => {
      const fixture = await Fixture.create(t)
      const path = await fixture.file('broken', '')
      await writeFile(path, bytes)
      await assert.rejects(fixture.store.open(fixture.request(path), { hidden: [], signal: WANTED }), {
        code: 'ZT-403-EXE',
      })
    })
  }
})

describe('a held program', () => {
  it('stays the file that was hashed when its name is given to another', async (t) => {
    const fixture = await Fixture.create(t)
    const path = await fixture.file('tool', '#!/bin/sh\necho first\n')
    const { file } = await fixture.open(path)
    await rename(await fixture.file('tool.new', '#!/bin/sh\necho second\n'), path)
    assert.equal(isSameFile(path, file), false)
    assert.equal(file.sha256, digest('#!/bin/sh\necho first\n'))
  })

  const changes: Record<string, (path: string) => Promise<void>> = {
    'written to': (path) => writeFile(path, '#!/bin/sh\necho changed\n'),
    'written to, with its old time put back': async (path) => {
      await writeFile(path, '#!/bin/sh\necho fakes\n')
      await utimes(path, 1, 1)
    },
    'made executable by others': (path) => chmod(path, 0o777),
    moved: (path) => rename(path, `${path}.old`),
    removed: (path) => unlink(path),
  }
  for (const [what, change] of Object.entries(changes)) {
    it(`is not started any more once it was ${what}`, async (t) => {
      const fixture = await Fixture.create(t)
      const path = await fixture.file('tool', '#!/bin/sh\necho first\n')
      const { file } = await fixture.open(path)
      requireUnchanged(file)
      await change(path)
      assert.throws(() => requireUnchanged(file), { code: 'ZT-412-FACT', details: { fact: 'exe' } })
    })
  }

  it('gets a new digest when its content changes under the same name and size', async (t) => {
    const fixture = await Fixture.create(t)
    const path = await fixture.file('tool', '#!/bin/sh\necho 1\n')
    const first = await fixture.open(path)
    await fixture.file('tool', '#!/bin/sh\necho 2\n')
    assert.notEqual((await fixture.open(path)).file.sha256, first.file.sha256)
  })
})

describe('a script', () => {
  const lines: Record<string, string> = {
    '#!/bin/sh\n': '/bin/sh',
    '#! \t/bin/sh -e\n': '/bin/sh',
    '#!/usr/bin/env sh\n': '/usr/bin/env',
    'echo without a first line\n': '/bin/sh',
    '': '/bin/sh',
  }
  for (const [text, interpreter] of Object.entries(lines)) {
    it(`is held together with its interpreter: ${JSON.stringify(text)}`, async (t) => {
      const fixture = await Fixture.create(t)
      const exe = await fixture.open(await fixture.file('script', text))
      assert.equal(exe.file.sha256, digest(text))
      assert.equal(exe.interpreter?.sha256, digest(readFileSync(interpreter)))
    })
  }

  for (const [text, code] of Object.entries({
    '#!\n': 'ZT-403-EXE',
    '#!relative\n': 'ZT-403-EXE',
    '#!/no/such/interpreter\n': 'ZT-404-EXE',
    '#!/usr\n': 'ZT-403-EXE',
    '#!/etc/passwd\n': 'ZT-403-EXE',
  })) {
    it(`is refused without a program that runs it: ${JSON.stringify(text)}`, async (t) => {
      const fixture = await Fixture.create(t)
      const path = await fixture.file('script', text)
      await assert.rejects(fixture.store.open(fixture.request(path), { hidden: [], signal: WANTED }), {
        code,
      })
    })
  }
})
