// A ceremony on a machine that has a network, also where the process alone is cut off: refused before anything is read.
import assert from 'node:assert/strict'
import { readdir, writeFile } from 'node:fs/promises'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { it, type TestContext } from 'node:test'
import { thisMachine, type Surroundings } from '#pki/ceremony/surroundings.ts'
import { OFFLINE, type CeremonyTable } from '#test/support/ceremony.ts'
import { ceremonyProgram, type Network } from '#test/support/ceremony-program.ts'
import { approvedBy, ceremonyScene } from '#test/support/ceremony-scene.ts'
import { systemClock } from '#shared/host/clock.ts'
import { verifyTranscript } from '#shared/protocol/ceremony-transcript.ts'

const REAL = { demo: false, keyLabel: 'root-2026' }

/** Writes a root ceremony of now, approved, and runs the real program on it without a terminal. */
async function program(
  t: TestContext,
  network: Network,
  change: object = {},
): Promise<{ table: CeremonyTable; stderr: string }> {
  const { table, clock } = await ceremonyScene(t)
  clock.advance(systemClock.now() - clock.now())
  const content = table.rootFile(change)
  const file = join(table.dir, 'root.json')
  await writeFile(file, JSON.stringify(content))
  const flags = ['--local', table.local, '--answers', join(table.dir, 'answers.json')]
  await writeFile(join(table.dir, 'answers.json'), JSON.stringify({ v: 1, answers: [] }))
  for (const [at, note] of approvedBy(content, table.officers.slice(0, 2), clock.now()).entries()) {
    await writeFile(join(table.dir, `${at}.approval`), note)
    flags.push('--approval', join(table.dir, `${at}.approval`))
  }
  const { stderr } = await ceremonyProgram(['run', file, ...flags], network)
  return { table, stderr }
}

const up = (process: readonly string[], machine: readonly string[]): Surroundings => ({
  ...OFFLINE,
  online: async () => ({ process, machine }),
})

it('this machine tells its interfaces as the kernel does', async () => {
  const known = Object.entries(networkInterfaces())
    .filter(([, addresses]) => addresses?.some(({ internal }) => !internal) === true)
    .map(([name]) => name)
  const { process, machine } = await thisMachine.online()
  for (const name of known) assert.ok(process.includes(name) && machine.includes(name), name)
})

it('no ceremony is held where an interface is up, a demonstration neither', async (t) => {
  const { table } = await ceremonyScene(t)
  const refusal = { code: 'ZT-412-ONLINE', details: { interfaces: 'eth0 wlan0' } }
  const surroundings = up(['eth0', 'wlan0'], ['eth0'])
  await assert.rejects(table.run(table.rootFile(), { surroundings }), refusal)
  assert.ok(!(await readdir(table.dir)).some((name) => /root-keys|transcript/.test(name)))
})

it('a namespace of its own makes no online machine into an offline one', async (t) => {
  const { table } = await ceremonyScene(t)
  const file = table.rootFile({ ...REAL, tool: await OFFLINE.tool() })
  const surroundings = up([], ['eth0'])
  await assert.rejects(table.run(file, { surroundings }), { code: 'ZT-412-ONLINE' })
  await table.run(table.rootFile(), { surroundings })
})

it('a machine that cannot be looked at counts as online', async (t) => {
  const { table } = await ceremonyScene(t)
  const online = (): Promise<never> => Promise.reject(new Error('no /proc'))
  await assert.rejects(table.run(table.rootFile(), { surroundings: { ...OFFLINE, online } }), {
    code: 'ZT-412-ONLINE',
  })
})

/** A machine that somebody plugs in when it has been looked at `times`. */
const pluggedInAfter = (times: number): Surroundings => {
  let looked = 0
  const online = async (): ReturnType<Surroundings['online']> => {
    looked += 1
    return looked > times ? { process: ['eth0'], machine: ['eth0'] } : { process: [], machine: [] }
  }
  return { ...OFFLINE, online }
}

it('a cable that is plugged in while people read aloud is seen, and nothing is made', async (t) => {
  const { table } = await ceremonyScene(t)
  const surroundings = pluggedInAfter(1)
  await assert.rejects(table.run(table.rootFile(), { surroundings }), { code: 'ZT-412-ONLINE' })
  assert.ok(!(await readdir(table.dir)).some((name) => /root-keys|transcript/.test(name)))
})

it('a cable that is plugged in just before the key is used is seen, and the key is not', async (t) => {
  const { table } = await ceremonyScene(t)
  const surroundings = pluggedInAfter(2)
  await assert.rejects(table.run(table.rootFile(), { surroundings }), { code: 'ZT-412-ONLINE' })
  const lines = verifyTranscript(await table.text('root.transcript'))
  assert.ok(!lines.some(({ step }) => step === 'opened key store'))
  const left = 'nothing was made, signed or written'
  assert.deepEqual(lines.at(-1)?.facts, { code: 'ZT-412-ONLINE', left })
  assert.ok(!(await readdir(table.dir)).includes('root-keys'))
})

it('the program itself refuses here, and goes on where there is no network', async (t) => {
  const { machine } = await thisMachine.online()
  if (machine.length > 0) {
    const online = await program(t, 'here')
    assert.match(online.stderr, /error: ZT-412-ONLINE this machine has network interfaces that are up: \w+/)
    const real = await program(t, 'namespace', { ...REAL, tool: await thisMachine.tool() })
    assert.match(real.stderr, /error: ZT-412-ONLINE /)
  }
  // Offline it comes as far as the answers, which are none.
  const offline = await program(t, 'namespace')
  assert.match(offline.stderr, /error: ZT-403-UNCONFIRMED the answers file answers \[\]/)
  assert.deepEqual(
    (await readdir(offline.table.dir)).filter((name) => /root-keys|transcript/.test(name)),
    [],
  )
})
