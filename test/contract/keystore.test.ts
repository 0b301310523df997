// KeyStore's suite, against every implementation: a PKCS#11 token and sealed files.
import assert from 'node:assert/strict'
import { createPublicKey, verify } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import { chmod, readdir, readFile, rename, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import type { KeyStore } from '#pki/keystore/keystore.ts'
import { openPkcs11KeyStore, type Pkcs11Options } from '#pki/keystore/pkcs11.ts'
import { openSealedKeyStore, type SealedFileOptions } from '#pki/keystore/sealed-file.ts'
import { createSealSecret } from '#pki/keystore/seal.ts'
import { addToken, makeToken, PIN } from '#test/support/softhsm.ts'
import { tempDir } from '#test/support/temp-dir.ts'

type Open = () => Promise<KeyStore>

async function sealedOptions(t: TestContext): Promise<SealedFileOptions> {
  const dir = await tempDir(t)
  const secretFile = join(dir, 'secret')
  await createSealSecret(secretFile)
  return { dir: join(dir, 'keys'), secretFile }
}

const IMPLEMENTATIONS: Record<string, (t: TestContext) => Promise<Open>> = {
  'sealed file': async (t) => {
    const options = await sealedOptions(t)
    return () => openSealedKeyStore(options)
  },
  'pkcs#11 token': async (t) => {
    const options = await makeToken(await tempDir(t))
    return () => openPkcs11KeyStore(options)
  },
}

async function opened(t: TestContext, open: Open): Promise<KeyStore> {
  const store = await open()
  t.after(() => store.close())
  return store
}

for (const [name, prepare] of Object.entries(IMPLEMENTATIONS)) {
  describe(`key store: ${name}`, () => {
    for (const [curve, hash] of [
      ['P-256', 'sha256'],
      ['P-384', 'sha384'],
    ] as const) {
      it(`makes a ${curve} key whose signatures verify with its public key`, async (t) => {
        const store = await opened(t, await prepare(t))
        const key = await store.generate({ label: 'root-1', curve })
        const data = Buffer.from('to be signed')
        const publicKey = createPublicKey({ key: Buffer.from(key.spki), format: 'der', type: 'spki' })
        assert.equal(
          publicKey.asymmetricKeyDetails?.namedCurve,
          curve === 'P-256' ? 'prime256v1' : 'secp384r1',
        )
        assert.ok(verify(hash, data, publicKey, await key.sign(data)))
        assert.equal(verify(hash, Buffer.from('something else'), publicKey, await key.sign(data)), false)
      })
    }

    it('finds the same key again after it was closed', async (t) => {
      const open = await prepare(t)
      const first = await open()
      const made = await first.generate({ label: 'root-1', curve: 'P-256' })
      await first.close()
      const found = await (await opened(t, open)).find('root-1')
      assert.deepEqual(found?.spki, made.spki)
      assert.equal(found?.curve, 'P-256')
    })

    it('has no key of a label that was never used', async (t) => {
      const store = await opened(t, await prepare(t))
      assert.equal(await store.find('nothing'), undefined)
    })

    it('never replaces a key', async (t) => {
      const store = await opened(t, await prepare(t))
      const made = await store.generate({ label: 'root-1', curve: 'P-256' })
      await assert.rejects(store.generate({ label: 'root-1', curve: 'P-384' }), { code: 'ZT-409-LABEL' })
      assert.deepEqual((await store.find('root-1'))?.spki, made.spki)
    })

    it('destroys a key so that nothing is left of it, after a restart either', async (t) => {
      const open = await prepare(t)
      const store = await opened(t, open)
      const key = await store.generate({ label: 'root-1', curve: 'P-384' })
      await store.generate({ label: 'root-2', curve: 'P-384' })
      await store.destroy('root-1')
      assert.equal(await store.find('root-1'), undefined)
      await store.close()
      const again = await opened(t, open)
      assert.equal(await again.find('root-1'), undefined)
      assert.ok(await again.find('root-2'))
      const made = await again.generate({ label: 'root-1', curve: 'P-384' })
      assert.notDeepEqual(made.spki, key.spki)
    })

    it('destroys no key that is not there', async (t) => {
      const store = await opened(t, await prepare(t))
      await assert.rejects(store.destroy('root-1'), { code: 'ZT-404-KEY' })
    })

    it('gives different keys to different labels', async (t) => {
      const store = await opened(t, await prepare(t))
      const one = await store.generate({ label: 'one', curve: 'P-256' })
      const two = await store.generate({ label: 'two', curve: 'P-256' })
      assert.notDeepEqual(one.spki, two.spki)
    })

    const labels = {
      empty: '',
      'with a path': '../root',
      'with a slash': 'a/b',
      upper: 'Root',
      'with dots': 'a..b',
      long: 'a'.repeat(64),
    }
    for (const [what, label] of Object.entries(labels)) {
      it(`refuses a label that is ${what}`, async (t) => {
        const store = await opened(t, await prepare(t))
        await assert.rejects(store.generate({ label, curve: 'P-256' }), { code: 'ZT-422-NAME' })
        await assert.rejects(store.find(label), { code: 'ZT-422-NAME' })
      })
    }

    it('gives random octets that do not repeat', async (t) => {
      const store = await opened(t, await prepare(t))
      const [one, two] = [await store.random(16), await store.random(16)]
      assert.equal(one.length, 16)
      assert.notDeepEqual(one, two)
    })

    it('signs and finds nothing after it was closed', async (t) => {
      const store = await (await prepare(t))()
      const key = await store.generate({ label: 'root-1', curve: 'P-256' })
      await store.close()
      await assert.rejects(key.sign(Buffer.from('late')), { code: 'ZT-500-KEYSTORE' })
      await assert.rejects(store.find('root-1'), { code: 'ZT-500-KEYSTORE' })
    })

    it('answers calls that were made at once', async (t) => {
      const store = await opened(t, await prepare(t))
      const key = await store.generate({ label: 'root-1', curve: 'P-256' })
      const signatures = await Promise.all(Array.from({ length: 8 }, (_, at) => key.sign(Buffer.of(at))))
      const publicKey = createPublicKey({ key: Buffer.from(key.spki), format: 'der', type: 'spki' })
      for (const [at, signature] of signatures.entries()) {
        assert.ok(verify('sha256', Buffer.of(at), publicKey, signature))
      }
    })
  })
}

describe('sealed files', () => {
  it('hold no private key in the clear, and are for their owner alone', async (t) => {
    const options = await sealedOptions(t)
    const store = await openSealedKeyStore(options)
    await store.generate({ label: 'root-1', curve: 'P-256' })
    const der = (await store.unseal('root-1')).export({ type: 'pkcs8', format: 'der' })
    const file = await readFile(join(options.dir, 'root-1.key'))
    const scalar = der.subarray(36, 68)
    for (const encoding of ['base64url', 'base64', 'hex', 'latin1'] as const) {
      assert.ok(!file.includes(scalar.toString(encoding)), encoding)
    }
    const modes = execFileSync('stat', [
      '-c',
      '%a',
      join(options.dir, 'root-1.key'),
      options.dir,
      options.secretFile,
    ])
    assert.equal(modes.toString(), '600\n700\n600\n')
    assert.deepEqual((await readdir(options.dir)).toSorted(), ['root-1.key', 'seal.json'])
  })

  it('do not open with another secret', async (t) => {
    const options = await sealedOptions(t)
    await openSealedKeyStore(options)
    const secretFile = `${options.secretFile}-2`
    await createSealSecret(secretFile)
    await assert.rejects(openSealedKeyStore({ ...options, secretFile }), { code: 'ZT-500-KEYSTORE' })
  })

  it('open with a passphrase, and only with that one', async (t) => {
    const options = await sealedOptions(t)
    const secretFile = `${options.secretFile}-words`
    await writeFile(secretFile, 'correct horse battery staple', { mode: 0o600 })
    const made = await (
      await openSealedKeyStore({ ...options, secretFile })
    ).generate({ label: 'a', curve: 'P-256' })
    const again = await openSealedKeyStore({ ...options, secretFile })
    assert.deepEqual((await again.find('a'))?.spki, made.spki)
    await writeFile(secretFile, 'correct horse battery stapler')
    await assert.rejects(openSealedKeyStore({ ...options, secretFile }), { code: 'ZT-500-KEYSTORE' })
  })

  it('refuse a secret of fewer than 16 bytes', async (t) => {
    const options = await sealedOptions(t)
    const secretFile = `${options.secretFile}-short`
    await writeFile(secretFile, 'fifteen bytes !', { mode: 0o600 })
    await assert.rejects(openSealedKeyStore({ ...options, secretFile }), { code: 'ZT-500-KEYSTORE' })
  })

  it('refuse a secret file that others can read', async (t) => {
    const options = await sealedOptions(t)
    await chmod(options.secretFile, 0o640)
    await assert.rejects(openSealedKeyStore(options), { code: 'ZT-400-CONFIG' })
  })

  it('refuse a secret file that is a symbolic link', async (t) => {
    const options = await sealedOptions(t)
    const secretFile = `${options.secretFile}-link`
    await symlink(options.secretFile, secretFile)
    await assert.rejects(openSealedKeyStore({ ...options, secretFile }), { code: 'ZT-400-CONFIG' })
  })

  it('refuse a folder that others can enter', async (t) => {
    const options = await sealedOptions(t)
    await openSealedKeyStore(options)
    await chmod(options.dir, 0o755)
    await assert.rejects(openSealedKeyStore(options), { code: 'ZT-400-CONFIG' })
  })

  const damages: Record<string, (text: string) => string> = {
    'another curve': (text) => text.replace('P-256', 'P-384'),
    'one octet changed': (text) =>
      text.replace(/("box":")(.)/, (_, head: string, digit: string) => head + (digit === 'A' ? 'B' : 'A')),
    'cut short': (text) => text.slice(0, -8),
    'a key that is not known': (text) => text.replace('{"v"', '{"w":1,"v"'),
    emptied: () => '',
  }
  for (const [what, damage] of Object.entries(damages)) {
    it(`refuse a key file with ${what}`, async (t) => {
      const options = await sealedOptions(t)
      const store = await openSealedKeyStore(options)
      await store.generate({ label: 'a', curve: 'P-256' })
      const path = join(options.dir, 'a.key')
      await writeFile(path, damage(await readFile(path, 'utf8')))
      await assert.rejects(store.find('a'), { code: 'ZT-500-KEYSTORE' })
    })
  }

  it('refuse a key file under the name of another key', async (t) => {
    const options = await sealedOptions(t)
    const store = await openSealedKeyStore(options)
    await store.generate({ label: 'a', curve: 'P-256' })
    await rename(join(options.dir, 'a.key'), join(options.dir, 'b.key'))
    await assert.rejects(store.find('b'), { code: 'ZT-500-KEYSTORE' })
  })

  it('refuse to begin anew over keys whose seal header is gone', async (t) => {
    const options = await sealedOptions(t)
    await (await openSealedKeyStore(options)).generate({ label: 'a', curve: 'P-256' })
    await rename(join(options.dir, 'seal.json'), `${options.secretFile}-header`)
    await assert.rejects(openSealedKeyStore(options), { code: 'ZT-500-KEYSTORE' })
  })
})

describe('pkcs#11 token', () => {
  it('makes keys that an independent tool sees as sensitive and never extractable', async (t) => {
    const options = await makeToken(await tempDir(t))
    const store = await opened(t, () => openPkcs11KeyStore(options))
    await store.generate({ label: 'root-1', curve: 'P-384' })
    const listing = execFileSync(
      'pkcs11-tool',
      [
        '--module',
        options.module,
        '--token-label',
        options.token,
        '--login',
        '--pin',
        PIN,
        '--list-objects',
        '--type',
        'privkey',
      ],
      { env: { ...process.env, SOFTHSM2_CONF: options.softhsmConf }, stdio: 'pipe' },
    ).toString()
    assert.match(listing, /label:\s+root-1/)
    assert.match(listing, /Usage:\s+sign\n/)
    assert.match(listing, /Access:\s+sensitive, always sensitive, never extractable, local/)
  })

  it('chooses the token by its label among several', async (t) => {
    const options = await makeToken(await tempDir(t))
    addToken(options.softhsmConf, 'another')
    const other = await opened(t, () => openPkcs11KeyStore({ ...options, token: 'another' }))
    await other.generate({ label: 'root-1', curve: 'P-256' })
    const store = await opened(t, () => openPkcs11KeyStore(options))
    assert.equal(await store.find('root-1'), undefined)
  })

  it('is refused if two tokens have its label', async (t) => {
    const options = await makeToken(await tempDir(t))
    addToken(options.softhsmConf, options.token)
    await assert.rejects(openPkcs11KeyStore(options), {
      code: 'ZT-500-KEYSTORE',
      message: /more than one token/,
    })
  })

  const wrong: Record<string, (options: Pkcs11Options) => Pkcs11Options> = {
    'a token that is not there': (options) => ({ ...options, token: 'missing' }),
    'a module that is not there': (options) => ({ ...options, module: '/nonexistent.so' }),
    'a library that is no module': (options) => ({ ...options, module: '/bin/sh' }),
  }
  for (const [what, change] of Object.entries(wrong)) {
    it(`is refused with ${what}`, async (t) => {
      const options = await makeToken(await tempDir(t))
      await assert.rejects(openPkcs11KeyStore(change(options)), { code: 'ZT-500-KEYSTORE' })
    })
  }

  it('is refused with a wrong pin, and the message does not tell it', async (t) => {
    const options = await makeToken(await tempDir(t))
    await writeFile(options.pinFile, '0000-wrong')
    await assert.rejects(openPkcs11KeyStore(options), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'ZT-500-KEYSTORE')
      assert.match(error.message, /CKR_PIN_INCORRECT/)
      assert.ok(!error.message.includes('0000-wrong'))
      return true
    })
  })

  it('is refused with a pin file that others can read', async (t) => {
    const options = await makeToken(await tempDir(t))
    await chmod(options.pinFile, 0o644)
    await assert.rejects(openPkcs11KeyStore(options), { code: 'ZT-400-CONFIG' })
  })

  const weak: Record<string, Record<string, boolean>> = {
    CKA_EXTRACTABLE: { CKA_EXTRACTABLE: true },
    CKA_SENSITIVE: { CKA_SENSITIVE: false },
    CKA_DERIVE: { CKA_DERIVE: true },
    CKA_UNWRAP: { CKA_UNWRAP: true },
  }
  for (const [attribute, override] of Object.entries(weak)) {
    it(`refuses a key that was made by something else with a weak ${attribute}`, async (t) => {
      const options = await makeToken(await tempDir(t))
      makeWeakKey(options, override)
      const store = await opened(t, () => openPkcs11KeyStore(options))
      await assert.rejects(store.find('weak'), { code: 'ZT-412-KEY-ATTRIBUTE' })
      await assert.rejects(store.generate({ label: 'weak', curve: 'P-256' }), { code: 'ZT-409-LABEL' })
    })
  }

  it('fails the call in hand when the process of the module dies, and serves the next one', async (t) => {
    const options = await makeToken(await tempDir(t))
    const store = await opened(t, () => openPkcs11KeyStore(options))
    const key = await store.generate({ label: 'root-1', curve: 'P-256' })
    const pids = execFileSync('ps', ['-o', 'pid=,args=', '--ppid', String(process.pid)]).toString()
    const child = Number(/^\s*(\d+) .*pkcs11-child/m.exec(pids)?.[1])
    assert.ok(child > 0)
    const pending = key.sign(Buffer.from('a'))
    process.kill(child, 'SIGKILL')
    await pending.catch((error: unknown) => assert.equal((error as { code: string }).code, 'ZT-500-KEYSTORE'))
    const publicKey = createPublicKey({ key: Buffer.from(key.spki), format: 'der', type: 'spki' })
    assert.ok(verify('sha256', Buffer.from('b'), publicKey, await signedAfterDeath(key, Buffer.from('b'))))
  })

  it('gives neither pin nor key in the arguments or the environment of its process', async (t) => {
    const options = await makeToken(await tempDir(t))
    const store = await opened(t, () => openPkcs11KeyStore(options))
    await store.random(1)
    const pids = execFileSync('ps', ['-o', 'pid=,args=', '--ppid', String(process.pid)]).toString()
    const child = /^\s*(\d+) .*pkcs11-child/m.exec(pids)?.[1]
    const environment = await readFile(`/proc/${child}/environ`, 'utf8')
    const names = environment.split('\0').map((entry) => entry.split('=')[0])
    assert.deepEqual(
      names.filter((name) => name !== '' && !name?.startsWith('NODE_')),
      ['SOFTHSM2_CONF'],
    )
    assert.ok(!environment.includes(PIN) && !pids.includes(PIN))
  })
})

/** The call that meets the dead process fails; the one after it starts another. */
async function signedAfterDeath(
  key: { sign(data: Uint8Array): Promise<Uint8Array> },
  data: Uint8Array,
): Promise<Uint8Array> {
  const deadline = Date.now() + 20_000
  for (;;) {
    try {
      return await key.sign(data)
    } catch (error) {
      if (Date.now() > deadline) throw error
    }
  }
}

/** A key pair as careless software would make it, in a process of its own. */
function makeWeakKey(options: Pkcs11Options, override: Record<string, boolean>): void {
  const script = `
    const p = require('pkcs11js'); const m = new p.PKCS11(); m.load(process.env.MODULE); m.C_Initialize()
    const slot = m.C_GetSlotList(true).find((s) => m.C_GetTokenInfo(s).label.trim() === process.env.TOKEN)
    const session = m.C_OpenSession(slot, p.CKF_SERIAL_SESSION | p.CKF_RW_SESSION); m.C_Login(session, p.CKU_USER, process.env.PIN)
    const wanted = { CKA_TOKEN: true, CKA_PRIVATE: true, CKA_SENSITIVE: true, CKA_EXTRACTABLE: false, CKA_SIGN: true,
      CKA_DECRYPT: false, CKA_UNWRAP: false, CKA_DERIVE: false, ...JSON.parse(process.env.OVERRIDE) }
    const own = Object.entries(wanted).map(([name, value]) => ({ type: p[name], value }))
    m.C_GenerateKeyPair(session, { mechanism: p.CKM_EC_KEY_PAIR_GEN },
      [{ type: p.CKA_TOKEN, value: true }, { type: p.CKA_LABEL, value: 'weak' }, { type: p.CKA_EC_PARAMS, value: Buffer.from('06082a8648ce3d030107', 'hex') }],
      [{ type: p.CKA_LABEL, value: 'weak' }, ...own])
    m.C_Logout(session); process.kill(process.pid, 'SIGKILL')`
  const env = {
    SOFTHSM2_CONF: options.softhsmConf,
    MODULE: options.module,
    TOKEN: options.token,
    PIN,
    OVERRIDE: JSON.stringify(override),
  }
  try {
    execFileSync(process.execPath, ['--input-type=commonjs', '-e', script], { env, stdio: 'pipe' })
  } catch (error) {
    if ((error as { signal?: string }).signal !== 'SIGKILL') throw error
  }
}
