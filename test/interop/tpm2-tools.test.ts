// What we read from a TPM, and what we make for one, is what tpm2-tools read and make: names, attestations, credentials, quotes,
// sealed data, on one and the same TPM. The tools only ever say what they see; they judge nothing here.
import assert from 'node:assert/strict'
import { createHash, createPublicKey } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { systemClock } from '#shared/host/clock.ts'
import { TpmAttester } from '#shared/host/tpm/attester.ts'
import { TpmCommands } from '#shared/host/tpm/commands.ts'
import { parseAttest, type TpmAttest } from '#shared/tpm/attest.ts'
import { HANDLE } from '#shared/tpm/constants.ts'
import { makeCredential } from '#shared/tpm/credential.ts'
import { createPrimary } from '#shared/tpm/object-calls.ts'
import { nameOf, parsePublic2b } from '#shared/tpm/public.ts'
import { parseTpmSignature, verifyTpmSignature } from '#shared/tpm/signature.ts'
import { spkiOfPublic } from '#shared/tpm/spki.ts'
import { STORAGE_PRIMARY } from '#shared/tpm/templates.ts'
import { TpmReader } from '#shared/tpm/wire.ts'
import { startSwtpm, type Swtpm } from '#test/support/swtpm.ts'
import { extendRegister } from '#test/support/tpm-registers.ts'

const NONCE = createHash('sha256').update('nonce').digest()
const SECRET = createHash('sha256').update('secret').digest()
const REGISTERS = { bank: 'sha256', indices: [0, 7, 16] } as const
// The tools put this and a version before TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET.
const CREDENTIAL_HEADER = Buffer.from('badcc0de00000001', 'hex')

interface Bench {
  readonly tpm: Swtpm
  readonly attester: TpmAttester
  /** a file's path in the tools' folder, with this content */
  readonly write: (name: string, bytes: Uint8Array) => Promise<string>
  readonly read: (name: string) => Promise<Buffer>
  /** runs a tool, and drops what it leaves in the TPM */
  readonly tool: (...args: [string, ...string[]]) => Promise<string>
}

async function bench(t: TestContext): Promise<Bench> {
  const tpm = await startSwtpm(t, { eccP256: true })
  const attester = await TpmAttester.open(tpm.open())
  t.after(() => attester.close())
  return {
    tpm,
    attester,
    async write(name, bytes) {
      await writeFile(join(tpm.dir, name), bytes)
      return name
    },
    read: (name) => readFile(join(tpm.dir, name)),
    async tool(...args) {
      const said = await tpm.tool(args)
      await tpm.tool(['tpm2_flushcontext', '-t'])
      return said
    },
  }
}

/** The value after `key:` in what tpm2_print says. */
function said(printed: string, key: string): string {
  const match = new RegExp(`^\\s*${key}: (.*)$`, 'm').exec(printed)
  assert.ok(match?.[1] !== undefined, `${key} in:\n${printed}`)
  return match[1].trim()
}

function agree(printed: string, attest: TpmAttest): void {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
  assert.equal(said(printed, 'magic'), attest.magic.toString(16))
  assert.equal(said(printed, 'type'), attest.type.toString(16))
  assert.equal(said(printed, 'qualifiedSigner'), hex(attest.qualifiedSigner))
  assert.equal(said(printed, 'extraData'), hex(attest.extraData))
  assert.equal(said(printed, 'clock'), String(attest.clockInfo.clock))
  assert.equal(said(printed, 'resetCount'), String(attest.clockInfo.resetCount))
  assert.equal(said(printed, 'restartCount'), String(attest.clockInfo.restartCount))
  assert.equal(said(printed, 'safe'), attest.clockInfo.safe ? '1' : '0')
}

describe('tpm2-tools', () => {
  it('name our keys as we do, and see the same public key', async (t) => {
    const { attester, write, read, tool } = await bench(t)
    const blobs = [
      await attester.createAk('ecdsa-p256'),
      await attester.createAk('rsassa-2048'),
      await attester.createSigningKey(),
    ]
    for (const blob of blobs) {
      await write('key.pub', blob.public)
      await tool('tpm2_loadexternal', '-C', 'n', '-u', 'key.pub', '-c', 'key.ctx', '-n', 'key.name')
      const area = parsePublic2b(blob.public)
      assert.deepEqual(Buffer.from(nameOf(area)), await read('key.name'))
      await tool('tpm2_readpublic', '-c', 'key.ctx', '-f', 'pem', '-o', 'key.pem')
      const seen = createPublicKey(await read('key.pem')).export({ format: 'der', type: 'spki' })
      assert.deepEqual(Buffer.from(spkiOfPublic(area)), seen)
    }
  })

  for (const [kind, algorithm] of [
    ['ecc-p256', 'ecc'],
    ['rsa-2048', 'rsa'],
  ] as const) {
    it(`make the same endorsement key as we do: ${kind}`, async (t) => {
      const { tpm, tool, read } = await bench(t)
      const attester = await TpmAttester.open(tpm.open(), { endorsement: kind })
      await tool('tpm2_createek', '-c', 'ek.ctx', '-G', algorithm, '-u', 'ek.pub', '-f', 'tss')
      assert.deepEqual(Buffer.from((await attester.endorsement()).public), await read('ek.pub'))
    })

    it(`open the credential that we make, and make one that we open: ${kind}`, async (t) => {
      const { tpm, tool, read, write } = await bench(t)
      await tool('tpm2_createek', '-c', 'ek.ctx', '-G', algorithm, '-u', 'ek.pub', '-f', 'tss')
      await tool(
        'tpm2_createak',
        '-C',
        'ek.ctx',
        '-c',
        'ak.ctx',
        '-G',
        'ecc',
        '-g',
        'sha256',
        '-s',
        'ecdsa',
        '-n',
        'ak.name',
      )
      const ek = parsePublic2b(await read('ek.pub'))
      const ours = makeCredential({ ek, akName: await read('ak.name'), secret: SECRET })
      await write('cred', Buffer.concat([CREDENTIAL_HEADER, ours.blob, ours.encryptedSecret]))
      await tool('tpm2_startauthsession', '--policy-session', '-S', 'ek.session')
      await tool('tpm2_policysecret', '-S', 'ek.session', '-c', 'e')
      const keys = ['-c', 'ak.ctx', '-C', 'ek.ctx', '-P', 'session:ek.session']
      await tool('tpm2_activatecredential', ...keys, '-i', 'cred', '-o', 'opened')
      assert.deepEqual(await read('opened'), SECRET)
      await tool('tpm2_flushcontext', 'ek.session')

      const attester = await TpmAttester.open(tpm.open(), { endorsement: kind })
      const ak = await attester.createAk()
      await write('secret', SECRET)
      const name = Buffer.from(nameOf(parsePublic2b(ak.public))).toString('hex')
      await tool(
        'tpm2_makecredential',
        '-T',
        'none',
        '-u',
        'ek.pub',
        '-s',
        'secret',
        '-n',
        name,
        '-o',
        'theirs',
      )
      const theirs = await read('theirs')
      assert.deepEqual(theirs.subarray(0, 8), CREDENTIAL_HEADER)
      const blobEnd = 10 + theirs.readUInt16BE(8)
      const secret = await attester.activate(ak, theirs.subarray(8, blobEnd), theirs.subarray(blobEnd))
      assert.deepEqual(Buffer.from(secret), SECRET)
    })
  }

  // Version 5.4 prints no other attestation than a quote.
  it('read our quote as we do', async (t) => {
    const { attester, write, tool } = await bench(t)
    const ak = await attester.createAk()
    const quote = await attester.quote(ak, NONCE, REGISTERS)
    await write('attest', quote.attest)
    const printed = await tool('tpm2_print', '-t', 'TPMS_ATTEST', 'attest')
    const attest = parseAttest(quote.attest)
    agree(printed, attest)
    assert.ok(attest.attested.kind === 'quote')
    assert.equal(said(printed, 'pcrDigest'), Buffer.from(attest.attested.pcrDigest).toString('hex'))
  })

  for (const algorithm of ['ecdsa-p256', 'rsassa-2048'] as const) {
    it(`find our quote signed by our key: ${algorithm}`, async (t) => {
      const { attester, write, tool } = await bench(t)
      const ak = await attester.createAk(algorithm)
      const quote = await attester.quote(ak, NONCE, REGISTERS)
      const spki = spkiOfPublic(parsePublic2b(ak.public))
      const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
      await write('ak.pem', Buffer.from(key.export({ format: 'pem', type: 'spki' })))
      await write('attest', quote.attest)
      await write('signature', quote.signature)
      const evidence = ['-u', 'ak.pem', '-m', 'attest', '-s', 'signature', '-g', 'sha256']
      await tool('tpm2_checkquote', ...evidence, '-q', NONCE.toString('hex'))
    })
  }

  for (const [scheme, type] of [
    ['ecdsa', 'ecc'],
    ['rsassa', 'rsa'],
    ['rsapss', 'rsa'],
  ] as const) {
    it(`make quotes that we verify: ${scheme}`, async (t) => {
      const { read, tool } = await bench(t)
      await tool('tpm2_createek', '-c', 'ek.ctx', '-G', 'ecc', '-u', 'ek.pub', '-f', 'tss')
      const made = ['-C', 'ek.ctx', '-c', 'ak.ctx', '-G', type, '-g', 'sha256', '-s', scheme]
      await tool('tpm2_createak', ...made, '-u', 'ak.pub', '-f', 'tss')
      const out = ['-m', 'attest', '-s', 'signature', '-q', NONCE.toString('hex')]
      await tool('tpm2_quote', '-c', 'ak.ctx', '--scheme', scheme, '-l', 'sha256:0,7,16', ...out)
      const [area, attest] = [parsePublic2b(await read('ak.pub')), await read('attest')]
      const signature = parseTpmSignature(await read('signature'))
      assert.equal(signature.algorithm, scheme)
      assert.ok(verifyTpmSignature(area, signature, attest))
      assert.equal(verifyTpmSignature(area, signature, Buffer.concat([attest, Buffer.of(0)])), false)
      const { attested, extraData } = parseAttest(attest)
      assert.deepEqual(Buffer.from(extraData), NONCE)
      assert.ok(attested.kind === 'quote')
      assert.deepEqual(attested.pcrSelect, [REGISTERS])
    })
  }

  it('read the registers as we do', async (t) => {
    const { attester, tpm, tool } = await bench(t)
    await extendRegister(tpm.open(), 16, SECRET)
    const { pcrs } = await attester.quote(await attester.createAk(), NONCE, REGISTERS)
    assert.deepEqual([...pcrs.keys()], REGISTERS.indices)
    const printed = await tool('tpm2_pcrread', 'sha256:0,7,16')
    for (const [index, value] of pcrs)
      assert.match(printed, new RegExp(`^\\s*${index}\\s*: 0x${Buffer.from(value).toString('hex')}$`, 'im'))
  })

  it('unseal what we sealed', async (t) => {
    const { attester, tpm, write, read, tool } = await bench(t)
    const sealed = await attester.seal(SECRET)
    await write('sealed.pub', sealed.public)
    await write('sealed.priv', sealed.private)
    // Without a resource manager the primary stays where the tools can name it by its handle.
    const commands = new TpmCommands(tpm.open(), systemClock)
    const area = { hierarchy: HANDLE.owner, password: new Uint8Array(), area: STORAGE_PRIMARY }
    const { handle } = await commands.run(createPrimary(area))
    const parent = `0x${handle.toString(16)}`
    await tool('tpm2_load', '-C', parent, '-u', 'sealed.pub', '-r', 'sealed.priv', '-c', 'sealed.ctx')
    await tool('tpm2_unseal', '-c', 'sealed.ctx', '-o', 'unsealed')
    assert.deepEqual(await read('unsealed'), SECRET)
  })

  it('cut the certificate out of its area as we do', async (t) => {
    const { attester, tool, read } = await bench(t)
    await tool('tpm2_nvread', '-C', 'o', '-o', 'area', '0x1c0000a')
    const [certificate = new Uint8Array()] = (await attester.endorsement()).certificates
    const area = await read('area')
    assert.deepEqual(Buffer.from(certificate), area.subarray(0, certificate.length))
    assert.equal(new TpmReader(area.subarray(certificate.length), 'padding').rest().length, 64)
  })
})
