// OpenSSL and @peculiar/x509 accept what we issue, and refuse with us what we refuse.
import 'reflect-metadata'
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { webcrypto, X509Certificate } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { connect, createServer, type TLSSocket } from 'node:tls'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { once } from 'node:events'
import { before, describe, it, type TestContext } from 'node:test'
import { promisify } from 'node:util'
import * as x509 from '@peculiar/x509'
import { issueSvid, type Issuer } from '#pki/issuance/issue.ts'
import { isZtError } from '#shared/errors/error.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { generateP256 } from '#shared/jose/keys.ts'
import { createCsr, verifyCsr } from '#shared/x509/csr.ts'
import { certificatesFromPem, certificatesToPem } from '#shared/x509/pem.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { REFUSED_CHAINS } from '#test/support/refused-chains.ts'
import { makeLeaf, makeTestPki, type TestPki } from '#test/support/test-pki.ts'
import { tempDir } from '#test/support/temp-dir.ts'

const NOW = Date.UTC(2026, 10, 22, 12)
const URI = 'spiffe://mesh.example/node/n1'
const run = promisify(execFile)

x509.cryptoProvider.set(webcrypto as unknown as Crypto)

let pki: TestPki
before(async () => {
  pki = await makeTestPki({ now: NOW })
})

/** True if `openssl verify` accepts the chain at `at`. */
async function opensslAccepts(
  t: TestContext,
  chain: readonly Uint8Array[],
  at: number = NOW,
): Promise<boolean> {
  const dir = await tempDir(t)
  const [leaf = new Uint8Array(), ...rest] = chain
  const files = { root: [pki.root.certificate.der], rest, leaf: [leaf] }
  for (const [name, certificates] of Object.entries(files))
    await writeFile(join(dir, name), certificatesToPem(certificates))
  const args = [
    'verify',
    '-x509_strict',
    '-attime',
    String(at / 1000),
    '-CAfile',
    join(dir, 'root'),
    '-untrusted',
    join(dir, 'rest'),
    join(dir, 'leaf'),
  ]
  try {
    const { stdout } = await run('openssl', args)
    return stdout.trim().endsWith(': OK')
  } catch (error) {
    assert.match((error as { stderr: string }).stderr, /error \d+ at \d depth lookup|verification failed/)
    return false
  }
}

function weAccept(chain: readonly Uint8Array[], at: number = NOW): boolean {
  try {
    new SvidValidator(pki.bundle).validate(chain, at)
    return true
  } catch (error) {
    assert.ok(isZtError(error, 'ZT-401-CERT'), String(error))
    return false
  }
}

describe('openssl', () => {
  for (const path of ['/node/n1', '/operator/ann', '/agent/a/task/t', '/hub/h1', '/nats/n1']) {
    it(`accepts our ${path}, strictly`, async (t) => {
      assert.equal(await opensslAccepts(t, pki.identity(path).chain), true)
    })
  }

  for (const [what, make] of Object.entries(REFUSED_CHAINS)) {
    it(`refuses ${what}, and so do we`, async (t) => {
      const chain = make(pki, NOW)
      assert.equal(await opensslAccepts(t, chain), false)
      assert.equal(weAccept(chain), false)
    })
  }

  it('makes requests that we take', async (t) => {
    const dir = await tempDir(t)
    const out = join(dir, 'csr')
    await run('openssl', [
      'req',
      '-new',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-keyout',
      join(dir, 'key'),
      '-subj',
      '/CN=hub/O=evil',
      '-addext',
      'subjectAltName=URI:spiffe://mesh.example/hub/h1',
      '-addext',
      'basicConstraints=critical,CA:TRUE',
      '-outform',
      'DER',
      '-out',
      out,
    ])
    const der = await readFile(out)
    const { chain } = issueSvid({
      issuer: pki.workload,
      csr: verifyCsr(der),
      id: parseSpiffeId(URI),
      ttlMs: 60_000,
      now: NOW,
    })
    // Nothing that the request wished for is in the certificate.
    const svid = new X509Certificate(chain[0] ?? '')
    assert.deepEqual([svid.subject, svid.ca, svid.subjectAltName], [undefined, false, `URI:${URI}`])
  })

  it('reads the requests that we make', async (t) => {
    const file = join(await tempDir(t), 'csr')
    await writeFile(file, createCsr(generateP256()))
    const { stderr, stdout } = await run('openssl', [
      'req',
      '-inform',
      'DER',
      '-in',
      file,
      '-verify',
      '-noout',
    ])
    assert.match(stdout + stderr, /verify OK/)
  })

  it('writes certificates in the pem that we read, and reads ours', async (t) => {
    const file = join(await tempDir(t), 'root.pem')
    await writeFile(file, certificatesToPem([pki.root.certificate.der]))
    const { stdout } = await run('openssl', ['x509', '-in', file, '-outform', 'PEM'])
    assert.deepEqual(Buffer.from(certificatesFromPem(stdout)[0] ?? []), Buffer.from(pki.root.certificate.der))
  })

  it('refuses in a handshake a workload that poses as the hub by name', async (t) => {
    const evil = makeLeaf(
      pki.workload,
      { uri: URI, at: Date.now() },
      {
        names: { uri: URI, dns: ['localhost'], ips: [] },
      },
    )
    assert.equal(await handshake(t, { ...evil, issuer: pki.workload }), 'refused')
  })
})

/** A TLS server with this certificate, and a client that trusts only our root. */
async function handshake(
  t: TestContext,
  server: ReturnType<typeof makeLeaf> & { issuer: Issuer },
): Promise<string> {
  const cert = certificatesToPem([server.certificate.der, server.issuer.certificate.der])
  const key = server.key.export({ type: 'pkcs8', format: 'pem' })
  const listener = createServer({ cert, key, minVersion: 'TLSv1.3' }, (socket: TLSSocket) => socket.end())
  listener.on('tlsClientError', () => undefined)
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  t.after(() => listener.close())
  const { port } = listener.address() as AddressInfo
  const socket = connect({
    port,
    host: '127.0.0.1',
    servername: 'localhost',
    ca: certificatesToPem([pki.root.certificate.der]),
  })
  t.after(() => socket.destroy())
  return new Promise((resolve) => {
    socket.on('secureConnect', () => resolve(socket.authorized ? 'accepted' : 'refused'))
    socket.on('error', () => resolve('refused'))
  })
}

describe('@peculiar/x509', () => {
  it('builds and verifies our chain, link by link', async () => {
    const chain = pki.identity('/node/n1').chain.map((der) => new x509.X509Certificate(Buffer.from(der)))
    const root = new x509.X509Certificate(Buffer.from(pki.root.certificate.der))
    const [leaf, intermediate] = chain
    assert.ok(leaf !== undefined && intermediate !== undefined)
    assert.equal(await leaf.verify({ publicKey: intermediate.publicKey, date: new Date(NOW) }), true)
    assert.equal(await intermediate.verify({ publicKey: root.publicKey, date: new Date(NOW) }), true)
    assert.equal(await leaf.verify({ publicKey: root.publicKey, date: new Date(NOW) }), false)
  })

  it('reads in our certificates what we meant', () => {
    const leaf = new x509.X509Certificate(Buffer.from(pki.identity('/hub/h1').chain[0] ?? []))
    const names = leaf.getExtension(x509.SubjectAlternativeNameExtension)
    assert.deepEqual(
      names?.names.items.map(({ type, value }) => [type, value]),
      [
        ['url', 'spiffe://mesh.example/hub/h1'],
        ['dns', 'localhost'],
        ['ip', '127.0.0.1'],
        ['ip', '::1'],
      ],
    )
    assert.equal(names?.critical, true)
    assert.equal(leaf.getExtension(x509.KeyUsagesExtension)?.usages, x509.KeyUsageFlags.digitalSignature)
    assert.deepEqual(
      [...(leaf.getExtension(x509.ExtendedKeyUsageExtension)?.usages ?? [])],
      [x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth],
    )
    const ca = new x509.X509Certificate(Buffer.from(pki.workload.certificate.der))
    const constraints = ca.getExtension(x509.BasicConstraintsExtension)
    assert.deepEqual([constraints?.ca, constraints?.pathLength, constraints?.critical], [true, 0, true])
  })

  it('makes requests that we take', async () => {
    const keys = await webcrypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, [
      'sign',
      'verify',
    ])
    const request = await x509.Pkcs10CertificateRequestGenerator.create({
      name: 'CN=anything',
      keys: keys as unknown as CryptoKeyPair,
      signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
      extensions: [new x509.BasicConstraintsExtension(true)],
    })
    const spki = Buffer.from(await webcrypto.subtle.exportKey('spki', keys.publicKey))
    assert.deepEqual(Buffer.from(verifyCsr(new Uint8Array(request.rawData)).spki), spki)
  })

  it('verifies the requests that we make', async () => {
    const request = new x509.Pkcs10CertificateRequest(Buffer.from(createCsr(generateP256())))
    assert.equal(await request.verify(), true)
  })
})
