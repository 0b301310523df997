// The suite of whoever keeps a sealing secret, against all three: a TPM (a real swtpm), systemd's credentials as systemd
// lays them out, and a file. What one of them sealed, no other way of keeping opens.
import assert from 'node:assert/strict'
import { chmod, copyFile, mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { canonicalJson } from '#shared/encoding/canonical-json.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import {
  createSealSecret,
  parseSealHeader,
  placeOfHeader,
  Seal,
  type SealHeader,
} from '#pki/keystore/seal.ts'
import {
  chosenMethod,
  isWeaker,
  keeperOf,
  type KeeperOptions,
  type SealMethod,
} from '#pki/keystore/seal-keeper.ts'
import { startSwtpm } from '#test/support/swtpm.ts'
import { tempDir } from '#test/support/temp-dir.ts'

const CONTEXT = { purpose: 'test' }
const SECRET = Buffer.from('the key of the log')

async function tpmOptions(t: TestContext): Promise<KeeperOptions> {
  const { device } = await startSwtpm(t)
  return { method: 'tpm', tpm: `${device.host}:${device.port}`, secretFile: join(await tempDir(t), 'none') }
}

/** A folder of root that an access list lets the service enter: the mode shows group bits (systemd.exec(5)). */
async function credentialOptions(t: TestContext): Promise<KeeperOptions> {
  const credentialsDir = join(await tempDir(t), 'credentials')
  await mkdir(credentialsDir)
  await createSealSecret(join(credentialsDir, 'ztmesh-seal'))
  await chmod(join(credentialsDir, 'ztmesh-seal'), 0o440)
  await chmod(credentialsDir, 0o550)
  return { method: 'credential', credentialsDir, secretFile: join(credentialsDir, 'none') }
}

async function fileOptions(t: TestContext): Promise<KeeperOptions> {
  const secretFile = join(await tempDir(t), 'secret')
  await createSealSecret(secretFile)
  return { method: 'file', secretFile }
}

const KEEPERS: Record<SealMethod, (t: TestContext) => Promise<KeeperOptions>> = {
  tpm: tpmOptions,
  credential: credentialOptions,
  file: fileOptions,
}

/** As it is after it lay on a disk. */
const stored = (header: SealHeader): SealHeader =>
  parseSealHeader(parseStrictJson(canonicalJson(header), { maxBytes: 16 * 1024 }), '')

for (const [method, prepare] of Object.entries(KEEPERS) as [SealMethod, (typeof KEEPERS)[SealMethod]][]) {
  describe(`keeper of a sealing secret: ${method}`, () => {
    it('opens what it sealed, with the header and in another process', async (t) => {
      const options = await prepare(t)
      const { seal, header } = await Seal.create(keeperOf(options))
      const blob = seal.close(SECRET, CONTEXT)
      assert.equal(placeOfHeader(header).type, method)
      const again = await Seal.open(keeperOf(options), stored(header))
      assert.deepEqual(Buffer.from(again.open(blob, CONTEXT)), SECRET)
    })

    it('has no secret in its header', async (t) => {
      const options = await prepare(t)
      const keeper = keeperOf(options)
      const { header } = await Seal.create(keeper)
      const secret = Buffer.from(await keeper.find(placeOfHeader(header))).toString('latin1')
      assert.ok(!canonicalJson(header).includes(secret.slice('zt-seal-1:'.length).trim()))
    })

    it('makes another key each time', async (t) => {
      const keeper = keeperOf(await prepare(t))
      const [one, two] = [await Seal.create(keeper), await Seal.create(keeper)]
      const blob = one.seal.close(SECRET, CONTEXT)
      assert.throws(() => two.seal.open(blob, CONTEXT), { code: 'ZT-500-KEYSTORE' })
      const swapped = await Seal.open(keeper, two.header)
      assert.throws(() => swapped.open(blob, CONTEXT), { code: 'ZT-500-KEYSTORE' })
    })

    it('does not open a header that was made to name another way of keeping', async (t) => {
      const options = await prepare(t)
      const { header } = await Seal.create(keeperOf(options))
      const place = placeOfHeader(header)
      const secretFile = join(await tempDir(t), 'other')
      await createSealSecret(secretFile)
      const bent = { ...header, place: { type: 'file' } } as SealHeader
      if (place.type !== 'file')
        await assert.rejects(Seal.open(keeperOf({ ...options, method: 'auto', secretFile }), bent), {
          code: 'ZT-500-KEYSTORE',
        })
    })

    it('refuses a configuration that names another way, and says what changes it', async (t) => {
      const options = await prepare(t)
      const { header } = await Seal.create(keeperOf(options))
      const other = method === 'file' ? 'tpm' : 'file'
      await assert.rejects(Seal.open(keeperOf({ ...options, method: other }), header), {
        code: 'ZT-400-CONFIG',
        message: /hub reseal/,
      })
    })

    it('takes over from the keeper before it, and what was sealed stays sealed', async (t) => {
      const before = await fileOptions(t)
      const { seal } = await Seal.create(keeperOf(before))
      const blob = seal.close(SECRET, CONTEXT)
      const keeper = keeperOf(await prepare(t))
      const again = await Seal.open(keeper, await seal.headerFor(keeper))
      assert.deepEqual(Buffer.from(again.open(blob, CONTEXT)), SECRET)
    })
  })
}

describe('a sealing secret', () => {
  it('is kept by a credential that nobody else can read or write, and is not a link', async (t) => {
    const options = await credentialOptions(t)
    const path = join(options.credentialsDir ?? '', 'ztmesh-seal')
    const { header } = await Seal.create(keeperOf(options))
    for (const mode of [0o444, 0o460, 0o640 | 0o004]) {
      await chmod(path, mode)
      await assert.rejects(Seal.open(keeperOf(options), header), { code: 'ZT-400-CONFIG' }, mode.toString(8))
    }
    const elsewhere = await tempDir(t)
    await writeFile(join(elsewhere, 'secret'), 'x'.repeat(40), { mode: 0o600 })
    await symlink(join(elsewhere, 'secret'), join(elsewhere, 'ztmesh-seal'))
    await assert.rejects(Seal.create(keeperOf({ ...options, credentialsDir: elsewhere })), {
      code: 'ZT-500-KEYSTORE',
    })
  })

  it('opens nothing under a header that was made to say that it is kept otherwise', async (t) => {
    const options = await credentialOptions(t)
    const { header } = await Seal.create(keeperOf(options))
    // The very same secret, in a file.
    const secretFile = join(await tempDir(t), 'secret')
    await copyFile(join(options.credentialsDir ?? '', 'ztmesh-seal'), secretFile)
    await chmod(secretFile, 0o600)
    const bent = { ...header, place: { type: 'file' } } as SealHeader
    await assert.rejects(Seal.open(keeperOf({ method: 'file', secretFile }), bent), {
      code: 'ZT-500-KEYSTORE',
    })
  })

  it('is not found without $CREDENTIALS_DIRECTORY, and nothing else is tried', async (t) => {
    const { credentialsDir: _dir, ...options } = await credentialOptions(t)
    const { header } = await Seal.create(keeperOf({ ...options, credentialsDir: _dir ?? '' }))
    const { secretFile } = await fileOptions(t)
    await assert.rejects(Seal.open(keeperOf({ ...options, method: 'auto', secretFile }), header), {
      code: 'ZT-500-KEYSTORE',
    })
  })

  it('is kept by the strongest that there is, where nothing is said', () => {
    assert.equal(chosenMethod({ method: 'auto', tpm: '127.0.0.1:1', secretFile: 'x' }), 'tpm')
    assert.equal(chosenMethod({ method: 'auto', secretFile: 'x', credentialsDir: '/nowhere' }), 'file')
    assert.equal(chosenMethod({ method: 'file', tpm: '127.0.0.1:1', secretFile: 'x' }), 'file')
    assert.deepEqual(
      [
        isWeaker('file', 'tpm'),
        isWeaker('credential', 'tpm'),
        isWeaker('tpm', 'file'),
        isWeaker('file', 'file'),
      ],
      [true, true, false, false],
    )
  })

  it('by a credential comes before one by a file', async (t) => {
    const { credentialsDir = '', secretFile } = await credentialOptions(t)
    assert.equal(chosenMethod({ method: 'auto', secretFile, credentialsDir }), 'credential')
  })

  it('of a TPM that does not answer is a failure, not a reason for something weaker', async (t) => {
    const { secretFile } = await fileOptions(t)
    await assert.rejects(Seal.create(keeperOf({ method: 'auto', tpm: '127.0.0.1:1', secretFile })), {
      code: 'ZT-503-TPM',
    })
  })
})

describe('a header of the first release', () => {
  // Made by that release, with the secret below.
  const HEADER: SealHeader = {
    v: 1,
    kdf: 'hkdf-sha256',
    salt: 'bLQKFfA1xvFh9Z21ciLUaMOpBc_D4umJksmFz-ZPWYM',
    check: {
      salt: 'oT7gXeqV20iaj8w06Jl0EI3uKFy57E16eKEvARmLCi4',
      nonce: 'GO59mRp5WVtIWYAG',
      box: 'suNMYGTJ8OfSU8wq4a7SLTJwZffVFnMTDwfZWSYfU405',
    },
  }
  const BLOB = {
    salt: 'UMDhelPkaGz_-Kun67B4Cvocwkn1zpCoYgPQFdQUoJU',
    nonce: 'xdinMh1WimE6h4_B',
    box: 'Dq5f9yNKlnI1wPeVlV5rH3owarys6XCRcMh9PFyswnpdwQ',
  }

  async function withSecret(t: TestContext, letter: string): Promise<string> {
    const secretFile = join(await tempDir(t), 'secret')
    await writeFile(secretFile, `zt-seal-1:${letter.repeat(43)}\n`, { mode: 0o600 })
    return secretFile
  }

  it('still opens, by its file, and moves to another keeper', async (t) => {
    const seal = await Seal.open(await withSecret(t, 'A'), stored(HEADER))
    assert.deepEqual(Buffer.from(seal.open(BLOB, CONTEXT)), SECRET)
    const keeper = keeperOf(await tpmOptions(t))
    const moved = await Seal.open(keeper, await seal.headerFor(keeper))
    assert.deepEqual(Buffer.from(moved.open(BLOB, CONTEXT)), SECRET)
  })

  it('does not open by another secret', async (t) => {
    await assert.rejects(Seal.open(await withSecret(t, 'E'), HEADER), { code: 'ZT-500-KEYSTORE' })
  })
})
