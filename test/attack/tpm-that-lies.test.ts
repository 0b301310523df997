// A TPM, or whatever sits between it and the node, answers what no TPM answers: each answer is refused by its code, none is
// waited for without end, and none is taken for the answer to another command.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { describe, it, type TestContext } from 'node:test'
import { isZtError } from '#shared/errors/error.ts'
import { systemClock } from '#shared/host/clock.ts'
import { TpmAttester } from '#shared/host/tpm/attester.ts'
import { TpmCommands } from '#shared/host/tpm/commands.ts'
import { openTpm } from '#shared/host/tpm/device.ts'
import { HANDLE, PROPERTY } from '#shared/tpm/constants.ts'
import { createPrimary } from '#shared/tpm/object-calls.ts'
import { getHandles, getProperties, nvRead, nvReadPublic, pcrRead } from '#shared/tpm/platform-calls.ts'
import { startPolicySession } from '#shared/tpm/policy-calls.ts'
import { STORAGE_PRIMARY } from '#shared/tpm/templates.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { eventually } from '#test/support/eventually.ts'
import { hostileTpm, tpmResponse, type HostileAnswer } from '#test/support/hostile-tpm.ts'
import { startSwtpm } from '#test/support/swtpm.ts'
import { tpmPty } from '#test/support/tpm-pty.ts'

const IDENTITY = getProperties(PROPERTY.manufacturer)
const ANSWER = tpmResponse(said('49424d00'))
const IBM = { items: [{ property: PROPERTY.manufacturer, value: 0x49424d00 }], more: false }
const BUSY = tpmResponse(Buffer.alloc(0), 0x8001, 0x922)

/** The body of an answer to IDENTITY that announces `count` properties and has so many, unless `has` says otherwise. */
function said(letters: string, count: number = 1, has: number = count): Buffer {
  const properties = `00000105${letters}`.repeat(has)
  return Buffer.from(`0000000006${count.toString(16).padStart(8, '0')}${properties}`, 'hex')
}

async function against(
  t: TestContext,
  answer: HostileAnswer,
  timeoutMs: number = 10_000,
): Promise<TpmCommands> {
  const tpm = await hostileTpm(t, () => answer)
  return new TpmCommands(openTpm({ ...tpm, timeoutMs }), systemClock)
}

function withLength(response: Buffer, length: number): Buffer {
  const bent = Buffer.from(response)
  bent.writeUInt32BE(length, 2)
  return bent
}

describe('a tpm that lies', () => {
  const malformed: Record<string, HostileAnswer> = {
    'nothing but a part of a header': ANSWER.subarray(0, 5),
    'a header alone that announces more': ANSWER.subarray(0, 10),
    'a response that is cut short': ANSWER.subarray(0, -1),
    'a response with more than it announces': Buffer.concat([ANSWER, Buffer.of(1)]),
    'a second response after the first': Buffer.concat([ANSWER, ANSWER]),
    'a length of nothing': withLength(ANSWER, 0),
    'a length below a header': withLength(ANSWER, 9),
    'a length over what TPMs answer': withLength(ANSWER, 4097),
    'the greatest length': withLength(ANSWER, 0xffff_ffff),
    'a flood without a header': Buffer.alloc(1 << 20, 0xff),
    'the tag of sessions without any': tpmResponse(said('49424d00'), 0x8002),
    'the tag of a TPM 1.2': tpmResponse(said('49424d00'), 0xc4),
    'trailing bytes within the length': tpmResponse(Buffer.concat([said('49424d00'), Buffer.of(0)])),
    'a list longer than the response': tpmResponse(said('49424d00', 2, 1)),
    'a list of more items than were asked for': tpmResponse(said('49424d00', 257)),
    'an error with a body': tpmResponse(Buffer.of(0), 0x8001, 0x101),
    'an error with sessions': tpmResponse(Buffer.alloc(0), 0x8002, 0x101),
  }
  for (const [what, answer] of Object.entries(malformed)) {
    it(`is refused: ${what}`, async (t) => {
      const commands = await against(t, answer)
      await assert.rejects(commands.run(IDENTITY), { code: 'ZT-422-TPM' })
    })
  }

  it('is heard in pieces of one byte', async (t) => {
    const commands = await against(
      t,
      [...ANSWER].map((byte) => Uint8Array.of(byte)),
    )
    assert.deepEqual(await commands.run(IDENTITY), IBM)
  })

  it('is not waited for when it is silent', async (t) => {
    const commands = await against(t, 'silence', 50)
    await assert.rejects(commands.run(IDENTITY), {
      code: 'ZT-503-TPM',
      details: { reason: 'no answer in 50 ms' },
    })
  })

  it('is not waited for behind a character device, nor heard there later', async (t) => {
    const late = tpmResponse(said('deadbeef'))
    const tpm = await hostileTpm(t, (_, at) => (at === 0 ? 'silence' : ANSWER))
    const device = openTpm({ path: await tpmPty(t, tpm), timeoutMs: 200 })
    const commands = new TpmCommands(device, systemClock)
    const details = (reason: string): object => ({ code: 'ZT-503-TPM', details: { reason } })
    await assert.rejects(commands.run(IDENTITY), details('no answer in 200 ms'))
    await assert.rejects(commands.run(IDENTITY), details('overdue'))
    tpm.say(late)
    const heard = await eventually('the device is opened anew', () =>
      commands.run(IDENTITY).catch((error: unknown) => {
        assert.ok(isZtError(error, 'ZT-503-TPM'))
        return undefined
      }),
    )
    assert.deepEqual(heard, IBM)
    await device.close()
  })

  it('takes no more than one thread of the process, however often a device that hangs is opened anew', async (t) => {
    const tpm = await hostileTpm(t, (_, at) => (at === 0 ? 'silence' : ANSWER))
    const path = await tpmPty(t, tpm)
    const reasons: unknown[] = []
    // As an agent does at each renewal. libuv has four threads for files.
    for (let tries = 0; tries < 6; tries += 1) {
      const device = openTpm({ path, timeoutMs: 100 })
      const error: unknown = await new TpmCommands(device, systemClock).run(IDENTITY).catch((e: unknown) => e)
      assert.ok(isZtError(error, 'ZT-503-TPM'))
      reasons.push(error.details['reason'])
      await device.close()
    }
    assert.deepEqual(reasons, ['no answer in 100 ms', ...Array<string>(5).fill('overdue')])
    assert.ok((await readFile(import.meta.filename)).length > 0)
    tpm.say(ANSWER)
    const heard = await eventually('the device is free again', async () => {
      const device = openTpm({ path, timeoutMs: 10_000 })
      try {
        return await new TpmCommands(device, systemClock).run(IDENTITY)
      } catch (error) {
        assert.ok(isZtError(error, 'ZT-503-TPM'))
        return undefined
      } finally {
        await device.close()
      }
    })
    assert.deepEqual(heard, IBM)
  })

  it('is an outage when it ends the connection', async (t) => {
    const commands = await against(t, 'end')
    await assert.rejects(commands.run(IDENTITY), { code: 'ZT-503-TPM' })
  })

  it('does not answer one command with what it owed to an earlier one', async (t) => {
    const late = tpmResponse(said('deadbeef'))
    const tpm = await hostileTpm(t, (_, at) =>
      at === 0 ? 'silence' : at === 1 ? Buffer.concat([ANSWER, late]) : ANSWER,
    )
    const commands = new TpmCommands(openTpm({ ...tpm, timeoutMs: 50 }), systemClock)
    await assert.rejects(commands.run(IDENTITY), { code: 'ZT-503-TPM' })
    await assert.rejects(commands.run(IDENTITY), { code: 'ZT-422-TPM' })
    assert.deepEqual(await commands.run(IDENTITY), IBM)
  })

  it('is asked again eight times at most while it says that it is busy', async (t) => {
    const tpm = await hostileTpm(t, () => BUSY)
    const clock = new ManualClock()
    const commands = new TpmCommands(openTpm(tpm), clock)
    let refused: unknown
    const run = commands.run(IDENTITY).catch((error: unknown) => (refused = error))
    await eventually('the command is given up', () => {
      clock.advance(10_000)
      return refused === undefined ? undefined : true
    })
    await run
    assert.equal(tpm.commands.length, 8)
    assert.ok(refused instanceof Error && 'details' in refused)
    assert.deepEqual(refused.details, { command: 'getCapability', rc: 'TPM_RC_RETRY', number: 0x922 })
  })

  it('is believed in no list, handle, register or area that was not asked for', async (t) => {
    const hex = (text: string, tag: number): Buffer =>
      tpmResponse(Buffer.from(text.replaceAll(' ', ''), 'hex'), tag)
    const area = { index: 0x1c00002, bytes: 4, attributes: 1 << 18 }
    const read = nvRead({ area, offset: 0, length: 4, ownerPassword: new Uint8Array() })
    const sha256 = '00'.repeat(32)
    const cases = [
      [getHandles(HANDLE.owner), '00 00000002 00000000'],
      [getHandles(HANDLE.owner), '02 00000001 00000000'],
      [getHandles(HANDLE.owner), '00 00000001 ffffffff'],
      [nvReadPublic(0x1c00002), '000e 01c00003 000b 00000000 0000 0000 0000'],
      [nvReadPublic(0x1c00002), 'ffff 01c00002 000b 00000000 0000 0000 0000'],
      [nvReadPublic(0x1c00002), '000f 01c00002 000b 00000000 0000 0000'],
      [read, '00000007 0005 0001020304 0000 00 0000'],
      [read, '00000005 0003 000102 0000 00 0000'],
      [pcrRead({ bank: 'sha256', indices: [7] }), `00000001 00000001 000b 03 010000 00000001 0020 ${sha256}`],
      [
        pcrRead({ bank: 'sha256', indices: [7] }),
        `00000001 00000001 0004 03 800000 00000001 0014 ${'00'.repeat(20)}`,
      ],
      [
        pcrRead({ bank: 'sha256', indices: [7] }),
        `00000001 00000001 000b 03 800000 00000001 001f ${'00'.repeat(31)}`,
      ],
      [pcrRead({ bank: 'sha256', indices: [7] }), '00000001 00000001 000b 03 800000 00000000'],
      [startPolicySession('sha256', new Uint8Array(16)), '80000000 0000'],
    ] as const
    for (const [call, body] of cases) {
      const commands = await against(t, hex(body, call.auth.length > 0 ? 0x8002 : 0x8001))
      await assert.rejects(commands.run<unknown>(call), { code: 'ZT-422-TPM' }, body)
    }
  })

  it('cannot pass one key for another: the name must be that of the public area', async (t) => {
    const real = (await startSwtpm(t)).open()
    const call = createPrimary({ hierarchy: HANDLE.owner, password: new Uint8Array(), area: STORAGE_PRIMARY })
    const bent = {
      // The last octets of the parameters are the name's; five octets of an empty authorisation follow.
      async send(command: Uint8Array): Promise<Uint8Array> {
        const response = Buffer.from(await real.send(command))
        const at = response.length - 6
        response[at] = (response[at] ?? 0) ^ 1
        return response
      },
      close: () => real.close(),
    }
    await assert.rejects(new TpmCommands(bent, systemClock).run(call), { code: 'ZT-422-TPM' })
  })

  it('does not make the node allocate or loop without bound', async (t) => {
    // A page that is never the last: each handle greater than the one before.
    let next = 0x0100_0000
    const tpm = await hostileTpm(t, () => {
      const body = Buffer.alloc(13)
      body[0] = 1
      body.writeUInt32BE(1, 1)
      body.writeUInt32BE(1, 5)
      body.writeUInt32BE((next += 1), 9)
      return tpmResponse(body)
    })
    const commands = new TpmCommands(openTpm(tpm), systemClock)
    assert.equal((await commands.handles(0x0100_0000)).length, 64)
  })

  it('gives a node no attester', async (t) => {
    // An answer to TPM2_GetRandom, which it was not asked.
    const tpm = await hostileTpm(t, () => tpmResponse(Buffer.from('000400010203', 'hex')))
    await assert.rejects(TpmAttester.open(openTpm(tpm)), { code: 'ZT-422-TPM' })
  })
})
