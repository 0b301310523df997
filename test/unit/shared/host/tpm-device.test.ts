// The way to a TPM: one command at a time, each with a deadline of its own, and nothing taken for a response that is none.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { openTpm } from '#shared/host/tpm/device.ts'
import { eventually } from '#test/support/eventually.ts'
import { hostileTpm, tpmResponse, type HostileAnswer } from '#test/support/hostile-tpm.ts'
import { tempDir } from '#test/support/temp-dir.ts'

const COMMAND = Buffer.from('80010000000c0000017b0004', 'hex')
const ANSWER = tpmResponse(Buffer.from('000400010203', 'hex'))

describe('a tpm device', () => {
  it('sends a command only when the one before has been answered', async (t) => {
    const tpm = await hostileTpm(t, () => 'silence')
    const device = openTpm(tpm)
    const answers = [device.send(COMMAND), device.send(COMMAND)]
    await eventually('the first is asked', () => (tpm.commands.length > 0 ? true : undefined))
    // A connection of ours comes after all that were begun before it.
    const probe = connect(tpm.port, tpm.host)
    await once(probe, 'connect')
    await eventually('the probe is seen', () => (tpm.connections() > 1 ? true : undefined))
    assert.deepEqual([tpm.connections(), tpm.commands.length], [2, 1])
    probe.destroy()
    tpm.say(ANSWER)
    await answers[0]
    await eventually('the second is asked', () => (tpm.commands.length > 1 ? true : undefined))
    tpm.say(ANSWER)
    await answers[1]
  })

  const refused: Record<string, HostileAnswer> = {
    'nothing but a part of a header': ANSWER.subarray(0, 5),
    'a response that is cut short': ANSWER.subarray(0, -1),
    'a response with more than it announces': Buffer.concat([ANSWER, Buffer.of(0)]),
    'two responses': Buffer.concat([ANSWER, ANSWER]),
  }
  for (const [what, answer] of Object.entries(refused)) {
    it(`takes no response for one that is ${what}`, async (t) => {
      const device = openTpm(await hostileTpm(t, () => answer))
      await assert.rejects(device.send(COMMAND), { code: 'ZT-422-TPM' })
    })
  }

  for (const length of [0, 9, 4097, 0xffff_ffff]) {
    it(`does not wait for a response that says it has ${length} bytes`, async (t) => {
      const header = Buffer.from(ANSWER.subarray(0, 10))
      header.writeUInt32BE(length, 2)
      // The rest never comes, and the connection stays.
      const tpm = await hostileTpm(t, () => 'silence')
      const answer = openTpm(tpm).send(COMMAND)
      await eventually('it is asked', () => (tpm.commands.length > 0 ? true : undefined))
      tpm.say(header)
      await assert.rejects(answer, { code: 'ZT-422-TPM' })
    })
  }

  it('goes on with the next command after one that failed', async (t) => {
    const device = openTpm(await hostileTpm(t, (_, at) => (at === 0 ? 'end' : ANSWER)))
    const [first, second] = await Promise.allSettled([device.send(COMMAND), device.send(COMMAND)])
    assert.deepEqual([first.status, second.status], ['rejected', 'fulfilled'])
  })

  it('sends nothing after it was closed, and nothing over 4096 bytes', async (t) => {
    const tpm = await hostileTpm(t, () => ANSWER)
    const device = openTpm(tpm)
    await assert.rejects(device.send(new Uint8Array(4097)), { code: 'ZT-413-SIZE' })
    await device.close()
    await assert.rejects(device.send(COMMAND), { code: 'ZT-503-TPM', details: { reason: 'closed' } })
    assert.equal(tpm.commands.length, 0)
  })

  it('that is not there cannot be reached', async (t) => {
    const path = join(await tempDir(t), 'none')
    await assert.rejects(openTpm({ path }).send(COMMAND), { code: 'ZT-503-TPM' })
    await assert.rejects(openTpm({ host: '127.0.0.1', port: 1 }).send(COMMAND), { code: 'ZT-503-TPM' })
  })

  for (const host of ['192.0.2.1', 'localhost', '127.example.com', '::', '::ffff:127.0.0.1', ''])
    it(`is not looked for at ${JSON.stringify(host)}`, () => {
      assert.throws(() => openTpm({ host, port: 2321 }), { code: 'ZT-400-CONFIG' })
    })

  it('that is an ordinary file has no response', async (t) => {
    const path = join(await tempDir(t), 'file')
    await writeFile(path, '')
    const device = openTpm({ path })
    await assert.rejects(device.send(COMMAND), { code: 'ZT-422-TPM' })
    await device.close()
  })

  it('that gives back what it was sent has no response', async (t) => {
    const path = join(await tempDir(t), 'fifo')
    execFileSync('mkfifo', [path])
    const device = openTpm({ path })
    // A command says its own length as a response does; what it is a response to is for its reader to refuse.
    assert.deepEqual(Buffer.from(await device.send(COMMAND)), COMMAND)
    await device.close()
  })
})
