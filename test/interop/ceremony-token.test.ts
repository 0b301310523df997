// Both ceremonies on a SoftHSM token, with OpenSSL and pkcs11-tool as witnesses.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { existsSync, rmSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it, type TestContext } from 'node:test'
import { issueSvid } from '#pki/issuance/issue.ts'
import { LadderStore } from '#pki/issuance/ladder-store.ts'
import { createSealSecret } from '#pki/keystore/seal.ts'
import { openSealedKeyStore } from '#pki/keystore/sealed-file.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { generateP256 } from '#shared/jose/keys.ts'
import { createCsr, verifyCsr } from '#shared/x509/csr.ts'
import { certificatesToPem } from '#shared/x509/pem.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { verifyTranscript } from '#shared/protocol/ceremony-transcript.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { ObligingOperator } from '#test/fakes/obliging-operator.ts'
import { CeremonyTable, KEY_LABEL, TRUST_DOMAIN } from '#test/support/ceremony.ts'
import { reviewed } from '#test/support/ceremony-scene.ts'
import { makeToken, PIN } from '#test/support/softhsm.ts'
import { tempDir } from '#test/support/temp-dir.ts'

async function tokenTable(
  t: TestContext,
): Promise<{ table: CeremonyTable; dir: string; conf: string; module: string }> {
  const dir = await tempDir(t)
  const token = await makeToken(dir)
  const table = await CeremonyTable.lay(dir, {
    keystore: { type: 'pkcs11', ...token },
    clock: new ManualClock(),
  })
  await table.run(table.rootFile())
  return { table, dir, conf: token.softhsmConf, module: token.module }
}

it('a hub stands on a ladder that a token signed, and openssl verifies what it issues', async (t) => {
  const { table, dir } = await tokenTable(t)
  const now = table.clock.now()
  const secretFile = join(dir, 'hub-secret')
  await createSealSecret(secretFile)
  const keys = await openSealedKeyStore({ dir: join(dir, 'hub-keys'), secretFile })
  const hub = parseSpiffeId(`spiffe://${TRUST_DOMAIN}/hub/h1`)
  const store = await LadderStore.open({ dir: join(dir, 'ladder'), keys, hub, now }, undefined)
  await table.run(await table.ladderFile(await store.makeRequest({ count: 7, now })))
  const bundle = await table.bundle()
  const ladder = await store.importResponse(await table.read('ladder.json'), { bundle, now })
  assert.equal(ladder.status(now).remaining, 7)

  const id = parseSpiffeId(`spiffe://${TRUST_DOMAIN}/node/n1`)
  const csr = verifyCsr(createCsr(generateP256()))
  const { chain } = issueSvid({ issuer: ladder.current(now).workload, csr, id, ttlMs: 300_000, now })
  assert.equal(new SvidValidator(bundle).validate(chain, now).id, id)
  await writeFile(join(dir, 'chain.pem'), certificatesToPem(chain))
  const verified = execFileSync('openssl', [
    'verify',
    '-x509_strict',
    '-attime',
    String(now / 1000),
    '-CAfile',
    join(dir, 'root.pem'),
    '-untrusted',
    join(dir, 'chain.pem'),
    join(dir, 'chain.pem'),
  ])
  assert.match(verified.toString(), /: OK/)
})

it('the root in the file is the key in the token', async (t) => {
  const { table, conf, module } = await tokenTable(t)
  const tool = [
    '--module',
    module,
    '--token-label',
    'ztmesh-test',
    '--login',
    '--pin',
    PIN,
    '--label',
    KEY_LABEL,
  ]
  const env = { ...process.env, SOFTHSM2_CONF: conf }
  const listed = execFileSync('pkcs11-tool', [...tool, '--list-objects', '--type', 'pubkey'], {
    env,
    stdio: 'pipe',
  })
  const root = new X509Certificate(await table.text('root.pem'))
  const point = root.publicKey.export({ type: 'spki', format: 'der' }).subarray(-97).toString('hex')
  assert.ok(listed.toString().includes(point))
  assert.ok(root.verify(root.publicKey))
})

it('a token that fails half-way leaves no output, and a transcript that says what is left', async (t) => {
  const dir = await tempDir(t)
  const token = await makeToken(dir)
  const table = await CeremonyTable.lay(dir, { keystore: { type: 'pkcs11', ...token } })
  const file = table.rootFile()
  // The token is pulled between the making of the key and its first signature.
  const operator = new ObligingOperator(reviewed(file), (line) => {
    if (line.includes('made key')) rmSync(join(dir, 'tokens'), { recursive: true })
  })
  await assert.rejects(table.run(file, { operator }), { code: 'ZT-500-KEYSTORE' })
  const last = verifyTranscript(await table.text('root.transcript')).at(-1)
  assert.deepEqual(last?.facts, { code: 'ZT-500-KEYSTORE', left: 'the new key is in the token' })
  for (const output of ['root.pem', 'bundle.jws', 'officers.json'])
    assert.ok(!existsSync(join(dir, output)), output)
})

it('a wrong pin ends the ceremony before it has a key, and the transcript says so', async (t) => {
  const dir = await tempDir(t)
  const token = await makeToken(dir)
  await writeFile(token.pinFile, '4711-0815')
  const table = await CeremonyTable.lay(dir, { keystore: { type: 'pkcs11', ...token } })
  await assert.rejects(table.run(table.rootFile()), { code: 'ZT-500-KEYSTORE' })
  const text = await table.text('root.transcript')
  assert.match(text, /"step":"failed"/)
  assert.ok(!text.includes('4711-0815'))
})
