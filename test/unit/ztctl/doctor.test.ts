// doctor says what is missing, with the remedy; it never takes a version that it cannot read for a good one.
import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import type { CheckResult } from '#ops/ztctl/doctor/check.ts'
import { checkSandbox } from '#ops/ztctl/doctor/sandbox.ts'
import { checkSwtpm, tpmAt } from '#ops/ztctl/doctor/tpm.ts'
import { isAtLeast, readVersion } from '#ops/ztctl/doctor/versions.ts'
import { say } from '#test/support/ztctl-io.ts'

const folder = mkdtempSync(join(tmpdir(), 'ztctl-doctor-'))
after(() => rmSync(folder, { recursive: true }))

function program(name: string, script: string): void {
  writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`)
  chmodSync(join(folder, name), 0o755)
}

interface Report {
  readonly kind: string
  readonly ok: boolean
  readonly items: readonly CheckResult[]
}

describe('a version', () => {
  it('is found in what programs say', () => {
    assert.deepEqual(readVersion('nats-server: v2.15.2'), [2, 15, 2])
    assert.deepEqual(readVersion('0.70.1\n'), [0, 70, 1])
    assert.deepEqual(readVersion('24.21.0'), [24, 21, 0])
  })
  for (const text of ['', 'unknown', '2.11', 'v2.12.0-beta.1', '1.2.3.4']) {
    it(`is not read out of ${JSON.stringify(text)}`, () => assert.equal(readVersion(text), undefined))
  }
  it('is compared by numbers', () => {
    assert.equal(isAtLeast([2, 9, 10], [2, 11, 0]), false)
    assert.equal(isAtLeast([2, 11, 0], [2, 11, 0]), true)
    assert.equal(isAtLeast([3, 0, 0], [2, 11, 0]), true)
  })
})

describe('doctor', () => {
  it('prints a report whose checks each have a state, and a remedy unless all is well', async () => {
    const said = await say(['doctor', '-o', 'json'], {
      env: { ZTMESH_CONFIG_DIR: folder, PATH: '/usr/bin:/bin' },
    })
    const report = JSON.parse(said.stdout) as Report
    assert.equal(report.kind, 'DoctorReport')
    assert.ok(report.items.length >= 10)
    for (const { name, state, remedy } of report.items) {
      assert.ok(['ok', 'warn', 'fail'].includes(state), name)
      assert.equal(remedy === null, state === 'ok', name)
    }
    assert.equal(said.status, report.items.some((item) => item.state === 'fail') ? 1 : 0)
    assert.equal(report.ok, said.status === 0)
  })

  it('fails without bubblewrap, and says what to install', async () => {
    const result = await checkSandbox({ env: { PATH: '/nonexistent' }, uid: 0 })
    assert.equal(result.state, 'fail')
    assert.match(result.remedy ?? '', /bubblewrap/)
  })

  it('fails when bwrap is there and makes no sandbox', async () => {
    program('bwrap', 'echo "bwrap: No permissions to create new namespace" >&2; exit 1')
    const result = await checkSandbox({ env: { PATH: folder }, uid: 0 })
    assert.equal(result.state, 'fail')
    assert.match(result.detail, /No permissions/)
  })

  it('is not deceived by a bwrap that only says yes', async () => {
    program('bwrap', 'exit 0')
    assert.equal((await checkSandbox({ env: { PATH: folder }, uid: 0 })).state, 'fail')
  })

  it('warns where there is no TPM, or something that is none, and never fails for it', async () => {
    const input = { env: { PATH: folder }, uid: 0 }
    const absent = await tpmAt(join(folder, 'tpm'))(input)
    assert.equal(absent.state, 'warn')
    assert.match(absent.detail, /join by token/)
    writeFileSync(join(folder, 'no-tpm'), '')
    assert.equal((await tpmAt(join(folder, 'no-tpm'))(input)).state, 'warn')
  })

  it('says that a TPM in software is for tests and the demo alone', async () => {
    const { state, neededBy } = await checkSwtpm({ env: { PATH: folder }, uid: 0 })
    assert.deepEqual([state, neededBy], ['warn', 'tests and the demo alone'])
  })
})
