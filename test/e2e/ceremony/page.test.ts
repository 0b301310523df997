// The operators' page, typed from its first command to its last by somebody who has nothing but the page: every block of
// shell on it, in its order, at a terminal, on a machine without a network, with a real token.
import assert from 'node:assert/strict'
import { copyFile, mkdir, readFile, readdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readFileSync } from 'node:fs'
import { it } from 'node:test'
import { verifyTranscript } from '#shared/protocol/ceremony-transcript.ts'
import { atTerminal, isolated, reader, type Typist } from '#test/support/ceremony-program.ts'
import { requireDist } from '#test/support/dist.ts'
import { SOFTHSM_MODULE } from '#test/support/softhsm.ts'
import { ROOT } from '#test/support/sources.ts'
import { tempDir } from '#test/support/temp-dir.ts'

const PASSPHRASE = 'correct horse battery staple'
const MODULE_ON_PAGE = '/usr/lib/softhsm/libsofthsm2.so'
const TIMEOUT_MS = 240_000

/** The blocks of shell on the page, in order. */
async function commands(): Promise<string[]> {
  const page = await readFile(join(ROOT, 'docs', 'ceremony.md'), 'utf8')
  return [...page.matchAll(/^```sh\n(.*?)^```$/gms)].map((match) =>
    (match[1] ?? '').replaceAll(MODULE_ON_PAGE, SOFTHSM_MODULE ?? MODULE_ON_PAGE),
  )
}

/** `ceremony`, out of a copy of the release with the addon beside it, and `ztctl`, as the page calls them. */
async function programs(dir: string): Promise<string> {
  const [bin, release] = [join(dir, 'bin'), join(dir, 'release')]
  await mkdir(bin)
  await mkdir(release)
  await requireDist()
  for (const file of ['ceremony.js', 'pkcs11-child.js'])
    await copyFile(join(ROOT, 'dist', file), join(release, file))
  await symlink(join(ROOT, 'node_modules'), join(release, 'node_modules'))
  const files = { ceremony: join(release, 'ceremony.js'), ztctl: join(ROOT, 'test/support/far-hub.ts') }
  for (const [name, file] of Object.entries(files)) {
    const text = `#!/bin/sh\nexec '${process.execPath}' '${file}' "$@"\n`
    await writeFile(join(bin, name), text, { mode: 0o755 })
  }
  return bin
}

/** Types the PIN of the file for the user, another for the security officer, and whatever else is asked for. */
function operator(room: string): Typist {
  const read = reader({
    passphrase: PASSPHRASE,
    Passphrase: PASSPHRASE,
    'same once more': PASSPHRASE,
    'Who is present': 'rita, olga, omar, ona, wanda',
  })
  return (seen) => {
    if (seen.endsWith('user PIN: ')) return readFileSync(join(room, 'pin'), 'utf8').trim()
    return seen.endsWith('PIN: ') ? '0815-4711' : read(seen)
  }
}

it('every command of the page works as it is printed', { timeout: TIMEOUT_MS + 30_000 }, async (t) => {
  const dir = await tempDir(t)
  const room = join(dir, 'stick')
  await mkdir(room)
  const bin = await programs(dir)
  const script = join(dir, 'page.sh')
  await writeFile(script, ['set -eu', ...(await commands()), 'echo THE-END\n'].join('\n'))
  const env = {
    ...process.env,
    PATH: `${bin}:${process.env['PATH'] ?? ''}`,
    FAR_HUB: join(dir, 'hub'),
    // The page starts the program some eighty times.
    NODE_COMPILE_CACHE: join(dir, 'compiled'),
  }
  const { code, seen } = await atTerminal(isolated(['bash', script], 'none'), operator(room), {
    cwd: room,
    env,
    timeoutMs: TIMEOUT_MS,
  })
  assert.ok(code === 0 && seen.endsWith('THE-END\n'), seen.slice(-3000))
  // What the page says that it says.
  assert.match(seen, /error: ZT-412-RETIRE both roots must be trusted for 168 hours more/)
  assert.match(seen, /key is gone/)
  assert.ok(!seen.includes(PASSPHRASE))
  const made = await readdir(room)
  for (const file of made.filter((name) => name.endsWith('.transcript'))) {
    const lines = verifyTranscript(await readFile(join(room, file), 'utf8'))
    assert.equal(lines.at(-1)?.step, 'done', file)
    assert.equal(lines.find(({ step }) => step === 'present')?.facts['scripted'], 'false')
  }
})
