import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { canonicalJson } from '#shared/encoding/canonical-json.ts'
import { systemClock } from '#shared/host/clock.ts'
import type { BundleView, LadderView } from '#shared/protocol/trust-ops.ts'
import { NEW_KEY_LABEL } from '#test/support/ceremony.ts'
import { eventually } from '#test/support/eventually.ts'
import { needsSandbox } from '#test/support/keeper.ts'
import { needsNats } from '#test/support/nats.ts'
import { RotatingMesh } from '#test/support/rotating-mesh.ts'

const TTL_S = 20
const DAY = 86_400_000
const PATIENCE_MS = 120_000

describe('the rotation of a root that waits its seven days', { skip: needsNats || needsSandbox }, () => {
  let mesh: RotatingMesh
  /** how far the clock of the ceremonies' machine is behind */
  let behindMs = 8 * DAY
  const table = (file: string): string => join(mesh.hub.table.dir, file)
  const ladder = (): Promise<LadderView> => mesh.json<LadderView>(['ladder', 'status'])

  before(async () => {
    mesh = await RotatingMesh.start({
      config: { svidTtlS: TTL_S, hubSvidTtlS: TTL_S },
      ceremonyClock: { ...systemClock, now: () => systemClock.now() - behindMs },
      beforeLadder: async (ceremonies) => {
        await ceremonies.run(await ceremonies.rotateFile())
        behindMs = 0
      },
    })
    await mesh.addNode('n1')
  })
  after(() => mesh?.end())

  it('has the bundle with both roots in force, and issues under the new one', async () => {
    await mesh.out(['bundle', 'import', table('bundle-2.jws')])
    await age(6 * DAY)
    await signNewLadder()
    await mesh.out(['ladder', 'import', table('ladder-2.json')])
    const unused = async (): Promise<true | undefined> =>
      (await ladder()).usage.find(({ fingerprint }) => fingerprint === mesh.hub.root)?.live === 0
        ? true
        : undefined
    await eventually('no SVID to chain to the old root', unused, PATIENCE_MS)
  })

  it('is not over on the sixth day, though its ceremony was a week ago', async () => {
    await assert.rejects(retire('sixth'), { code: 'ZT-412-RETIRE', details: { reason: 'too-early' } })
  })

  it('ends on the eighth by the officers that any ceremony needs', async () => {
    await age(2 * DAY)
    await retire('eighth')
    await mesh.out(['bundle', 'import', table('eighth.jws')])
    const { roots, signer } = await mesh.json<BundleView>(['bundle', 'show'])
    assert.deepEqual(
      roots.map(({ fingerprint }) => fingerprint),
      [signer],
    )
    assert.notEqual(signer, mesh.hub.root)
    assert.equal(await mesh.out(['run', '-n', 'n1', '--', 'echo', 'followed']), 'followed\n')
  })

  /** The hub wakes up as if it had taken its bundles that much earlier. */
  async function age(byMs: number): Promise<void> {
    await mesh.hub.kill('SIGTERM')
    const dir = join(mesh.hub.stateDir, 'bundles')
    for (const name of readdirSync(dir)) {
      const kept = JSON.parse(readFileSync(join(dir, name), 'utf8')) as { imported: number }
      writeFileSync(join(dir, name), canonicalJson({ ...kept, imported: kept.imported - byMs }))
    }
    await mesh.hub.start()
    const back = async (): Promise<true | undefined> =>
      (await mesh.ztctl(['ps', '-n', 'n1'])).code === 0 ? true : undefined
    await eventually('the hub and its node to be back', back, PATIENCE_MS)
  }

  async function signNewLadder(): Promise<void> {
    const { table: ceremonies } = mesh.hub
    const file = join(mesh.dir, 'request-2.json')
    const { sha256 } = await mesh.json<{ sha256: string }>(['ladder', 'request', file, '--fresh'])
    const root = await ceremonies.input('root-2.pem')
    const outputs = { response: 'ladder-2.json', transcript: 'ladder-2.transcript' }
    const change = { root, keyLabel: NEW_KEY_LABEL, outputs }
    await ceremonies.run(await ceremonies.ladderFile({ file, sha256 }, change))
  }

  async function retire(name: string): Promise<void> {
    const { table: ceremonies } = mesh.hub
    await mesh.out(['ladder', 'usage', table(`${name}-usage.jws`)])
    const outputs = { bundle: `${name}.jws`, transcript: `${name}.transcript` }
    await ceremonies.run(await ceremonies.retireFile([`${name}-usage.jws`], { outputs }))
  }
})
