// Measured against expected, what is shown of a proof, and the offline half of a PCR policy's life.
import assert from 'node:assert/strict'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { compare, type Quote } from '#ops/ztctl/attestation/comparison.ts'
import { withMeasuredSet } from '#ops/ztctl/attestation/draft.ts'
import { inspectionText } from '#ops/ztctl/attestation/inspection.ts'
import { readUnverifiedPolicy } from '#ops/ztctl/attestation/policy-in-force.ts'
import { parseNodeName, parseTrustDomain } from '#shared/identity/names.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { parseVkey } from '#shared/log/note.ts'
import type { NodeInspection } from '#shared/protocol/node-inspection.ts'
import { openPcrPolicy, parsePcrPolicy } from '#shared/protocol/pcr-policy.ts'
import { tempDir } from '#test/support/temp-dir.ts'
import { say } from '#test/support/ztctl-io.ts'

const ONES = '1'.repeat(64)
const TWOS = '2'.repeat(64)
const NOW = 1_000_000
const quote: Quote = {
  at: NOW - 12_000,
  bank: 'sha256',
  pcrs: { 4: ONES, 7: TWOS },
  clock: { resets: 7, restarts: 1, clock: 5, safe: true, firmware: '0000000000000001' },
}
const policyOf = (
  sets: NonNullable<NodeInspection['policy']>['sets'],
  bank: 'sha256' | 'sha384' = 'sha256',
) => ({
  version: 3,
  digest: `sha-256:${'A'.repeat(43)}`,
  bank,
  sets,
})
const node: NodeInspection = {
  name: parseNodeName('mini'),
  id: parseSpiffeId('spiffe://mesh.example/node/mini'),
  state: 'drifted',
  lvl: 2,
  boot: 'boot-1',
  fence: 4,
  log: 'mesh.example/log/node/mini/e1',
  device: 'D'.repeat(43),
  attestation: {
    at: NOW - 60_000,
    how: 'tpm',
    lvl: 2,
    svidKey: 'soft',
    evidence: `sha-256:${'E'.repeat(43)}`,
    policy: { version: 3, set: 'november', digest: `sha-256:${'A'.repeat(43)}` },
    svid: { serial: '01ab', x5t: 'F'.repeat(43), notBefore: NOW - 60_000, notAfter: NOW + 240_000 },
    rows: { attested: 41, issued: 42 },
  },
  tpm: { ek: 'e1'.repeat(32), maker: 'a maker', quote, drifted: { at: NOW - 5000, row: 43 } },
  policy: policyOf([]),
}

describe('a draft', () => {
  it('names its set after a node of any name, twice on one day too', () => {
    const name = parseNodeName('a'.repeat(63))
    const at = Date.UTC(2026, 10, 22)
    const before = { v: 1, td: parseTrustDomain('mesh.example'), bank: 'sha256', indices: [4, 7] } as const
    const measured = { name, quote: { ...quote, at } }
    const first = parsePcrPolicy(withMeasuredSet({ ...before, version: 0, sets: [] }, measured), '')
    const second = parsePcrPolicy(withMeasuredSet(first, measured), '')
    assert.deepEqual(
      second.sets.map((set) => set.name),
      [`${'a'.repeat(52)}-2026-11-22`, `${'a'.repeat(50)}-2026-11-22.2`],
    )
  })
})

describe('measured against expected', () => {
  const [same, other] = [
    { name: 'same', notAfter: null, values: { 4: ONES, 7: TWOS } },
    { name: 'other', notAfter: null, values: { 4: ONES, 7: ONES } },
  ]
  it('says for each set and register whether it is the same', () => {
    const sets = compare(quote, policyOf([same, other]), NOW)
    assert.deepEqual(
      sets.map(({ name, accepts }) => [name, accepts]),
      [
        ['same', true],
        ['other', false],
      ],
    )
    assert.deepEqual(sets[1]?.registers, [
      { pcr: 4, measured: ONES, expected: ONES, same: true },
      { pcr: 7, measured: TWOS, expected: ONES, same: false },
    ])
  })
  it('accepts by no set whose time is over', () => {
    const [set] = compare(quote, policyOf([{ ...same, notAfter: NOW }]), NOW)
    assert.deepEqual([set?.ended, set?.accepts], [true, false])
  })
  it('accepts nothing that was not quoted, and nothing of another bank', () => {
    const more = { name: 'more', notAfter: null, values: { 4: ONES, 7: TWOS, 8: ONES } }
    assert.equal(compare(quote, policyOf([more]), NOW)[0]?.accepts, false)
    assert.equal(compare(quote, policyOf([same], 'sha384'), NOW)[0]?.accepts, false)
  })
})

describe('what is shown of a proof', () => {
  it('names level, evidence, policy, rows and drift', () => {
    const text = inspectionText(node, NOW)
    for (const line of [
      /^assurance +TPM, soft key$/m,
      /^proved +60s ago, by a quote of its TPM; row 41 of the hub's log$/m,
      /^svid +serial 01ab, 4m left; row 42 of the hub's log$/m,
      /^svid key +in the memory of the agent$/m,
      /^accepted by +set november of PCR policy 3 /m,
      /^drifted +5s ago; row 43 of the hub's log$/m,
    ])
      assert.match(text, line)
  })
  it('says of a key in the TPM that it is there, and what the connection shows', () => {
    const { attestation } = node
    assert.ok(attestation !== null)
    const link = { serial: '02cd', x5t: 'L'.repeat(43) }
    const text = inspectionText({ ...node, attestation: { ...attestation, svidKey: 'tpm', link } }, NOW)
    assert.match(text, /^assurance +TPM$/m)
    assert.match(text, /^svid key +in the TPM, certified by it$/m)
    assert.match(text, /^link +L{43}: its connection, with a key in memory$/m)
  })

  it('says of a node without a TPM what it is', () => {
    const text = inspectionText({ ...node, lvl: 1, tpm: null, attestation: null, policy: null }, NOW)
    assert.match(text, /^assurance +join token$/m)
    assert.match(text, /^proved +never$/m)
    assert.ok(!text.includes('tpm '))
  })

  it('says nothing of a policy before the first proof', () => {
    assert.ok(!inspectionText({ ...node, attestation: null }, NOW).includes('accepted by'))
  })

  it('never steers the terminal', () => {
    const tpm = node.tpm && { ...node.tpm, maker: '\u001b[2Jevil' }
    assert.ok(!inspectionText({ ...node, tpm }, NOW).includes('\u001b'))
  })
})

describe('a PCR policy, offline', () => {
  const policy = {
    v: 1,
    td: 'mesh.example',
    version: 1,
    bank: 'sha256',
    indices: [4],
    sets: [{ name: 'a', values: { 4: ONES } }],
  }

  it('is signed by a key that was made for it, and the note opens with the vkey that was printed', async (t) => {
    const dir = await tempDir(t)
    const [key, file] = [join(dir, 'pcr.key'), join(dir, 'policy.json')]
    const made = await say(['pcr-policy', 'keygen', 'pcr.mesh.example', key])
    assert.deepEqual([made.status, statSync(key).mode & 0o777], [0, 0o600])
    writeFileSync(file, JSON.stringify(policy))
    const signed = await say(['pcr-policy', 'sign', file, '--key', key])
    assert.equal(signed.status, 0)
    const known = { keys: [parseVkey(made.stdout.trim())], td: parseTrustDomain('mesh.example') }
    assert.equal(openPcrPolicy(signed.stdout, known).policy.version, 1)
    assert.equal(readUnverifiedPolicy(signed.stdout).version, 1)
  })

  it('takes the place of no key, and says nothing of one that is damaged', async (t) => {
    const dir = await tempDir(t)
    const [key, file] = [join(dir, 'pcr.key'), join(dir, 'policy.json')]
    await say(['pcr-policy', 'keygen', 'k', key])
    const secret = readFileSync(key, 'utf8')
    assert.match((await say(['pcr-policy', 'keygen', 'k', key])).stderr, /ZT-409-EXISTS/)
    assert.equal(readFileSync(key, 'utf8'), secret)
    writeFileSync(file, JSON.stringify(policy))
    writeFileSync(key, secret.replace('+k+', '+j+'))
    const refused = await say(['pcr-policy', 'sign', file, '--key', key])
    assert.match(refused.stderr, /ZT-422-NOTE/)
    assert.ok(!`${refused.stdout}${refused.stderr}`.includes(secret.trim().split('+').at(-1) ?? 'x'))
  })

  it('that is not one is not signed', async (t) => {
    const dir = await tempDir(t)
    const [key, file] = [join(dir, 'pcr.key'), join(dir, 'policy.json')]
    await say(['pcr-policy', 'keygen', 'k', key])
    writeFileSync(file, JSON.stringify({ ...policy, indices: [23] }))
    const refused = await say(['pcr-policy', 'sign', file, '--key', key])
    assert.deepEqual([refused.stdout, refused.status === 0], ['', false])
    assert.match((await say(['pcr-policy', 'sign', file])).stderr, /ZT-400-USAGE/)
  })
})
