// Go's crypto/x509 accepts what our template makes, for both ends of a connection and under our name constraints, and
// refuses with us what we refuse.
import assert from 'node:assert/strict'
import { describe, it, before, after } from 'node:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encodeBase64 } from '#shared/encoding/base64url.ts'
import { isZtError } from '#shared/errors/error.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { askGo, buildGo, jsonFile, needsGo } from '#test/support/go-spiffe.ts'
import { REFUSED_CHAINS } from '#test/support/refused-chains.ts'
import { makeTestPki, type TestPki } from '#test/support/test-pki.ts'

const NOW = Date.UTC(2026, 10, 22, 12)

interface Case {
  readonly name: string
  readonly chain: readonly Uint8Array[]
  readonly host?: string
}

let pki: TestPki
let dir: string
let program: string

function weAccept(chain: readonly Uint8Array[]): boolean {
  try {
    new SvidValidator(pki.bundle).validate(chain, NOW)
    return true
  } catch (error) {
    assert.ok(isZtError(error, 'ZT-401-CERT'), String(error))
    return false
  }
}

describe('crypto/x509', { skip: needsGo() }, () => {
  before(async () => {
    pki = await makeTestPki({ now: NOW })
    dir = await mkdtemp(join(tmpdir(), 'zt-go-'))
    program = buildGo(dir, 'verify-x509')
  })
  after(() => rm(dir, { recursive: true, force: true }))

  async function verdicts(
    t: Parameters<typeof jsonFile>[0],
    cases: readonly Case[],
  ): Promise<ReadonlyMap<string, string | undefined>> {
    const file = await jsonFile(t, {
      roots: [encodeBase64(pki.root.certificate.der)],
      cases: cases.map(({ chain, ...rest }) => ({ ...rest, chain: chain.map(encodeBase64), at: NOW / 1000 })),
    })
    const answers = (await askGo(program, [file])) as { name: string; error?: string }[]
    return new Map(answers.map(({ name, error }) => [name, error]))
  }

  it('accepts every kind of identity that we issue', async (t) => {
    const paths = ['/node/n1', '/operator/ann', '/agent/a/task/t', '/ci/nightly', '/hub/h1', '/nats/h1']
    const cases = paths.map((path) => ({ name: path, chain: pki.identity(path).chain }))
    const hosts = ['localhost', '127.0.0.1', '::1'].map((host) => ({
      name: `the hub as ${host}`,
      chain: pki.identity('/hub/h1').chain,
      host,
    }))
    const all = [...cases, ...hosts]
    assert.deepEqual(
      [...(await verdicts(t, all))],
      all.map(({ name }) => [name, undefined]),
    )
  })

  // Go holds that a constraint on the URI host "mesh.example" permits hosts below it, as for DNS names; RFC 5280 §4.2.1.10
  // has it name one host. A verifier that chooses the bundle by trust domain, as go-spiffe does, is not misled.
  const laxer = 'a trust domain below ours'

  it('refuses what we refuse, but for hosts below a uri constraint', async (t) => {
    const cases = Object.entries(REFUSED_CHAINS).map(([name, make]) => ({ name, chain: make(pki, NOW) }))
    const answers = await verdicts(t, cases)
    for (const { name, chain } of cases) {
      assert.equal(weAccept(chain), false, `we accept ${name}`)
      assert.equal(answers.get(name) === undefined, name === laxer, `crypto/x509 on ${name}`)
    }
  })

  it('does not take a workload for a host', async (t) => {
    const answers = await verdicts(t, [
      { name: 'node', chain: pki.identity('/node/n1').chain, host: 'localhost' },
      { name: 'hub elsewhere', chain: pki.identity('/hub/h1').chain, host: 'hub.mesh.example' },
    ])
    for (const [name, error] of answers)
      assert.match(error ?? '', /not valid for any names|cannot validate|is valid for/, name)
  })
})
