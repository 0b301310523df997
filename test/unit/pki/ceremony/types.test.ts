// Each type of ceremony does what its file says, and no more; OpenSSL looks at what they sign.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { hex } from '#pki/ceremony/certify.ts'
import { openSealedKeyStore } from '#pki/keystore/sealed-file.ts'
import { parseLadderResponse } from '#pki/issuance/ladder-response.ts'
import { verifyCeremony } from '#pki/ceremony/verify.ts'
import { verifyTranscript } from '#shared/protocol/ceremony-transcript.ts'
import { openBundle, rootFingerprint } from '#shared/x509/bundle.ts'
import { certificatesToPem } from '#shared/x509/pem.ts'
import { makeOfficer } from '#test/support/ceremony.ts'
import {
  approvedBy,
  certificateIn,
  climbed,
  DAY,
  requested,
  rooted,
  rotated,
  usageFile,
} from '#test/support/ceremony-scene.ts'

describe('rotation of the root', () => {
  it('makes a second root that a node takes because the first one signed the bundle', async (t) => {
    const { table, clock } = await rooted(t)
    const held = await table.bundle()
    await table.run(await table.rotateFile())
    const next = openBundle(await table.text('bundle-2.jws'), { trusted: held }, clock.now())
    assert.deepEqual(next.roots.map(rootFingerprint), [
      rootFingerprint(await certificateIn(table, 'root.pem')),
      rootFingerprint(await certificateIn(table, 'root-2.pem')),
    ])
  })

  it('goes on to a ladder under the new root, and to a bundle without the old one', async (t) => {
    const scene = await rotated(t, 7)
    const { table, clock } = scene
    const held = await table.bundle('bundle-2.jws')
    await table.run(await table.retireFile([await usageFile(scene, 0)]))
    const last = openBundle(await table.text('bundle-3.jws'), { trusted: held }, clock.now())
    assert.deepEqual(last.roots.map(rootFingerprint), [
      rootFingerprint(await certificateIn(table, 'root-2.pem')),
    ])
    for (const name of ['root', 'rotate', 'ladder', 'retire']) {
      const { summary } = await verifyCeremony({ transcript: join(table.dir, `${name}.transcript`) })
      assert.equal(summary.outcome, 'done')
    }
  })

  it('forgets what was revoked below the old root, live or not, and nothing below the new one', async (t) => {
    const scene = await climbed(t, 3)
    const { table, clock, store } = scene
    await table.run(await table.rotateFile())
    const outputs = { bundle: 'bundle-r.jws', transcript: 'revoke.transcript' }
    await table.run(await table.revokeFile(['ladder.json'], { outputs }))
    const request = await store.makeRequest({ count: 2, now: clock.now(), fresh: true })
    const root = { root: await table.input('root-2.pem'), keyLabel: 'demo-root-2' }
    const signed = { response: 'ladder-2.json', transcript: 'ladder-2.transcript' }
    await table.run(await table.ladderFile(request, { ...root, outputs: signed }))
    await store.importResponse(await table.read('ladder-2.json'), {
      bundle: await table.bundle('bundle-r.jws'),
      now: clock.now(),
    })
    const again = { bundle: 'bundle-s.jws', transcript: 'revoke-2.transcript' }
    await table.run(await table.revokeFile(['ladder-2.json'], { ...root, rungs: [1], outputs: again }))
    assert.equal((await table.bundle('bundle-s.jws', 'root-2.pem')).revokedIntermediates.length, 8)
    const usage = [await usageFile(scene, 0)]
    const forget = [await table.input('ladder.json')]
    const wrong = { emergency: true, forget: [await table.input('ladder-2.json')] }
    await assert.rejects(table.run(await table.retireFile(usage, wrong)), {
      code: 'ZT-422-CEREMONY',
      message: /"forget"/,
    })
    await table.run(await table.retireFile(usage, { emergency: true, forget }))
    const [rung] = parseLadderResponse(await table.read('ladder-2.json')).rungs.slice(1)
    assert.deepEqual((await table.bundle('bundle-3.jws', 'root-2.pem')).revokedIntermediates, [
      rung?.workload.keyId,
      rung?.infra.keyId,
    ])
    await verifyCeremony({ transcript: join(table.dir, 'retire.transcript') })
  })

  it('retires in an emergency with more officers than otherwise', async (t) => {
    const scene = await rotated(t, 1)
    const { table } = scene
    await table.run(await table.retireFile([await usageFile(scene, 0)], { emergency: true }))
    assert.equal((await table.bundle('bundle-3.jws', 'root-2.pem')).roots.length, 1)
  })

  it('ends with the old key destroyed, and shown gone', async (t) => {
    const scene = await rotated(t, 7)
    const { table } = scene
    await table.run(await table.retireFile([await usageFile(scene, 0)]))
    const spki = hex((await certificateIn(table, 'root.pem')).spki)
    const root = await table.input('root-2.pem')
    await table.run(await table.destroyFile({ root, spki }))
    const keys = await openSealedKeyStore({
      dir: join(table.dir, 'root-keys'),
      secretFile: join(table.dir, 'root-secret'),
    })
    assert.equal(await keys.find('demo-root'), undefined)
    assert.ok(await keys.find('demo-root-2'))
    const steps = verifyTranscript(await table.text('destroy.transcript')).map(({ step }) => step)
    assert.ok(steps.indexOf('key is gone') > steps.indexOf('destroyed key'))
    await verifyCeremony({ transcript: join(table.dir, 'destroy.transcript') })
  })

  it('leaves no bundle that trusts a key which is to be destroyed', async (t) => {
    const { table } = await rooted(t)
    const spki = hex((await certificateIn(table, 'root.pem')).spki)
    await assert.rejects(table.run(await table.destroyFile({ spki })), {
      code: 'ZT-422-CEREMONY',
      message: /trusts the key/,
    })
  })

  it('destroys no other key than the one that was reviewed', async (t) => {
    const { table } = await rooted(t)
    await assert.rejects(table.run(await table.destroyFile()), {
      code: 'ZT-422-CEREMONY',
      message: /not the one that the ceremony file names/,
    })
  })
})

describe('cross-sign ceremony', () => {
  it('lets a relying party that holds only the old root verify what stands under the new one', async (t) => {
    const { table, store, clock } = await rotated(t, 1)
    await table.run(await table.crossSignFile())
    const { workload } = store.ladder.current(clock.now())
    const chain = join(table.dir, 'chain.pem')
    await writeFile(chain, certificatesToPem([workload.certificate.der]))
    const verify = (untrusted: string): string =>
      execFileSync(
        'openssl',
        [
          'verify',
          '-attime',
          String(clock.now() / 1000),
          '-CAfile',
          join(table.dir, 'root.pem'),
          '-untrusted',
          untrusted,
          chain,
        ],
        { stdio: 'pipe' },
      ).toString()
    assert.match(verify(join(table.dir, 'cross.pem')), /: OK/)
    assert.throws(() => verify(join(table.dir, 'root-2.pem')))
    await verifyCeremony({ transcript: join(table.dir, 'cross.transcript') })
  })

  it('signs no longer than both roots live, and never the root itself', async (t) => {
    const { table } = await rotated(t, 1)
    const subject = await table.input('root.pem')
    for (const change of [{ notBefore: '2020-01-01T00:00:00Z' }, { subject }])
      await assert.rejects(table.run(await table.crossSignFile(change)), { code: 'ZT-422-CEREMONY' })
    await assert.rejects(table.run(await table.crossSignFile({ notAfter: '2028-01-01T00:00:00Z' })), {
      code: 'ZT-412-LINT',
    })
  })
})

describe('revoking intermediates', () => {
  it('revokes every live rung of a hub, and no other', async (t) => {
    const { table, store, clock } = await climbed(t, 3)
    const used = store.ladder.current(clock.now()).workload.certificate.keyId
    await table.run(await table.revokeFile(['ladder.json']))
    const { revokedIntermediates } = await table.bundle('bundle-2.jws')
    assert.equal(revokedIntermediates.length, 6)
    assert.ok(revokedIntermediates.includes(used))
    await verifyCeremony({ transcript: join(table.dir, 'revoke.transcript') })
  })

  it('revokes under the new root, too, while the bundle in force is signed by the old one', async (t) => {
    const { table } = await rotated(t, 1)
    const change = {
      root: await table.input('root-2.pem'),
      keyLabel: 'demo-root-2',
      outputs: { bundle: 'bundle-3.jws', transcript: 'revoke.transcript' },
    }
    await table.run(await table.revokeFile(['ladder.json'], change))
    const { roots, revokedIntermediates } = await table.bundle('bundle-3.jws', 'root-2.pem')
    assert.deepEqual([roots.length, revokedIntermediates.length], [2, 4])
    await verifyCeremony({ transcript: join(table.dir, 'revoke.transcript') })
  })

  it('revokes the rungs that are named, and adds to what is revoked', async (t) => {
    const { table } = await climbed(t, 3)
    await table.run(await table.revokeFile(['ladder.json'], { rungs: [1] }))
    const first = await table.bundle('bundle-2.jws')
    assert.equal(first.revokedIntermediates.length, 2)
    const outputs = { bundle: 'bundle-3.jws', transcript: 'revoke-2.transcript' }
    await table.run(await table.revokeFile(['ladder.json'], { rungs: [2], outputs }))
    const second = await table.bundle('bundle-3.jws')
    assert.deepEqual(second.revokedIntermediates.slice(0, 2), first.revokedIntermediates)
    assert.equal(second.revokedIntermediates.length, 4)
  })

  it('refuses a rung that is not there, a response of another hub, and to revoke nothing', async (t) => {
    const { table, clock } = await climbed(t, 2)
    const wrong = [{ rungs: [7] }, { rungs: [0, 7] }, { hub: 'spiffe://mesh.example/hub/h2' }]
    for (const change of wrong)
      await assert.rejects(table.run(await table.revokeFile(['ladder.json'], change)), {
        code: 'ZT-422-CEREMONY',
      })
    clock.advance(4 * DAY)
    await assert.rejects(table.run(await table.revokeFile(['ladder.json'])), {
      code: 'ZT-422-CEREMONY',
      message: /no intermediate to revoke/,
    })
  })

  it('forgets what has ended, and nothing that lives', async (t) => {
    const { table, clock } = await climbed(t, 3)
    await table.run(await table.revokeFile(['ladder.json']))
    const forget = [await table.input('ladder.json')]
    const outputs = { bundle: 'bundle-3.jws', transcript: 'bundle.transcript' }
    await assert.rejects(table.run(await table.bundleFile({ forget, outputs })), { code: 'ZT-422-CEREMONY' })
    clock.advance(2.5 * DAY)
    await table.run(await table.bundleFile({ forget, outputs }))
    const { revokedIntermediates, sequence } = await table.bundle('bundle-3.jws')
    assert.deepEqual([sequence, revokedIntermediates.length], [3, 2])
    await verifyCeremony({ transcript: join(table.dir, 'bundle.transcript') })
  })

  it('refuses a bundle that is not newer', async (t) => {
    const { table } = await climbed(t)
    const bundle = { held: await table.input('bundle.jws'), sequence: 1, refreshHint: 60 }
    await assert.rejects(table.run(await table.revokeFile(['ladder.json'], { bundle })), {
      code: 'ZT-412-LINT',
      details: { rule: 'bundle-sequence', profile: 'bundle' },
    })
  })
})

describe('change of officers', () => {
  it('puts others in force, who alone approve from then on', async (t) => {
    const { table, request, clock } = await requested(t)
    const others = ['nina', 'noor', 'nils'].map(makeOfficer)
    const quorum = { threshold: 2, emergency: 3, officers: others.map(({ vkey }) => vkey) }
    await table.run(await table.officersFile(quorum))
    await verifyCeremony({ transcript: join(table.dir, 'officers.transcript') })
    const officers = await table.input('officers-2.json')
    const file = await table.ladderFile(request, { officers })
    await assert.rejects(table.run(file), { code: 'ZT-403-QUORUM', details: { reason: 'foreign' } })
    await table.run(file, { approvals: approvedBy(file, others.slice(1), clock.now()) })
    await table.bundle()
  })

  it('is not undone by bringing the officers file of before', async (t) => {
    const { table, request } = await requested(t)
    const others = ['nina', 'noor', 'nils'].map(makeOfficer)
    const quorum = { threshold: 2, emergency: 3, officers: others.map(({ vkey }) => vkey) }
    await table.run(await table.officersFile(quorum))
    await assert.rejects(table.run(await table.ladderFile(request)), {
      code: 'ZT-403-QUORUM',
      details: { reason: 'foreign' },
    })
  })

  const [first, second, third] = ['nina', 'noor', 'nils'].map((name) => makeOfficer(name).vkey)
  const bad: Record<string, object> = {
    'a threshold of one': { threshold: 1, emergency: 3, officers: [first, second, third] },
    'an emergency that needs no more': { threshold: 2, emergency: 2, officers: [first, second, third] },
    'an emergency above their number': { threshold: 2, emergency: 4, officers: [first, second, third] },
    'one of them twice': { threshold: 2, emergency: 3, officers: [first, second, second] },
    'a key that is none': { threshold: 2, emergency: 3, officers: [first, second, 'x+00000000+AA=='] },
  }
  for (const [what, quorum] of Object.entries(bad)) {
    it(`refuses a quorum with ${what}`, async (t) => {
      const { table } = await rooted(t)
      await assert.rejects(table.run(await table.officersFile(quorum as never)), { code: 'ZT-422-CEREMONY' })
    })
  }
})
