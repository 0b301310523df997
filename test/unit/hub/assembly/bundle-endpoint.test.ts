// Which certificate the bundle endpoint shows: the hub's newest SVID, or that of the files, newest too.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { describe, it, type TestContext } from 'node:test'
import { openBundleEndpoint, type ServedBundle } from '#hub/assembly/federation.ts'
import type { Ground } from '#hub/assembly/ground.ts'
import { endpointConfig, endpointField } from '#hub/federation/config.ts'
import type { Federation } from '#hub/federation/federation.ts'
import { systemClock } from '#shared/host/clock.ts'
import { silentLogger } from '#shared/host/logger.ts'
import type { Identity } from '#shared/identity/identity.ts'
import { certificatesToPem } from '#shared/x509/pem.ts'
import { webServer } from '#test/support/foreign-relation.ts'
import { freePort } from '#ops/demo/free-port.ts'
import { tempDir } from '#test/support/temp-dir.ts'
import { makeTestPki } from '#test/support/test-pki.ts'

interface Served {
  readonly served: ServedBundle
  readonly port: number
}

async function open(t: TestContext, profile: unknown, identity: Identity): Promise<Served> {
  const port = await freePort()
  const fields = endpointField({ listen: { host: '127.0.0.1', port }, profile }, 'bundleEndpoint')
  const config = { bundleEndpoint: endpointConfig(fields, (path) => path) }
  // Of the whole ground only these are looked at.
  const ground = {
    options: { config, clock: systemClock, log: silentLogger },
    identity: { current: () => identity },
  }
  const federation = { document: () => Promise.resolve('{"keys":[]}') }
  const served = await openBundleEndpoint(ground as unknown as Ground, federation as unknown as Federation)
  assert.ok(served !== undefined)
  t.after(() => void served.close())
  return { served, port }
}

function shown(port: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().raw)
      socket.destroy()
    })
    socket.on('error', reject)
  })
}

const leafOf = ({ chain }: Identity): Buffer => Buffer.from(chain[0] ?? [])

describe('the bundle endpoint', () => {
  it('by https_spiffe shows each new SVID of the hub', async (t) => {
    const pki = await makeTestPki({ now: Date.now() })
    const [first, second] = [pki.identity('/hub/h1'), pki.identity('/hub/h1')]
    const { served, port } = await open(t, 'https_spiffe', first)
    assert.deepEqual(await shown(port), leafOf(first))
    served.follow(second)
    assert.deepEqual(await shown(port), leafOf(second))
  })

  it('by https_web shows its files, also when they are replaced, and never the SVID', async (t) => {
    const pki = await makeTestPki({ now: Date.now() })
    const dir = await tempDir(t)
    const [certFile, keyFile] = [join(dir, 'cert.pem'), join(dir, 'key.pem')]
    const put = (leaf: ReturnType<typeof webServer>, key = leaf.key): void => {
      writeFileSync(certFile, certificatesToPem([leaf.der]))
      writeFileSync(keyFile, key.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
    }
    const [one, two] = [webServer('localhost'), webServer('localhost')]
    put(one)
    const { served, port } = await open(t, { type: 'https_web', certFile, keyFile }, pki.identity('/hub/h1'))
    served.follow(pki.identity('/hub/h1'))
    assert.deepEqual(await shown(port), Buffer.from(one.der))
    put(two)
    await served.refresh()
    assert.deepEqual(await shown(port), Buffer.from(two.der))
    put(one, two.key)
    await assert.rejects(served.refresh(), { code: 'ZT-400-CONFIG', message: /do not fit/ })
    assert.deepEqual(await shown(port), Buffer.from(two.der))
  })

  it('is not opened with a key that others can read', async (t) => {
    const pki = await makeTestPki({ now: Date.now() })
    const dir = await tempDir(t)
    const [certFile, keyFile] = [join(dir, 'cert.pem'), join(dir, 'key.pem')]
    const leaf = webServer('localhost')
    writeFileSync(certFile, certificatesToPem([leaf.der]))
    writeFileSync(keyFile, leaf.key.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o644 })
    await assert.rejects(open(t, { type: 'https_web', certFile, keyFile }, pki.identity('/hub/h1')), {
      code: 'ZT-400-CONFIG',
    })
  })
})
