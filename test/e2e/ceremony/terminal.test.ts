// A root that is no demonstration, made by people at a terminal: they type what they read, and nothing else goes.
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, it } from 'node:test'
import { thisMachine } from '#pki/ceremony/surroundings.ts'
import { systemClock } from '#shared/host/clock.ts'
import { CeremonyTable } from '#test/support/ceremony.ts'
import { atTerminal, ceremonyArgv, ceremonyProgram, reader } from '#test/support/ceremony-program.ts'
import { makeToken } from '#test/support/softhsm.ts'

const PASSPHRASE = 'correct horse battery staple'
const LABEL = 'root-2026'

interface Room {
  readonly table: CeremonyTable
  readonly at: (args: readonly string[], answers?: Readonly<Record<string, string>>) => Promise<string>
  /** the words that hold the ceremony */
  readonly run: readonly string[]
}

// One room for all: making three sealed keys takes seconds, and what is refused leaves nothing behind.
let room: Room
before(async () => {
  room = await furnish(await mkdtemp(join(tmpdir(), 'ztmesh-')))
})
after(() => rm(room.table.dir, { recursive: true, force: true }))

/** A token, three officers with sealed keys, and a root ceremony that two of them approved: all typed. */
async function furnish(dir: string): Promise<Room> {
  const table = await CeremonyTable.lay(dir, {
    keystore: { type: 'pkcs11', ...(await makeToken(dir)) },
    clock: systemClock,
  })
  const at: Room['at'] = async (args, answers = {}) => {
    const argv = ceremonyArgv(args, 'none')
    const typist = reader({
      passphrase: PASSPHRASE,
      Passphrase: PASSPHRASE,
      'same once more': PASSPHRASE,
      ...answers,
    })
    const { seen } = await atTerminal(argv, typist, { cwd: dir, timeoutMs: 120_000 })
    return seen
  }
  const officers: string[] = []
  for (const name of ['olga', 'omar', 'ona']) {
    const seen = await at(['key', `${name}.key`, '--name', name])
    assert.ok(!seen.includes(PASSPHRASE), 'a passphrase is not shown')
    officers.push(/^\S+\+[0-9a-f]{8}\+\S+$/m.exec(seen)?.[0] ?? '')
  }
  const quorum = { threshold: 2, emergency: 3, officers }
  const tool = await thisMachine.tool()
  await writeFile(
    join(dir, 'root.json'),
    JSON.stringify(table.rootFile({ demo: false, keyLabel: LABEL, tool, quorum })),
  )
  for (const name of ['olga', 'omar'])
    await at(['approve', 'root.json', '--key', `${name}.key`, '--out', `${name}.approval`])
  const approvals = ['olga', 'omar'].flatMap((name) => ['--approval', `${name}.approval`])
  return { table, at, run: ['run', 'root.json', '--local', 'local.json', ...approvals] }
}

it('who types other words three times has made nothing', async () => {
  const { table, at, run } = room
  const seen = await at(run, { 'type the first 4': 'aardvark aardvark aardvark aardvark' })
  assert.match(seen, /\(3 of 3\)\n.*ZT-403-UNCONFIRMED/s)
  await assert.rejects(table.text('root.transcript'))
})

it('a wrong passphrase approves nothing', async () => {
  const { at } = room
  const args = ['approve', 'root.json', '--key', 'ona.key', '--out', 'ona.approval']
  assert.match(
    await at(args, { Passphrase: 'correct horse battery stable' }),
    /ZT-403-UNCONFIRMED the passphrase/,
  )
})

it('without a terminal nothing is asked, and nothing is done', async () => {
  const { table, run } = room
  const { code, stderr } = await ceremonyProgram(run, 'none', table.dir)
  assert.equal(code, 2)
  assert.match(stderr, /ZT-400-USAGE a ceremony is held at a terminal/)
})

it('three officers, a token, a terminal: a root whose transcript verifies', async () => {
  const { table, at, run } = room
  const seen = await at(run, { 'Who is present': 'rita, olga, omar, wanda' })
  assert.match(seen, /type its label: root-2026\n> root-2026\n/)
  assert.match(seen, /^transcript .*root\.transcript$/m)
  for (const name of ['olga', 'omar'])
    await at(['sign-transcript', 'root.transcript', '--key', `${name}.key`])
  const { code, stdout, stderr } = await ceremonyProgram(['verify', 'root.transcript'], 'here', table.dir)
  assert.match(stderr, /without --root/)
  const fingerprint = /^root: ([0-9a-f]{64})$/m.exec(stdout)?.[1] ?? ''
  const known = ['verify', 'root.transcript', '--root', fingerprint]
  assert.deepEqual((await ceremonyProgram(known, 'here', table.dir)).stderr, '')
  assert.equal(code, 0)
  assert.match(stdout, /signatures: olga, omar signed the head/)
  const transcript = await table.text('root.transcript')
  assert.ok(transcript.includes('"scripted":"false"') && transcript.includes('"machine":"offline"'))
  assert.ok(!(await readFile(join(table.dir, 'olga.key'), 'utf8')).includes('"none"'))
})
