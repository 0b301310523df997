import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { LadderView } from '#shared/protocol/trust-ops.ts'
import { rootFingerprint } from '#shared/x509/bundle.ts'
import { NEW_KEY_LABEL } from '#test/support/ceremony.ts'
import { eventually } from '#test/support/eventually.ts'
import { needsSandbox } from '#test/support/keeper.ts'
import { needsNats } from '#test/support/nats.ts'
import { Load, RotatingMesh } from '#test/support/rotating-mesh.ts'

const TTL_S = 20
const PATIENCE_MS = 180_000

describe('the rotation of the root of a mesh under load', { skip: needsNats || needsSandbox }, () => {
  let mesh: RotatingMesh
  let load: Load
  let followed: ReturnType<RotatingMesh['ztctl']>
  let counting: string
  let next: string
  const table = (file: string): string => join(mesh.hub.table.dir, file)
  const ladder = (): Promise<LadderView> => mesh.json<LadderView>(['ladder', 'status'])
  const live = ({ usage }: LadderView, root: string): number =>
    usage.find(({ fingerprint }) => fingerprint === root)?.live ?? 0

  before(async () => {
    const config = { svidTtlS: TTL_S, hubSvidTtlS: TTL_S }
    mesh = await RotatingMesh.start({ config, refreshHint: TTL_S })
    await mesh.login('sleeper')
    for (const name of ['n1', 'n2', 'slept']) await mesh.addNode(name)
    await mesh.stopNode('slept')
    load = new Load(mesh)
    for (const node of ['n1', 'n2']) load.on(node)
    counting = (await mesh.out(['spawn', '-q', '-n', 'n1', '--', 'sh', '-c', COUNTING])).trim()
    followed = mesh.ztctl(['logs', '-f', counting])
  })
  after(async () => {
    await load?.end()
    await mesh?.end()
  })

  it('begins with a root beside the old one, in a bundle that the old one signs', async () => {
    const { table: ceremonies, root } = mesh.hub
    await ceremonies.run(await ceremonies.rotateFile())
    const bundle = await ceremonies.bundle('bundle-2.jws')
    next = bundle.roots.map(rootFingerprint).find((one) => one !== root) ?? ''
    assert.equal(bundle.roots.length, 2)
    const anchored = await mesh.out(['ceremony', 'anchor', table('rotate.transcript')])
    assert.match(anchored, /rotate-root ceremony \S+ is row mesh\.example\/log\/hub\/h1\/e1#\d+/)
  })

  it('issues nothing under the new root before everybody can have its bundle', async () => {
    await signNewLadder()
    await mesh.out(['bundle', 'import', table('bundle-2.jws')])
    const said = await mesh.refused(['ladder', 'import', table('ladder-2.json')], 'ZT-422-CEREMONY')
    assert.match(said, /check-publish/)
    assert.equal((await ladder()).rungs[0]?.root, mesh.hub.root)
  })

  it('goes on under the new root, at the hub and its broker at once', async () => {
    await eventually(
      'the new ladder to be taken',
      async () =>
        (await mesh.ztctl(['ladder', 'import', table('ladder-2.json')])).code === 0 ? true : undefined,
      PATIENCE_MS,
    )
    const view = await ladder()
    assert.equal(view.rungs[0]?.root, next)
    assert.ok(live(view, next) >= 2, 'the certificates of hub and broker are below it')
  })

  it('does not retire the old root while anything chains to it', async () => {
    const { table: ceremonies, root } = mesh.hub
    await mesh.out(['ladder', 'usage', table('early.jws')])
    assert.ok(live(await ladder(), root) > 0)
    const file = await ceremonies.retireFile(['early.jws'], { emergency: true, ...outputs('early') })
    await assert.rejects(ceremonies.run(file), { code: 'ZT-412-RETIRE', details: { reason: 'in-use' } })
  })

  it('retires it when nothing does, before its time only as an emergency', async () => {
    const { table: ceremonies, root } = mesh.hub
    const unused = async (): Promise<true | undefined> =>
      live(await ladder(), root) === 0 ? true : undefined
    await eventually('no SVID to chain to the old root', unused, PATIENCE_MS)
    await mesh.out(['ladder', 'usage', table('usage.jws')])
    const soon = await ceremonies.retireFile(['usage.jws'], outputs('soon'))
    await assert.rejects(ceremonies.run(soon), { code: 'ZT-412-RETIRE', details: { reason: 'too-early' } })
    await ceremonies.run(await ceremonies.retireFile(['usage.jws'], { emergency: true }))
    await mesh.out(['bundle', 'import', table('bundle-3.jws')])
    const { roots, signer } = await mesh.json<{ roots: { fingerprint: string }[]; signer: string }>([
      'bundle',
      'show',
    ])
    assert.deepEqual([roots.map(({ fingerprint }) => fingerprint), signer], [[next], next])
  })

  it('has refused or lost not one command, and not one line of what was followed', async () => {
    // Every node and every session has renewed under the new root alone by then.
    const enough = load.sent + 10
    const renewed = Date.now() + 2 * TTL_S * 1000
    const seen = (): true | undefined => (load.sent >= enough && Date.now() > renewed ? true : undefined)
    await eventually('commands to go on for two lives of an SVID', seen, PATIENCE_MS)
    await load.end()
    await mesh.out(['kill', '-s', 'TERM', counting])
    const { code, stdout, stderr } = await followed
    assert.deepEqual(load.failures, [])
    assert.ok(load.sent >= 20, `${load.sent} commands are not much of a load`)
    assert.equal(code, 0, stderr)
    const lines = stdout.trim().split('\n')
    assert.ok(lines.length > 100, `${lines.length} lines`)
    assert.deepEqual(
      lines,
      lines.map((_, at) => `line ${at + 1}`),
    )
  })

  it('lets a node come back that was down during all of it', async () => {
    await mesh.startNode('slept')
    assert.equal(await mesh.out(['run', '-n', 'slept', '--', 'echo', 'awake']), 'awake\n')
  })

  it('lets an operator come back whose session and pin are from before', async () => {
    assert.equal(await mesh.out(['run', '-n', 'n1', '--', 'echo', 'back'], 'sleeper'), 'back\n')
    await mesh.login('sleeper')
    assert.equal(await mesh.out(['run', '-n', 'n2', '--', 'echo', 'again'], 'sleeper'), 'again\n')
    const contexts = await mesh.login('another', next)
    assert.match(contexts, /logged in/)
  })

  it('leaves a hub that starts again with the old pin, and never trusts the old root again', async () => {
    await mesh.hub.restart()
    await eventually(
      'the hub to be back',
      async () => ((await mesh.ztctl(['ps', '-n', 'n1'])).code === 0 ? true : undefined),
      PATIENCE_MS,
    )
    for (const file of ['bundle.jws', 'bundle-2.jws'])
      await mesh.refused(['bundle', 'import', table(file)], 'ZT-401-BUNDLE')
    await mesh.addNode('n4')
  })

  async function signNewLadder(): Promise<void> {
    const { table: ceremonies } = mesh.hub
    const file = join(mesh.dir, 'request-2.json')
    const { sha256 } = await mesh.json<{ sha256: string }>(['ladder', 'request', file, '--fresh'])
    const root = await ceremonies.input('root-2.pem')
    const signed = { response: 'ladder-2.json', transcript: 'ladder-2.transcript' }
    const change = { root, keyLabel: NEW_KEY_LABEL, outputs: signed }
    await ceremonies.run(await ceremonies.ladderFile({ file, sha256 }, change))
  }
})

/** Of a retirement that is refused. */
const outputs = (name: string): object => ({
  outputs: { bundle: `${name}-bundle.jws`, transcript: `${name}.transcript` },
})

const COUNTING = `trap 'exit 0' TERM; n=0; while :; do n=$((n+1)); echo "line $n"; sleep 0.1; done`
