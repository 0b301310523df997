// The TPM seam's suite, against a real swtpm: by TCP, and as a character device. What it keeps in the TPM is counted by the TPM.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { isZtError } from '#shared/errors/error.ts'
import { systemClock } from '#shared/host/clock.ts'
import { TpmAttester, type AttesterOptions } from '#shared/host/tpm/attester.ts'
import { TpmCommands } from '#shared/host/tpm/commands.ts'
import { openTpm, type TpmDevice } from '#shared/host/tpm/device.ts'
import { sign } from '#shared/tpm/attest-calls.ts'
import { parseAttest, parseCreationData, type TpmAttest } from '#shared/tpm/attest.ts'
import { COMMAND, HANDLE, HANDLE_RANGE } from '#shared/tpm/constants.ts'
import { makeCredential } from '#shared/tpm/credential.ts'
import { certifiesKey } from '#shared/tpm/ek-area.ts'
import { createPrimary, load } from '#shared/tpm/object-calls.ts'
import { pcrDigest, type PcrSelection } from '#shared/tpm/pcr.ts'
import { nameOf, parsePublic2b, type TpmPublic } from '#shared/tpm/public.ts'
import { parseTpmSignature, verifyTpmSignature } from '#shared/tpm/signature.ts'
import { STORAGE_PRIMARY, type EndorsementKind } from '#shared/tpm/templates.ts'
import { FailingTpm, type Fault } from '#test/support/failing-tpm.ts'
import { startSwtpm, type Swtpm, type SwtpmOptions } from '#test/support/swtpm.ts'
import { tpmPty } from '#test/support/tpm-pty.ts'
import { extendRegister } from '#test/support/tpm-registers.ts'

const FIRMWARE: PcrSelection = { bank: 'sha256', indices: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 14] }
const SCRATCH: PcrSelection = { bank: 'sha256', indices: [7, 16] }
const NONCE = new Uint8Array(32).fill(7)
const SECRET = new Uint8Array(32).fill(9)

async function opened(
  t: TestContext,
  device: TpmDevice,
  options: AttesterOptions = {},
): Promise<TpmAttester> {
  const attester = await TpmAttester.open(device, options)
  t.after(() => attester.close())
  return attester
}

/** The handles that are in use, as the TPM itself says. */
async function inUse(tpm: Swtpm): Promise<readonly number[]> {
  const commands = new TpmCommands(tpm.open(), systemClock)
  const { transient, hmacSession, policySession } = HANDLE_RANGE
  const kinds = [transient, hmacSession, policySession].map((first) => commands.handles(first))
  return (await Promise.all(kinds)).flat()
}

function signed(by: TpmPublic, made: { attest: Uint8Array; signature: Uint8Array }): TpmAttest {
  assert.ok(verifyTpmSignature(by, parseTpmSignature(made.signature), made.attest))
  const attest = parseAttest(made.attest)
  assert.equal(attest.magic, 0xff544347)
  return attest
}

/** One of everything that a node does with its TPM. */
async function everything(attester: TpmAttester): Promise<void> {
  const { public: ek } = await attester.endorsement()
  const ak = await attester.createAk()
  const akName = nameOf(parsePublic2b(ak.public))
  const { blob, encryptedSecret } = makeCredential({ ek: parsePublic2b(ek), akName, secret: SECRET })
  await attester.activate(ak, blob, encryptedSecret)
  await attester.quote(ak, NONCE, FIRMWARE)
  const key = await attester.createSigningKey()
  await attester.certify(ak, key, NONCE)
  await attester.sign(key, NONCE)
  await attester.unseal(await attester.seal(SECRET))
}

const DEVICES: Record<string, (t: TestContext, tpm: Swtpm) => Promise<TpmDevice>> = {
  tcp: (_, tpm) => Promise.resolve(tpm.open()),
  'character device': async (t, tpm) => openTpm({ path: await tpmPty(t, tpm.device) }),
}

for (const [name, open] of Object.entries(DEVICES)) {
  describe(`tpm: ${name}`, () => {
    it('does everything that a node does, and leaves nothing in the TPM', async (t) => {
      const tpm = await startSwtpm(t)
      const attester = await opened(t, await open(t, tpm))
      assert.equal(await attester.manufacturer(), 'IBM')
      await everything(attester)
      assert.deepEqual(await inUse(tpm), [])
    })

    it('attests fifty times in a row, and leaves nothing in the TPM', async (t) => {
      const tpm = await startSwtpm(t)
      const attester = await opened(t, await open(t, tpm))
      const ak = await attester.createAk()
      for (let round = 0; round < 50; round += 1) {
        const extraData = createHash('sha256').update(String(round)).digest()
        const quote = await attester.quote(ak, extraData, FIRMWARE)
        assert.deepEqual(Buffer.from(signed(parsePublic2b(ak.public), quote).extraData), extraData)
      }
      assert.deepEqual(await inUse(tpm), [])
    })

    it('does many things at once in the three slots of a TPM', async (t) => {
      const tpm = await startSwtpm(t)
      const attester = await opened(t, await open(t, tpm))
      await Promise.all(Array.from({ length: 4 }, () => everything(attester)))
      assert.deepEqual(await inUse(tpm), [])
    })
  })
}

describe('tpm: failures', () => {
  for (const fault of ['unsent', 'refused', 'spoilt'] satisfies Fault[]) {
    it(`leaves nothing in the TPM, whichever command is ${fault}`, async (t) => {
      const tpm = await startSwtpm(t)
      const counting = new FailingTpm(tpm.open(), fault)
      await everything(await opened(t, counting))
      assert.ok(counting.sent > 35, 'the operations have commands to fail')
      for (let at = 1; at <= counting.sent; at += 1) {
        const run = async (): Promise<void> => {
          await everything(await TpmAttester.open(new FailingTpm(tpm.open(), fault, at)))
        }
        await assert.rejects(run, (error) =>
          isZtError(error, fault === 'spoilt' ? 'ZT-422-TPM' : 'ZT-503-TPM'),
        )
        assert.deepEqual(await inUse(tpm), [], `after command ${at}`)
      }
    })
  }

  it('goes on after a failure', async (t) => {
    const tpm = await startSwtpm(t)
    const attester = await opened(t, tpm.open())
    const ak = await attester.createAk()
    const broken = { ...ak, private: ak.private.map((byte, at) => (at < 2 ? byte : byte ^ 1)) }
    await assert.rejects(attester.quote(broken, NONCE, FIRMWARE), { code: 'ZT-503-TPM' })
    await attester.quote(ak, NONCE, FIRMWARE)
    assert.deepEqual(await inUse(tpm), [])
  })

  it('names the code of the TPM and the command', async (t) => {
    const attester = await opened(t, (await startSwtpm(t)).open())
    const other = await opened(t, (await startSwtpm(t)).open())
    await assert.rejects(attester.checkAk(await other.createAk()), {
      code: 'ZT-503-TPM',
      details: { command: 'load', rc: 'TPM_RC_INTEGRITY', number: 0x1df },
    })
  })
})

describe('tpm: endorsement', () => {
  const KINDS: Partial<Record<EndorsementKind, SwtpmOptions>> = {
    'ecc-p256': { eccP256: true },
    'ecc-p384-high': {},
    'rsa-2048': {},
    'rsa-3072-high': { rsaBits: 3072 },
  }
  for (const [kind, options] of Object.entries(KINDS) as [EndorsementKind, SwtpmOptions][]) {
    it(`shows ${kind} with its certificate, and activates a credential for it`, async (t) => {
      const tpm = await startSwtpm(t, options)
      const attester = await opened(t, tpm.open(), { endorsement: kind })
      const { certificates, public: ek } = await attester.endorsement()
      const [certificate] = certificates
      assert.ok(certificate !== undefined && certificates.length === 1)
      assert.ok(certifiesKey(certificate, parsePublic2b(ek)))
      for (const algorithm of ['ecdsa-p256', 'rsassa-2048'] as const) {
        const ak = await attester.createAk(algorithm)
        const akName = nameOf(parsePublic2b(ak.public))
        const { blob, encryptedSecret } = makeCredential({ ek: parsePublic2b(ek), akName, secret: SECRET })
        assert.deepEqual(await attester.activate(ak, blob, encryptedSecret), SECRET)
      }
      assert.deepEqual(await inUse(tpm), [])
    })
  }

  it('prefers the elliptic key, whose certificate it cuts out of a padded area', async (t) => {
    const tpm = await startSwtpm(t, { eccP256: true })
    const { kind, certificates } = await (await opened(t, tpm.open())).endorsement()
    assert.equal(kind, 'ecc-p256')
    assert.equal(certificates[0]?.at(-1) === 0xff && certificates[0].at(-2) === 0xff, false)
  })

  it('refuses a credential that was made for another key', async (t) => {
    const tpm = await startSwtpm(t)
    const attester = await opened(t, tpm.open())
    const [ak, other] = [await attester.createAk(), await attester.createAk()]
    const ek = parsePublic2b((await attester.endorsement()).public)
    const akName = nameOf(parsePublic2b(other.public))
    const { blob, encryptedSecret } = makeCredential({ ek, akName, secret: SECRET })
    await assert.rejects(attester.activate(ak, blob, encryptedSecret), {
      code: 'ZT-503-TPM',
      details: { command: 'activateCredential', rc: 'TPM_RC_INTEGRITY', number: 0x1df },
    })
  })

  it('refuses a TPM without a certificate', async (t) => {
    const tpm = await startSwtpm(t)
    await tpm.tool(['tpm2_nvundefine', '-C', 'p', '0x1c00002'])
    await tpm.tool(['tpm2_nvundefine', '-C', 'p', '0x1c00016'])
    const attester = await opened(t, tpm.open())
    await assert.rejects(attester.endorsement(), { code: 'ZT-412-EK', details: { reason: 'no certificate' } })
  })

  it("refuses the certificate of another TPM's key", async (t) => {
    const [tpm, other] = [await startSwtpm(t), await startSwtpm(t)]
    await other.tool(['tpm2_nvread', '-C', 'o', '-o', 'ek-other.cert', '0x1c00016'])
    for (const index of ['0x1c00002', '0x1c00016']) await tpm.tool(['tpm2_nvundefine', '-C', 'p', index])
    const rights = 'ppwrite|ownerread|authread|ppread|no_da|platformcreate'
    const certificate = join(other.dir, 'ek-other.cert')
    const { length } = (await (await opened(t, other.open())).endorsement()).certificates[0] ?? []
    await tpm.tool(['tpm2_nvdefine', '-C', 'p', '-s', String(length), '-a', rights, '0x1c00016'])
    await tpm.tool(['tpm2_nvwrite', '-C', 'p', '-i', certificate, '0x1c00016'])
    const attester = await opened(t, tpm.open())
    await assert.rejects(attester.endorsement(), {
      code: 'ZT-412-EK',
      details: { reason: 'no certificate of a key that it makes' },
    })
    assert.deepEqual(await inUse(tpm), [])
  })

  it('uses the passwords of the hierarchies, and is refused with wrong ones', async (t) => {
    const tpm = await startSwtpm(t)
    await tpm.tool(['tpm2_changeauth', '-c', 'owner', 'of the owner'])
    await tpm.tool(['tpm2_changeauth', '-c', 'endorsement', 'of the endorsement'])
    const passwords = {
      ownerPassword: Buffer.from('of the owner'),
      endorsementPassword: Buffer.from('of the endorsement'),
    }
    await everything(await opened(t, tpm.open(), passwords))
    const wrong = await opened(t, tpm.open(), { ...passwords, endorsementPassword: Buffer.from('of nobody') })
    await assert.rejects(wrong.createAk(), {
      code: 'ZT-503-TPM',
      details: { command: 'createPrimary', rc: 'TPM_RC_BAD_AUTH', number: 0x9a2 },
    })
    assert.deepEqual(await inUse(tpm), [])
  })
})

describe('tpm: attestation', () => {
  it('certifies how an attestation key was made', async (t) => {
    const attester = await opened(t, (await startSwtpm(t)).open())
    const ak = await attester.createAk('ecdsa-p256', NONCE)
    const area = parsePublic2b(ak.public)
    const { certifyInfo: attest, signature, data } = ak.creation
    const { attested, extraData } = signed(area, { attest, signature })
    assert.deepEqual(extraData, NONCE)
    assert.ok(attested.kind === 'creation')
    assert.deepEqual(attested.objectName, nameOf(area))
    assert.deepEqual(Buffer.from(attested.creationHash), createHash('sha256').update(data).digest())
    assert.equal(parseCreationData(data).parentNameAlg, 'sha256')
  })

  it('quotes what the registers hold, and something else after they change', async (t) => {
    const tpm = await startSwtpm(t)
    const attester = await opened(t, tpm.open())
    const ak = await attester.createAk()
    const before = await attester.quote(ak, NONCE, SCRATCH)
    await extendRegister(tpm.open(), 16, SECRET)
    const after = await attester.quote(ak, NONCE, SCRATCH)
    const extended = createHash('sha256').update(new Uint8Array(32)).update(SECRET).digest()
    assert.deepEqual([...before.pcrs.keys()], [7, 16])
    assert.deepEqual(after.pcrs.get(7), before.pcrs.get(7))
    assert.deepEqual(Buffer.from(after.pcrs.get(16) ?? []), extended)
    const { attested } = signed(parsePublic2b(ak.public), after)
    assert.ok(attested.kind === 'quote')
    assert.deepEqual(attested.pcrSelect, [SCRATCH])
  })

  it('quotes values of one moment while others extend the registers', async (t) => {
    const tpm = await startSwtpm(t)
    const [attester, other] = [await opened(t, tpm.open()), tpm.open()]
    const ak = await attester.createAk()
    let quoted = false
    const extending = (async () => {
      while (!quoted) await extendRegister(other, 16, SECRET)
    })()
    for (let round = 0; round < 10; round += 1) {
      await attester.quote(ak, NONCE, SCRATCH).catch((error: unknown) => {
        assert.ok(isZtError(error, 'ZT-503-TPM'), String(error))
      })
    }
    quoted = true
    await extending
  })

  it('takes registers and quote again when a register changed in between', async (t) => {
    const tpm = await startSwtpm(t)
    const [device, other] = [tpm.open(), tpm.open()]
    let quotes = 0
    const between: TpmDevice = {
      async send(command) {
        if (Buffer.from(command).readUInt32BE(6) !== COMMAND.quote) return device.send(command)
        quotes += 1
        if (quotes === 1) await extendRegister(other, 16, SECRET)
        return device.send(command)
      },
      close: () => device.close(),
    }
    const attester = await opened(t, between)
    const { attest, pcrs } = await attester.quote(await attester.createAk(), NONCE, SCRATCH)
    assert.equal(quotes, 2)
    const { attested } = parseAttest(attest)
    assert.ok(attested.kind === 'quote')
    assert.deepEqual(attested.pcrDigest, pcrDigest([...pcrs.values()], 'sha256'))
  })

  it('refuses values of registers that are not those of the quote', async (t) => {
    const device = (await startSwtpm(t)).open()
    const lying: TpmDevice = {
      async send(command) {
        const response = Buffer.from(await device.send(command))
        // The last octet is one of the last value's.
        if (Buffer.from(command).readUInt32BE(6) === COMMAND.pcrRead) response[response.length - 1] = 1
        return response
      },
      close: () => device.close(),
    }
    const attester = await opened(t, lying)
    await assert.rejects(attester.quote(await attester.createAk(), NONCE, SCRATCH), { code: 'ZT-422-TPM' })
  })

  it('refuses a bank that the TPM does not keep', async (t) => {
    const attester = await opened(t, (await startSwtpm(t)).open())
    await assert.rejects(attester.quote(await attester.createAk(), NONCE, { bank: 'sha512', indices: [0] }), {
      code: 'ZT-503-TPM',
      details: { reason: 'no registers of sha512' },
    })
  })

  it('tells of every reset, and whether the clock is safe', async (t) => {
    const tpm = await startSwtpm(t)
    const attester = await opened(t, tpm.open())
    const ak = await attester.createAk()
    const clock = async (): Promise<TpmAttest['clockInfo']> =>
      parseAttest((await attester.quote(ak, NONCE, SCRATCH)).attest).clockInfo
    const first = await clock()
    await tpm.reset()
    const second = await clock()
    await tpm.reset('unclean')
    const third = await clock()
    assert.deepEqual([second.resetCount, third.resetCount], [first.resetCount + 1, first.resetCount + 2])
    assert.deepEqual([first.safe, second.safe, third.safe], [true, true, false])
  })

  it('has no key left after TPM2_Clear', async (t) => {
    const tpm = await startSwtpm(t)
    const attester = await opened(t, tpm.open())
    const [ak, sealed] = [await attester.createAk(), await attester.seal(SECRET)]
    await tpm.tool(['tpm2_clear', '-c', 'p'])
    await assert.rejects(attester.checkAk(ak), { code: 'ZT-503-TPM' })
    await assert.rejects(attester.unseal(sealed), { code: 'ZT-503-TPM' })
    await attester.checkAk(await attester.createAk())
  })

  it('signs nothing with an attestation key but what the TPM itself made', async (t) => {
    const tpm = await startSwtpm(t)
    const ak = await (await opened(t, tpm.open())).createAk()
    const commands = new TpmCommands(tpm.open(), systemClock)
    const primary = { hierarchy: HANDLE.endorsement, password: new Uint8Array(), area: STORAGE_PRIMARY }
    const signing = commands.withChild(
      createPrimary(primary),
      (parent) => load(parent, ak),
      ({ handle }) => commands.run(sign(handle, NONCE)),
    )
    await assert.rejects(signing, {
      code: 'ZT-503-TPM',
      details: { command: 'sign', rc: 'TPM_RC_TICKET', number: 0x3e0 },
    })
    assert.deepEqual(await inUse(tpm), [])
  })
})

describe('tpm: sealed data', () => {
  it('comes back from its own TPM, and from no other', async (t) => {
    const attester = await opened(t, (await startSwtpm(t)).open())
    const other = await opened(t, (await startSwtpm(t)).open())
    const sealed = await attester.seal(SECRET)
    assert.deepEqual(await attester.unseal(sealed), SECRET)
    await assert.rejects(other.unseal(sealed), {
      code: 'ZT-503-TPM',
      details: { command: 'load', rc: 'TPM_RC_INTEGRITY', number: 0x1df },
    })
  })

  it('is at most 128 bytes', async (t) => {
    const attester = await opened(t, (await startSwtpm(t)).open())
    assert.throws(() => void attester.seal(new Uint8Array(129)), { code: 'ZT-413-SIZE' })
    assert.equal((await attester.unseal(await attester.seal(new Uint8Array(128)))).length, 128)
  })
})

describe('tpm: its power', () => {
  it('starts a TPM that nobody has started', async (t) => {
    const tpm = await startSwtpm(t, { startup: 'none' })
    await assert.rejects(new TpmCommands(tpm.open(), systemClock).property(0x105), {
      details: { command: 'getCapability', rc: 'TPM_RC_INITIALIZE', number: 0x100 },
    })
    await (await opened(t, tpm.open())).createAk()
  })

  it('answers that it cannot be reached, and works again once it can', async (t) => {
    const tpm = await startSwtpm(t)
    const attester = await opened(t, tpm.open())
    const ak = await attester.createAk()
    await tpm.stop()
    await assert.rejects(attester.quote(ak, NONCE, FIRMWARE), { code: 'ZT-503-TPM' })
    await tpm.reset()
    await attester.quote(ak, NONCE, FIRMWARE)
  })

  it('says which device is not there', async (t) => {
    const tpm = await startSwtpm(t)
    await rm(join(tpm.dir, 'nothing'), { force: true })
    await assert.rejects(TpmAttester.open(openTpm({ path: join(tpm.dir, 'nothing') })), {
      code: 'ZT-503-TPM',
    })
  })
})
