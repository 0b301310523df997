// The state folder of a hub whose keys its TPM seals, carried off whole with every file that lies around it: on another
// machine, with another TPM or with none, not one of its keys opens. And nobody makes such a hub fall back on a file.
import assert from 'node:assert/strict'
import { chmodSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it, type TestContext } from 'node:test'
import { parseConfig, type HubConfig } from '#hub/config.ts'
import { resealState } from '#hub/state/reseal.ts'
import { createState, openState } from '#hub/state/state.ts'
import { hubKeeper } from '#hub/state/keeper.ts'
import { openSealedKeyStore } from '#pki/keystore/sealed-file.ts'
import { createSealSecret } from '#pki/keystore/seal.ts'
import { systemClock } from '#shared/host/clock.ts'
import { startSwtpm, type Swtpm } from '#test/support/swtpm.ts'
import { tempDir } from '#test/support/temp-dir.ts'

type Tpm = Pick<Swtpm, 'device'>

const address = ({ device }: Tpm): string => `${device.host}:${device.port}`

function configIn(dir: string, seal?: unknown): HubConfig {
  return parseConfig(
    JSON.stringify({
      trustDomain: 'mesh.example',
      hub: 'h1',
      listen: { host: '127.0.0.1', port: 1 },
      dnsNames: [],
      stateDir: 'state',
      sealKeyFile: 'seal.key',
      bundleFile: 'bundle.jws',
      nats: { host: '127.0.0.1', port: 2, binary: 'nats-server' },
      loginDir: '/tmp/login',
      operators: [],
      ...(seal !== undefined && { seal }),
    }),
    dir,
  )
}

async function openAndClose(config: HubConfig): Promise<void> {
  const { store, log } = await openState(config, systemClock)
  await store.close()
  await log.close()
}

describe('the state of a hub whose keys a TPM seals', () => {
  let tpm: Tpm
  let other: Tpm
  const ends: (() => Promise<void>)[] = []
  const test = { after: (end: () => Promise<void>): void => void ends.push(end) }
  before(async () => {
    tpm = await startSwtpm(test)
    other = await startSwtpm(test)
  })
  after(async () => {
    for (const end of ends.toReversed()) await end()
  })

  /** A hub, and its ladder's keys, made with the TPM of its machine. */
  async function made(t: TestContext): Promise<string> {
    const dir = await tempDir(t)
    const config = configIn(dir, { tpm: address(tpm) })
    await createState(config, systemClock)
    const keys = await openSealedKeyStore({
      dir: join(config.stateDir, 'ladder-keys'),
      keeper: await hubKeeper(config),
    })
    await keys.generate({ label: 'rung', curve: 'P-256' })
    return dir
  }
  async function copied(t: TestContext): Promise<string> {
    const [from, to] = [await made(t), join(await tempDir(t), 'copy')]
    cpSync(from, to, { recursive: true })
    for (const folder of ['state', 'state/ladder-keys']) chmodSync(join(to, folder), 0o700)
    return to
  }
  const refused = { code: 'ZT-500-KEYSTORE' }

  it('opens on its own machine, with what the configuration says and with what it remembers', async (t) => {
    const dir = await made(t)
    await openAndClose(configIn(dir, { tpm: address(tpm) }))
    await openAndClose(configIn(dir))
    assert.throws(() => readFileSync(join(dir, 'seal.key')), 'no secret was left in a file')
  })

  it('does not open with the TPM of another machine', async (t) => {
    const dir = await copied(t)
    await assert.rejects(openAndClose(configIn(dir, { tpm: address(other) })), refused)
    const keeper = await hubKeeper(configIn(dir, { tpm: address(other) }))
    await assert.rejects(openSealedKeyStore({ dir: join(dir, 'state', 'ladder-keys'), keeper }), refused)
  })

  it('does not open without a TPM', async (t) => {
    const dir = await copied(t)
    const header = join(dir, 'state', 'seal.json')
    // Nobody listens there: the machine has none.
    const { place, ...rest } = JSON.parse(readFileSync(header, 'utf8')) as { place: object }
    writeFileSync(header, JSON.stringify({ ...rest, place: { ...place, device: '127.0.0.1:1' } }))
    await assert.rejects(openAndClose(configIn(dir)), refused)
  })

  it('does not open with a file, whatever configuration and header say', async (t) => {
    const dir = await copied(t)
    await createSealSecret(join(dir, 'seal.key'))
    await assert.rejects(openAndClose(configIn(dir, 'file')), { code: 'ZT-400-CONFIG' })
    const header = join(dir, 'state', 'seal.json')
    const held = JSON.parse(readFileSync(header, 'utf8')) as object
    writeFileSync(header, JSON.stringify({ ...held, place: { type: 'file' } }))
    await assert.rejects(openAndClose(configIn(dir, 'file')), refused)
    await assert.rejects(openAndClose(configIn(dir)), refused)
  })

  it('makes no key that a file would open, where a verb is run without saying how keys are sealed', async (t) => {
    const dir = await tempDir(t)
    await createState(configIn(dir, { tpm: address(tpm) }), systemClock)
    await createSealSecret(join(dir, 'seal.key'))
    const keys = join(dir, 'state', 'ladder-keys')
    await openSealedKeyStore({ dir: keys, keeper: await hubKeeper(configIn(dir)) })
    assert.equal(
      (JSON.parse(readFileSync(join(keys, 'seal.json'), 'utf8')) as { place: { type: string } }).place.type,
      'tpm',
    )
  })

  it('is sealed otherwise only by a word in the configuration, and then by that', async (t) => {
    const dir = await made(t)
    await assert.rejects(resealState(configIn(dir)), { code: 'ZT-400-CONFIG', message: /weaker/ })
    assert.deepEqual(await resealState(configIn(dir, 'file')), { from: 'tpm', to: 'file' })
    await openAndClose(configIn(dir, 'file'))
    assert.deepEqual(await resealState(configIn(dir, { tpm: address(other) })), { from: 'file', to: 'tpm' })
    await openAndClose(configIn(dir))
    const keeper = await hubKeeper(configIn(dir))
    await (await openSealedKeyStore({ dir: join(dir, 'state', 'ladder-keys'), keeper })).unseal('rung')
    await assert.rejects(openAndClose(configIn(dir, { tpm: address(tpm) })), refused)
    mkdirSync(join(dir, 'nothing'))
    await assert.rejects(resealState(configIn(join(dir, 'nothing'))), { code: 'ZT-400-CONFIG' })
  })
})
