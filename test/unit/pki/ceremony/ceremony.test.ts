// The root and the ladder ceremony, on a sealed-file key store; test/interop runs them on a token.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { verifyTranscript } from '#shared/protocol/ceremony-transcript.ts'
import { LadderStore, type WrittenRequest } from '#pki/issuance/ladder-store.ts'
import { openSealedKeyStore } from '#pki/keystore/sealed-file.ts'
import { createSealSecret } from '#pki/keystore/seal.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { CeremonyTable, OFFLINE, TRUST_DOMAIN } from '#test/support/ceremony.ts'
import { ROOT } from '#test/support/sources.ts'
import { tempDir } from '#test/support/temp-dir.ts'

const DAY = 86_400_000
const OTHER_OUTPUTS = {
  certificate: 'other.pem',
  bundle: 'other.jws',
  officers: 'other.json',
  transcript: 'other.transcript',
}

interface Scene {
  readonly table: CeremonyTable
  readonly clock: ManualClock
  readonly store: LadderStore
}

async function scene(t: TestContext): Promise<Scene> {
  const dir = await tempDir(t)
  const clock = new ManualClock()
  const table = await CeremonyTable.lay(dir, { clock })
  const secretFile = join(dir, 'hub-secret')
  await createSealSecret(secretFile)
  const keys = await openSealedKeyStore({ dir: join(dir, 'hub-keys'), secretFile })
  const hub = parseSpiffeId(`spiffe://${TRUST_DOMAIN}/hub/h1`)
  const store = await LadderStore.open({ dir: join(dir, 'ladder'), keys, hub, now: clock.now() }, undefined)
  return { table, clock, store }
}

/** A scene in which the root is made and a request of two rungs waits. */
async function requested(t: TestContext): Promise<Scene & { request: WrittenRequest }> {
  const made = await scene(t)
  await made.table.run(made.table.rootFile())
  return { ...made, request: await made.store.makeRequest({ count: 2, now: made.clock.now() }) }
}

describe('root ceremony', () => {
  it('makes a root, a bundle that a node takes, and a transcript that verifies', async (t) => {
    const { table } = await scene(t)
    const { head } = await table.run(table.rootFile())
    const bundle = await table.bundle()
    assert.equal(bundle.sequence, 1)
    assert.equal(bundle.roots.length, 1)
    assert.deepEqual(bundle.roots[0]?.sans.uris, ['spiffe://mesh.example'])
    const lines = verifyTranscript(await table.text('root.transcript'))
    assert.deepEqual(
      lines.map(({ step }) => step),
      [
        'ceremony',
        'environment',
        'quorum',
        'approval',
        'approval',
        'present',
        'opened key store',
        'confirmed',
        'made key',
        'confirmed',
        'linted',
        'signed',
        'signed bundle',
        'wrote',
        'wrote',
        'wrote',
        'done',
      ],
    )
    assert.equal(lines.at(-1)?.hash, head)
    for (const { step } of lines) assert.ok(table.told.some((line) => line.startsWith(`  ${step}`)))
  })

  it('never makes a second key under one label', async (t) => {
    const { table } = await scene(t)
    await table.run(table.rootFile())
    await assert.rejects(table.run(table.rootFile({ outputs: OTHER_OUTPUTS })), { code: 'ZT-409-LABEL' })
    const lines = verifyTranscript(await table.text('other.transcript'))
    const left = 'nothing was made, signed or written'
    assert.deepEqual([lines.at(-1)?.step, lines.at(-1)?.facts], ['failed', { code: 'ZT-409-LABEL', left }])
  })

  for (const output of ['root.pem', 'bundle.jws', 'officers.json', 'root.transcript']) {
    it(`refuses before it makes a key if ${output} exists`, async (t) => {
      const { table } = await scene(t)
      await writeFile(join(table.dir, output), 'precious')
      await assert.rejects(table.run(table.rootFile()), { code: 'ZT-409-EXISTS' })
      assert.equal(await table.text(output), 'precious')
      assert.ok(!(await readdir(table.dir)).includes('root-keys'))
    })
  }

  it('does not follow a link that lies where an output goes', async (t) => {
    const { table } = await scene(t)
    await symlink(join(table.dir, 'elsewhere'), join(table.dir, 'root.pem'))
    await assert.rejects(table.run(table.rootFile()), { code: 'ZT-409-EXISTS' })
  })

  it('wants the program named by its digest in what is no demonstration', async (t) => {
    const { table } = await scene(t)
    const file = table.rootFile({ demo: false, keyLabel: 'root-2026' })
    await assert.rejects(table.run(file), { code: 'ZT-422-CEREMONY', message: /"tool"/ })
    await assert.rejects(table.run({ ...file, tool: '1'.repeat(64) }), {
      code: 'ZT-422-CEREMONY',
      message: /not the digest of this program/,
    })
    await table.run({ ...file, tool: await OFFLINE.tool() })
  })

  const bad: Record<string, object> = {
    'a key label that is not for demonstrations': { keyLabel: 'root-2026' },
    'an unknown field': { extra: true },
    'an unknown type': { type: 'crl' },
    'a field of another type of ceremony': { emergency: true },
    'a key label for demonstrations in what is none': { demo: false, tool: '0'.repeat(64) },
    'a window of two months': { window: { from: '2026-11-01T00:00:00Z', until: '2027-01-01T00:00:00Z' } },
    'a window that ends before it begins': {
      window: { from: '2026-11-23T00:00:00Z', until: '2026-11-21T00:00:00Z' },
    },
    'another version': { v: 2 },
    'a trust domain in upper case': { trustDomain: 'Mesh.example' },
    'an end before its beginning': { notBefore: '2030-01-01T00:00:00Z', notAfter: '2029-01-01T00:00:00Z' },
    'a date that does not exist': { notAfter: '2036-02-30T00:00:00Z' },
    'a date with an offset': { notAfter: '2036-01-01T00:00:00+00:00' },
    'an output in another folder': { outputs: { ...OTHER_OUTPUTS, certificate: '../root.pem' } },
    'an output that is hidden': { outputs: { ...OTHER_OUTPUTS, certificate: '.root.pem' } },
    'one output for two things': { outputs: { ...OTHER_OUTPUTS, certificate: 'other.jws' } },
    'a sequence of zero': { bundle: { sequence: 0, refreshHint: 300 } },
  }
  for (const [what, change] of Object.entries(bad)) {
    it(`refuses a file with ${what}`, async (t) => {
      const { table } = await scene(t)
      await assert.rejects(table.run(table.rootFile(change)), { code: 'ZT-422-CEREMONY' })
      assert.deepEqual(
        (await readdir(table.dir)).filter((name) => /root-keys|transcript/.test(name)),
        [],
      )
    })
  }

  it('refuses a file with one field twice', async (t) => {
    const { table } = await scene(t)
    const text = JSON.stringify(table.rootFile()).replace('{"type"', '{"demo":true,"type"')
    await assert.rejects(table.run(text), { code: 'ZT-422-CEREMONY' })
  })

  it('signs nothing that lives longer than ten years', async (t) => {
    const { table } = await scene(t)
    const file = table.rootFile({ notAfter: '2046-01-01T00:00:00Z' })
    await assert.rejects(table.run(file), {
      code: 'ZT-412-LINT',
      details: { rule: 'lifetime', profile: 'root' },
    })
  })

  it('refuses a trust domain that a name constraint cannot hold', async (t) => {
    const { table } = await scene(t)
    for (const trustDomain of ['10.0.0.1', 'mesh.example.']) {
      await assert.rejects(table.run(table.rootFile({ trustDomain })), { code: 'ZT-422-CEREMONY' })
    }
  })
})

describe('ladder ceremony', () => {
  it('signs two intermediates for every slot, and the hub steps onto them', async (t) => {
    const { table, store, clock, request } = await requested(t)
    await table.run(await table.ladderFile(request))
    const ladder = await store.importResponse(await table.read('ladder.json'), {
      bundle: await table.bundle(),
      now: clock.now(),
    })
    assert.deepEqual(ladder.status(clock.now()), {
      remaining: 2,
      alarm: true,
      current: 0,
      next: 1,
      until: clock.now() + 2 * DAY,
    })
    const signed = verifyTranscript(await table.text('ladder.transcript')).filter(
      ({ step }) => step === 'signed',
    )
    assert.deepEqual(
      signed.map(({ facts }) => facts['what']),
      ['workload 0', 'infra 0', 'workload 1', 'infra 1'],
    )
  })

  it('continues a ladder without a gap', async (t) => {
    const { table, store, clock, request } = await requested(t)
    await table.run(await table.ladderFile(request))
    const bundle = await table.bundle()
    await store.importResponse(await table.read('ladder.json'), { bundle, now: clock.now() })
    const second = await store.makeRequest({ count: 3, now: clock.now() })
    assert.equal(second.request.rungs[0]?.index, 2)
    const outputs = { response: 'ladder-2.json', transcript: 'ladder-2.transcript' }
    await table.run(await table.ladderFile(second, { previous: await table.input('ladder.json'), outputs }))
    const ladder = await store.importResponse(await table.read('ladder-2.json'), { bundle, now: clock.now() })
    assert.equal(ladder.status(clock.now()).remaining, 5)
    assert.equal(ladder.status(clock.now()).alarm, false)
  })

  it('refuses a request that is not the one of its digest', async (t) => {
    const { table, request } = await requested(t)
    const file = await table.ladderFile({ ...request, sha256: '0'.repeat(64) })
    await assert.rejects(table.run(file), { code: 'ZT-422-CEREMONY', message: /not the file/ })
  })

  it('refuses a request that begins anew if the ceremony file continues, and the reverse', async (t) => {
    const { table, store, clock, request } = await requested(t)
    await table.run(await table.ladderFile(request))
    const outputs = { response: 'ladder-2.json', transcript: 'ladder-2.transcript' }
    const previous = await table.input('ladder.json')
    await assert.rejects(table.run(await table.ladderFile(request, { previous, outputs })), {
      details: { check: 'check-chain' },
    })
    await store.importResponse(await table.read('ladder.json'), {
      bundle: await table.bundle(),
      now: clock.now(),
    })
    const next = await store.makeRequest({ count: 1, now: clock.now() })
    const again = { response: 'ladder-3.json', transcript: 'ladder-3.transcript' }
    await assert.rejects(table.run(await table.ladderFile(next, { outputs: again })), {
      details: { check: 'check-chain' },
    })
  })

  it('refuses a request whose first slot is long past, or whose last one is far ahead', async (t) => {
    const { table, store, clock } = await scene(t)
    await table.run(table.rootFile({ notBefore: '2026-01-01T00:00:00Z', notAfter: '2030-01-01T00:00:00Z' }))
    for (const [at, days] of [-3, 20].entries()) {
      const request = await store.makeRequest({ count: 30, now: clock.now() + days * DAY, fresh: true })
      const outputs = { response: 'ladder.json', transcript: `ladder-${at}.transcript` }
      await assert.rejects(table.run(await table.ladderFile(request, { outputs })), {
        details: { check: 'check-horizon' },
      })
    }
  })

  it('refuses slots outside of the life of the root', async (t) => {
    const { table, store, clock } = await scene(t)
    await table.run(
      table.rootFile({ notAfter: new Date(clock.now() + DAY).toISOString().replace('.000', '') }),
    )
    const request = await store.makeRequest({ count: 2, now: clock.now() })
    await assert.rejects(table.run(await table.ladderFile(request)), { details: { check: 'check-validity' } })
  })

  it('refuses a key that is not that of the root certificate', async (t) => {
    const { table, request } = await requested(t)
    await table.run(table.rootFile({ keyLabel: 'demo-other', outputs: OTHER_OUTPUTS }))
    const file = await table.ladderFile(request, { keyLabel: 'demo-other' })
    await assert.rejects(table.run(file), { code: 'ZT-422-CEREMONY', message: /not the key of the root/ })
  })

  it('refuses a label that the key store does not have', async (t) => {
    const { table, request } = await requested(t)
    await assert.rejects(table.run(await table.ladderFile(request, { keyLabel: 'demo-none' })), {
      code: 'ZT-404-KEY',
    })
  })

  it('refuses a request of another trust domain', async (t) => {
    const { table, request } = await requested(t)
    const file = await table.ladderFile(request, { trustDomain: 'other.example' })
    await assert.rejects(table.run(file), { code: 'ZT-422-CEREMONY' })
  })

  it('never makes an infrastructure authority that may name more than the file lists', async (t) => {
    const { table, store, clock, request } = await requested(t)
    await table.run(await table.ladderFile(request, { infra: { dns: [], ips: [] } }))
    const ladder = await store.importResponse(await table.read('ladder.json'), {
      bundle: await table.bundle(),
      now: clock.now(),
    })
    const { nameConstraints } = ladder.current(clock.now()).infra.certificate
    assert.deepEqual(nameConstraints?.excluded.dns, [''])
    assert.equal(nameConstraints?.excluded.ips.length, 2)
  })

  for (const dns of ['*.example', 'Hub.example', 'hub.example.', '10.0.0.1', 'a_b', '']) {
    it(`refuses the host name "${dns}" in the file`, async (t) => {
      const { table, request } = await requested(t)
      const file = await table.ladderFile(request, { infra: { dns: [dns], ips: [] } })
      await assert.rejects(table.run(file), { code: 'ZT-422-CEREMONY' })
    })
  }
})

describe('transcript', () => {
  const changes: Record<string, (text: string) => string> = {
    'a fact was changed': (text) => text.replace('"demo":"true"', '"demo":"false"'),
    'a line was taken out': (text) => text.split('\n').toSpliced(2, 1).join('\n'),
    'two lines changed places': (text) =>
      text
        .split('\n')
        .toSpliced(1, 2, ...text.split('\n').slice(1, 3).toReversed())
        .join('\n'),
    'the end is cut within a line': (text) => text.slice(0, -4),
    'a time was changed': (text) => text.replace('2026-11-22T00', '2026-11-22T01'),
  }
  for (const [what, change] of Object.entries(changes)) {
    it(`does not verify if ${what}`, async (t) => {
      const { table } = await scene(t)
      await table.run(table.rootFile())
      const text = await table.text('root.transcript')
      assert.notEqual(change(text), text)
      assert.throws(() => verifyTranscript(change(text)), { code: 'ZT-422-CEREMONY' })
    })
  }

  it('holds no secret', async (t) => {
    const { table } = await scene(t)
    await table.run(table.rootFile())
    const secret = (await readFile(join(table.dir, 'root-secret'), 'utf8')).trim()
    const text = await table.text('root.transcript')
    assert.ok(!text.includes(secret) && !text.includes(secret.slice('zt-seal-1:'.length)))
  })
})

describe('ceremony program', () => {
  const run = promisify(execFile)
  const program = join(ROOT, 'pki/ceremony/main.ts')

  it('refuses with the code, a hint and the exit status of the table', async () => {
    await assert.rejects(
      run(process.execPath, [program, 'run', 'nothing.json', '--yes']),
      (error: { code: number; stderr: string }) => {
        assert.equal(error.code, 2)
        assert.match(error.stderr, /^ceremony: error: ZT-400-USAGE usage: .*\nceremony: hint: /)
        return true
      },
    )
  })
})
