import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { denyTarget } from '#ops/ztctl/client/revocation.ts'
import { fetchQuarantine, lookAgain } from '#ops/ztctl/client/quarantine.ts'
import { parseMoment } from '#ops/ztctl/grammar/moment.ts'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import type { DenyEntry } from '#shared/protocol/deny-list.ts'
import { memorySink } from '#test/support/ztctl-io.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'

const CONTEXT = {
  name: 'm',
  hub: 'https://h',
  hubId: parseSpiffeId('spiffe://mesh.example/hub/h1'),
  td: 'mesh.example',
  root: '',
}
const NOW = Date.UTC(2026, 10, 22, 12)

describe('whom a revocation is about', () => {
  const print = Buffer.alloc(32, 7)
  const thumbprint = print.toString('base64url')
  const hex = print.toString('hex')
  const targets: Record<string, object> = {
    'operator/bob': { id: 'spiffe://mesh.example/operator/bob' },
    'spiffe://mesh.example/node/n1': { id: 'spiffe://mesh.example/node/n1' },
    [thumbprint]: { thumbprint },
    [`sha256:${hex}`]: { thumbprint },
    [`sha256:${hex.toUpperCase().replaceAll(/(..)(?=.)/g, '$1:')}`]: { thumbprint },
  }
  for (const [text, target] of Object.entries(targets))
    it(`is ${text}`, () => assert.deepEqual(denyTarget(text, CONTEXT), target))

  const refused = [`sha256:${hex}0`, 'sha256:', `sha1:${hex}`, `${thumbprint}A`, 'bob', '', hex]
  for (const text of refused)
    it(`is not "${text}"`, () => assert.throws(() => denyTarget(text, CONTEXT), { code: 'ZT-400-USAGE' }))

  const hints: Record<string, RegExp> = {
    garbage: /node\/NAME.*operator\/NAME.*agent\/.*spiffe:\/\/.*fingerprint/,
    '': /node\/NAME/,
    'link/mac-mini': /node\/mac-mini.*fingerprint/,
    'spiffe://mesh.example/link/mac-mini': /node\/mac-mini.*fingerprint/,
  }
  for (const [text, hint] of Object.entries(hints))
    it(`is not "${text}", and the hint says what to write`, () =>
      assert.throws(
        () => denyTarget(text, CONTEXT),
        (error) => isZtError(error, 'ZT-400-USAGE') && hint.test(String(error.details['hint'])),
      ))
})

describe('a moment of the past', () => {
  const moments: Record<string, number> = {
    '2h': NOW - 7_200_000,
    '1m30s': NOW - 90_000,
    '2026-11-22T11:00:00Z': NOW - 3_600_000,
    '2026-11-22T12:30:00.5+01:00': NOW - 1_799_500,
  }
  for (const [text, at] of Object.entries(moments))
    it(`is ${text}`, () => assert.equal(parseMoment(text, '--since', NOW), at))

  for (const text of [
    '',
    '2',
    'yesterday',
    '2026-11-22',
    '2026-11-22T11:00:00',
    '2026-11-22T12:00:01Z',
    '-1h',
    '40d',
    '500000h',
  ])
    it(`is not "${text}"`, () =>
      assert.throws(() => parseMoment(text, '--since', NOW), { code: 'ZT-400-USAGE' }))
})

describe('a reader that cannot have the deny list', () => {
  const failing = (
    code: 'ZT-503-HUB' | 'ZT-401-SIG' | 'ZT-403-REVOKED',
  ): Parameters<typeof fetchQuarantine>[0] => ({
    denyList: () => Promise.reject(new ZtError(code, 'x')),
  })

  it('fails with a code of its own, whatever kept it from having it', async () => {
    for (const code of ['ZT-503-HUB', 'ZT-401-SIG'] as const)
      await assert.rejects(fetchQuarantine(failing(code)), { code: 'ZT-503-DENY-LIST' })
  })

  it('is told so if it is itself revoked', () =>
    assert.rejects(fetchQuarantine(failing('ZT-403-REVOKED')), { code: 'ZT-403-REVOKED' }))
})

describe('output that was followed', () => {
  const node = parseSpiffeId('spiffe://mesh.example/node/n1')
  const entry: DenyEntry = { kind: 'id', value: node, from: NOW / 1000 + 20, reason: 'lost' }
  const run = { name: 'n1/p-a', owner: 'spiffe://mesh.example/operator/ann', node, began: NOW, readFrom: NOW }
  type Answer = () => Promise<{ entries: readonly DenyEntry[] }>

  const look = async (afterMs: number, answer: Answer): Promise<string> => {
    const stderr = memorySink()
    const clock = new ManualClock(NOW + afterMs)
    const io = { env: {}, clock, stdout: memorySink(), stderr, onSignal: () => () => undefined }
    const mesh = { refreshed: () => Promise.resolve({ denyList: answer }) }
    await lookAgain(run, mesh as unknown as Parameters<typeof lookAgain>[1], io)
    return stderr.text()
  }

  it('is said to be quarantined when its node was revoked meanwhile', async () => {
    const said = await look(30_000, () => Promise.resolve({ entries: [entry] }))
    assert.match(
      said,
      /^ztctl: warning: n1\/p-a is quarantined: data since 2026-11-22T12:00:20\.000Z is suspect: lost$/m,
    )
  })

  it('is not looked at again when it was short: its capability says that nobody was denied', async () => {
    assert.equal(await look(14_999, () => Promise.reject(new TypeError('asked'))), '')
  })

  it('is not passed for clean when that cannot be known', async () => {
    const said = await look(30_000, () => Promise.reject(new ZtError('ZT-503-HUB', 'away')))
    assert.match(said, /warning: it is not known whether .*ZT-503-DENY-LIST/)
  })
})
