// The ladder in a hub over days, on a clock that the test moves: no request is refused at a step, the end is announced
// early, and a root is issued under only when everybody can know it.
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { InfraIdentity } from '#hub/identity/infra-identity.ts'
import { Rungs } from '#hub/identity/rungs.ts'
import { Trust } from '#hub/identity/trust.ts'
import { issueSvid } from '#pki/issuance/issue.ts'
import { fileKeeper } from '#pki/keystore/seal-keeper.ts'
import { createSealSecret } from '#pki/keystore/seal.ts'
import { silentLogger, type Logger } from '#shared/host/logger.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { generateP256 } from '#shared/jose/keys.ts'
import { rootFingerprint } from '#shared/x509/bundle.ts'
import { createCsr, verifyCsr } from '#shared/x509/csr.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { RowLog } from '#test/fakes/row-log.ts'
import { CeremonyTable, NEW_KEY_LABEL, TRUST_DOMAIN } from '#test/support/ceremony.ts'
import { tempDir } from '#test/support/temp-dir.ts'

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE
const START = Date.UTC(2026, 10, 22)
const PUBLISH_MS = 5 * MINUTE
const id = (path: string): ReturnType<typeof parseSpiffeId> =>
  parseSpiffeId(`spiffe://${TRUST_DOMAIN}${path}`)

interface Scene {
  readonly clock: ManualClock
  readonly table: CeremonyTable
  readonly trust: Trust
  readonly rungs: Rungs
  readonly rows: RowLog
  readonly warned: string[]
}

async function scene(t: TestContext): Promise<Scene> {
  const dir = await tempDir(t)
  const clock = new ManualClock(START)
  const table = await CeremonyTable.lay(dir, { clock })
  await table.run(table.rootFile())
  const [stateDir, secret] = [join(dir, 'hub'), join(dir, 'hub-secret')]
  mkdirSync(stateDir, { mode: 0o700 })
  await createSealSecret(secret)
  const [first] = (await table.bundle()).roots
  const root = first === undefined ? '' : rootFingerprint(first)
  const trust = await Trust.open({ stateDir, file: join(dir, 'bundle.jws'), root, clock })
  const rows = new RowLog()
  await trust.refresh(rows)
  const warned: string[] = []
  const log: Logger = { ...silentLogger, warn: (message) => void warned.push(message) }
  const place = { stateDir, keeper: fileKeeper(secret), hub: id('/hub/h1') }
  const rungs = await Rungs.open({ place, trust, svidTtlMs: PUBLISH_MS, clock, log })
  return { clock, table, trust, rungs, rows, warned }
}

let ladders = 0
async function climb({ table, rungs }: Scene, count: number, change: object = {}): Promise<void> {
  await rungs.import(await signed({ table, rungs }, count, change), () => Promise.resolve())
}

async function signed(
  { table, rungs }: Pick<Scene, 'table' | 'rungs'>,
  count: number,
  change: object = {},
): Promise<Uint8Array> {
  ladders += 1
  const { content, sha256 } = await rungs.request({ count, fresh: true })
  const file = join(table.dir, `request-${ladders}-of-hub.json`)
  await writeFile(file, content)
  const outputs = { response: `ladder-${ladders}.json`, transcript: `ladder-${ladders}.transcript` }
  await table.run(await table.ladderFile({ file, sha256 }, { outputs, ...change }))
  return table.read(outputs.response)
}

const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 12; turn += 1) await new Promise((resolve) => setImmediate(resolve))
}

describe('the rungs of a hub', () => {
  it('step without a pause: nothing is refused over three days, to nobody, nor to hub and broker', async (t) => {
    const made = await scene(t)
    const { clock, rungs, trust, rows } = made
    await climb(made, 4)
    const csr = verifyCsr(createCsr(generateP256()))
    const infra = {
      dnsNames: ['localhost'],
      issuer: () => rungs.infra(),
      clock,
      rows: new RowLog(),
      svids: { record: () => Promise.resolve() },
      log: {
        ...silentLogger,
        error: (message: string, fields: unknown) => assert.fail(`${message} ${String(fields)}`),
      },
    }
    const hub = await InfraIdentity.open({ ...infra, id: id('/hub/h1'), ttlMs: 5 * MINUTE })
    const broker = await InfraIdentity.open({ ...infra, id: id('/nats/h1'), ttlMs: 12 * 60 * MINUTE })
    for (const identity of [hub, broker]) identity.start(() => Promise.resolve())
    const steps = new Set<number | undefined>()
    let issued = 0
    for (const end = clock.now() + 3 * DAY; clock.now() < end; issued += 1) {
      const now = clock.now()
      const svid = issueSvid({ issuer: rungs.workload(), csr, id: id('/node/n1'), ttlMs: 5 * MINUTE, now })
      assert.equal(trust.validator.validate(svid.chain, svid.notAfter).id, id('/node/n1'))
      for (const identity of [hub, broker]) trust.validator.validate(identity.current().chain, now)
      steps.add(rungs.status().current)
      await rungs.tell(rows)
      clock.advance(MINUTE)
      await settle()
    }
    hub.close()
    broker.close()
    assert.deepEqual([...steps], [0, 1, 2])
    assert.equal(issued, 3 * 24 * 60)
    assert.equal(rows.types.filter((type) => type === 'ladder.stepped').length, 3)
  })

  it('raise an alarm below three, in a row, in the log and in their status; at the last they stop', async (t) => {
    const made = await scene(t)
    const { clock, rungs, rows, warned } = made
    await climb(made, 4)
    const seen: [number, boolean, number][] = []
    for (let day = 0; day < 5; day += 1) {
      await rungs.tell(rows)
      const { remaining, alarm } = rungs.status()
      seen.push([remaining, alarm, warned.length])
      clock.advance(DAY)
    }
    assert.deepEqual(seen, [
      [4, false, 0],
      [3, false, 0],
      [2, true, 1],
      [1, true, 2],
      [0, true, 3],
    ])
    assert.equal(rows.types.filter((type) => type === 'ladder.alarm').length, 3)
    assert.equal(rows.rows.filter(({ type }) => type === 'ladder.stepped').at(-1)?.out, 'error')
    for (const issuer of [() => rungs.workload(), () => rungs.infra()])
      assert.throws(issuer, { code: 'ZT-503-LADDER' })
  })

  it('under two roots stand side by side; the later ladder issues, once everybody can have its root', async (t) => {
    const made = await scene(t)
    const { clock, table, trust, rungs, rows } = made
    await climb(made, 4)
    const old = rungs.workload().root
    await table.run(await table.rotateFile())
    await trust.import(await table.text('bundle-2.jws').then((text) => text.trim()), rows)
    const under = { root: await table.input('root-2.pem'), keyLabel: NEW_KEY_LABEL }
    const response = await signed(made, 2, under)
    const announced: string[] = []
    const announce = async ({ root }: { readonly root: string }): Promise<void> => void announced.push(root)
    await assert.rejects(rungs.import(response, announce), {
      code: 'ZT-422-CEREMONY',
      details: { check: 'check-publish', wait_s: PUBLISH_MS / 1000 },
    })
    assert.deepEqual([announced, rungs.workload().root], [[], old])
    clock.advance(PUBLISH_MS)
    await rungs.import(response, announce)
    const next = rungs.workload().root
    assert.notEqual(next, old)
    assert.deepEqual(announced, [next])
    // Where the new ladder ends first, the old one goes on: nothing is refused before the old root is retired.
    clock.advance(2 * DAY)
    assert.equal(rungs.workload().root, old)
  })

  it('under the root in use are taken at once, and what is not signed by a trusted root never', async (t) => {
    const made = await scene(t)
    const { rungs } = made
    await climb(made, 3)
    await climb(made, 3)
    const other = await scene(t)
    const foreign = await signed(other, 3)
    await assert.rejects(
      rungs.import(foreign, () => assert.fail('it was announced')),
      { code: 'ZT-422-CEREMONY' },
    )
  })
})
