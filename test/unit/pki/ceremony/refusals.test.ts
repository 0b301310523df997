// What a ceremony and its officers refuse besides the attacks of test/attack: times, signatures, key files. And how the
// next ceremony goes on from one that failed.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmod, copyFile, readFile, writeFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { approveFile, makeKey, signTranscript } from '#pki/ceremony/officer.ts'
import { createOfficerKey, openOfficerKey } from '#pki/ceremony/officer-key.ts'
import { toolDigest } from '#pki/ceremony/surroundings.ts'
import { Transcript } from '#pki/ceremony/transcript.ts'
import { verifyCeremony } from '#pki/ceremony/verify.ts'
import { verifyTranscript } from '#shared/protocol/ceremony-transcript.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { ObligingOperator } from '#test/fakes/obliging-operator.ts'
import { approvedBy, ceremonyScene, DAY, requested, reviewed, rooted } from '#test/support/ceremony-scene.ts'
import { ROOT } from '#test/support/sources.ts'
import { tempDir } from '#test/support/temp-dir.ts'

const never = (): Promise<string> => Promise.reject(new Error('nothing is asked'))

describe('clock of a ceremony', () => {
  it('is within the window of the file', async (t) => {
    const { table, clock } = await ceremonyScene(t)
    const file = table.rootFile()
    const approvals = approvedBy(file, table.officers.slice(0, 2), clock.now())
    for (const ms of [-2 * 3_600_000, 2 * DAY + 3_600_000]) {
      clock.step(ms)
      await assert.rejects(table.run(file, { approvals }), { code: 'ZT-408-STALE' })
    }
  })

  it('is not behind the ceremony before', async (t) => {
    const { table, clock } = await rooted(t)
    clock.step(-60_000)
    const file = await table.bundleFile()
    await assert.rejects(table.run(file), { code: 'ZT-408-CLOCK' })
  })
})

describe('a transcript', () => {
  it('never has a line that nobody could read: so many names are refused before a key is used', async (t) => {
    const { table } = await rooted(t)
    const file = await table.bundleFile()
    const names = Array.from({ length: 90 }, (_, at) => `somebody with a long name, the ${at}th of ninety`)
    for (const present of [names.join(', '), 'rita, '.repeat(33)]) {
      const operator = new ObligingOperator(reviewed(file), () => undefined, { present })
      await assert.rejects(table.run(file, { operator }), { code: 'ZT-403-UNCONFIRMED' })
    }
    assert.ok(!existsSync(join(table.dir, 'bundle.transcript')))
  })

  it('refuses to write what it could not read, and goes on as if it had not been asked to', async (t) => {
    const file = join(await tempDir(t), 'a.transcript')
    const clock = new ManualClock()
    const from = clock.now()
    const transcript = await Transcript.create({ file, clock, tell: () => undefined, from })
    const facts = { type: 'root', trustDomain: 'mesh.example', sha256: '0'.repeat(64) }
    await transcript.write('ceremony', facts)
    await assert.rejects(transcript.write('present', { names: 'x'.repeat(5000) }), {
      code: 'ZT-422-CEREMONY',
    })
    clock.step(-60_000)
    await transcript.write('failed', {})
    await transcript.close()
    const lines = verifyTranscript(await readFile(file, 'utf8'))
    assert.deepEqual(
      lines.map(({ step, at }) => [step, Date.parse(at)]),
      [
        ['ceremony', from],
        ['failed', from],
      ],
    )
  })
})

describe('a ceremony that failed', () => {
  it('verifies as one, and the next goes on from it', async (t) => {
    const { table, request } = await requested(t)
    await assert.rejects(table.run(await table.ladderFile(request, { keyLabel: 'demo-none' })), {
      code: 'ZT-404-KEY',
    })
    const transcript = join(table.dir, 'ladder.transcript')
    const { summary, found } = await verifyCeremony({ transcript })
    assert.equal(summary.outcome, 'failed')
    assert.ok(
      found.some((line) => line.includes('failed with ZT-404-KEY: nothing was made, signed or written')),
    )
    const outputs = { response: 'ladder.json', transcript: 'ladder-again.transcript' }
    await table.run(await table.ladderFile(request, { outputs }))
    await verifyCeremony({ transcript: join(table.dir, 'ladder-again.transcript'), previous: transcript })
  })
})

describe('signatures under a transcript', () => {
  it('are those of officers in force, one of each, under a transcript that verifies', async (t) => {
    const dir = await tempDir(t)
    const names = ['olga', 'omar', 'ona', 'tara']
    const vkeys = await Promise.all(
      names.map((name) => makeKey(join(dir, `${name}.key`), name, { operator: undefined })),
    )
    const { table, clock } = await ceremonyScene(t)
    const quorum = { threshold: 2, emergency: 3, officers: vkeys.slice(0, 3) }
    const path = join(table.dir, 'file.json')
    await writeFile(path, JSON.stringify(table.rootFile({ quorum })))
    const told: string[] = []
    const desk = (name: string): Parameters<typeof approveFile>[2] => ({
      key: join(dir, `${name}.key`),
      operator: new ObligingOperator(undefined, (line) => told.push(line)),
      now: clock.now(),
    })
    await assert.rejects(approveFile(path, join(dir, 'tara.approval'), desk('tara')), {
      code: 'ZT-403-QUORUM',
      details: { reason: 'foreign' },
    })
    const approvals: string[] = []
    for (const name of ['olga', 'omar']) {
      await approveFile(path, join(dir, `${name}.approval`), desk(name))
      approvals.push(await readFile(join(dir, `${name}.approval`), 'utf8'))
    }
    assert.ok(told.includes('by any program'), 'officers see which program the file names')
    await table.run(table.rootFile({ quorum }), { approvals })
    const transcript = join(table.dir, 'root.transcript')
    await copyFile(transcript, join(table.dir, 'copy.transcript'))
    const copy = join(table.dir, 'copy.transcript')
    await signTranscript(copy, desk('olga'))
    await assert.rejects(verifyCeremony({ transcript: copy }), { details: { reason: 'below' } })
    await assert.rejects(signTranscript(copy, desk('olga')), { details: { reason: 'twice' } })
    await assert.rejects(signTranscript(copy, desk('tara')), { details: { reason: 'foreign' } })
    await signTranscript(copy, desk('omar'))
    await verifyCeremony({ transcript: copy })
    await writeFile(join(table.dir, 'bundle.jws'), 'x')
    await assert.rejects(signTranscript(copy, desk('ona')), { code: 'ZT-401-BUNDLE' })
  })
})

describe('key of an officer', () => {
  it('opens with its passphrase and with no other', async (t) => {
    const path = join(await tempDir(t), 'olga.key')
    const vkey = await createOfficerKey(path, 'olga', 'correct horse battery')
    assert.equal((await openOfficerKey(path, async () => 'correct horse battery')).vkey, vkey)
    await assert.rejects(
      openOfficerKey(path, async () => 'correct horse'),
      { code: 'ZT-403-UNCONFIRMED' },
    )
    await assert.rejects(createOfficerKey(path, 'olga', undefined), { code: 'ZT-409-EXISTS' })
  })

  it('is refused where others can read it, or where its parts do not belong together', async (t) => {
    const dir = await tempDir(t)
    const [olga, omar] = [join(dir, 'olga.key'), join(dir, 'omar.key')]
    const vkey = await createOfficerKey(olga, 'olga', undefined)
    await createOfficerKey(omar, 'omar', undefined)
    const theirs = JSON.parse(await readFile(omar, 'utf8')) as object
    await writeFile(omar, JSON.stringify({ ...theirs, vkey }))
    await assert.rejects(openOfficerKey(omar, never), { code: 'ZT-403-UNCONFIRMED' })
    await chmod(olga, 0o644)
    await assert.rejects(openOfficerKey(olga, never), { code: 'ZT-400-CONFIG' })
  })

  it('has no short passphrase, and no name that a requester could not have', async (t) => {
    const dir = await tempDir(t)
    const operator = new ObligingOperator(undefined, () => undefined, { passphrase: 'short' })
    await assert.rejects(makeKey(join(dir, 'a.key'), 'olga', { operator }), { code: 'ZT-403-UNCONFIRMED' })
    for (const name of ['', 'Olga', 'ol ga', 'olga+x'])
      await assert.rejects(createOfficerKey(join(dir, 'b.key'), name, undefined), { code: 'ZT-422-SCHEMA' })
  })
})

describe('digest of the program', () => {
  it('is what sha256sum says of its files, in a source tree and in a release', async (t) => {
    const shell = (script: string, cwd: string): string =>
      execFileSync('sh', ['-c', script], { cwd, encoding: 'utf8' }).slice(0, 64)
    const list = "find pki shared -name '*.ts' | LC_ALL=C sort | xargs sha256sum | sha256sum"
    assert.equal(await toolDigest(join(ROOT, 'pki/ceremony/surroundings.ts')), shell(list, ROOT))
    const dir = await tempDir(t)
    for (const name of ['ceremony.js', 'pkcs11-child.js', 'hub.js']) await writeFile(join(dir, name), name)
    const release = 'sha256sum ceremony.js pkcs11-child.js | sha256sum'
    assert.equal(await toolDigest(join(dir, 'ceremony.js')), shell(release, dir))
  })
})
