import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { parseNodeName } from '#shared/identity/names.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { generateNoteKey } from '#shared/log/note-key.ts'
import type { RowBody } from '#shared/log/row.ts'
import type { NodeInspection } from '#shared/protocol/node-inspection.ts'
import { signPcrPolicy, type PcrPolicy, type PcrSet } from '#shared/protocol/pcr-policy.ts'
import { rowsOf } from '#test/support/audit-rows.ts'
import { eventually } from '#test/support/eventually.ts'
import { operator } from '#test/support/hub-client.ts'
import { startTestHub, type TestHub } from '#test/support/hub.ts'
import { needsSandbox } from '#test/support/keeper.ts'
import { needsNats } from '#test/support/nats.ts'
import { command, FreshOperator, RealNode } from '#test/support/real-node.ts'
import { startSwtpm, type Swtpm } from '#test/support/swtpm.ts'
import { trusting } from '#test/support/tpm-machine.ts'
import { extendRegister } from '#test/support/tpm-registers.ts'

const SVID_TTL_S = 6

describe('a node whose TPM is judged by a PCR policy', { skip: needsNats || needsSandbox }, () => {
  const undo: (() => Promise<void>)[] = []
  const scope = { after: (action: () => Promise<void>) => void undo.unshift(action) }
  const { signer } = generateNoteKey('pcr.mesh.example')
  const mini = parseNodeName('mac-mini')
  let tpm: Swtpm
  let hub: TestHub
  let ann: FreshOperator
  let node: RealNode

  before(async () => {
    tpm = await startSwtpm(scope)
    const accepted = { ...trusting(tpm), policyKeys: [signer.vkey] }
    hub = await startTestHub({ config: { svidTtlS: SVID_TTL_S, tpm: accepted } })
    scope.after(() => hub.stop())
    ann = new FreshOperator(hub, 1500)
    scope.after(() => ann.close())
    const first = await operator(hub)
    const { host, port } = tpm.device
    node = await RealNode.create(hub, first, { name: mini, config: { tpm: { tcp: `${host}:${port}` } } })
    scope.after(() => node.end())
    await first.close()
  })
  after(async () => {
    for (const step of undo) await step()
  })

  const inspect = async (): Promise<NodeInspection> =>
    (await ann.client()).call('node.inspect', { node: mini })
  const apply = async (policy: Pick<PcrPolicy, 'version' | 'sets'>, by = signer): Promise<unknown> => {
    const td = 'mesh.example' as PcrPolicy['td']
    const note = signPcrPolicy({ v: 1, td, bank: 'sha256', indices: [4, 7], ...policy }, [by])
    return (await ann.client()).call('pcr-policy.apply', { note })
  }
  const measured = async (name: string): Promise<PcrSet> => {
    const pcrs = (await inspect()).tpm?.quote?.pcrs ?? {}
    return { name, nodes: [mini], values: { 4: pcrs['4'] ?? '', 7: pcrs['7'] ?? '' } }
  }
  const extend = (): Promise<void> => extendRegister(tpm.open(), 7, new Uint8Array(32).fill(7))
  const acceptedBy = (set: string, version: number): Promise<NodeInspection> =>
    eventually(
      `${set} of version ${version} accepts`,
      async () => {
        const found = await inspect()
        const { policy } = found.attestation ?? {}
        return policy?.set === set && policy.version === version && found.state === 'joined'
          ? found
          : undefined
      },
      40_000,
    )
  const drifted = (): Promise<NodeInspection> =>
    eventually('drift', async () => {
      const found = await inspect()
      return found.state === 'drifted' ? found : undefined
    })
  const list = {
    v: 1,
    op: 'process.list',
    node: parseSpiffeId('spiffe://mesh.example/node/mac-mini'),
    all: true,
  } as const
  const hubRows = (type: string): RowBody[] =>
    rowsOf(join(hub.stateDir, 'log.db')).filter((row) => row.type === type)
  let good: PcrSet
  let changed: PcrSet

  it('is renewed under a policy that names what it has measured, and each SVID says so', async () => {
    good = await measured('2026-11')
    await apply({ version: 1, sets: [good] })
    const { attestation } = await acceptedBy('2026-11', 1)
    const issued = rowsOf(join(hub.stateDir, 'log.db'))[attestation?.rows.issued ?? -1]
    assert.deepEqual(Object.assign({}, issued?.obj?.['pcr_policy']), {
      version: 1,
      set: '2026-11',
      digest: attestation?.policy?.digest,
    })
    assert.equal((await command(await ann.client(), list)).ok, true)
  })

  it('drifts when a register changes: no renewal, an alarm, a row, and it ends with its SVID', async () => {
    await extend()
    const { tpm: shown } = await drifted()
    const { nodes } = await (await ann.client()).call('node.list', {})
    assert.equal(nodes[0]?.state, 'drifted')
    const [row] = hubRows('node.drifted')
    assert.equal(row?.seq, shown?.drifted?.row)
    assert.deepEqual([row?.code, row?.obj?.['node']], ['ZT-403-PCR', 'mac-mini'])
    assert.notEqual(shown?.quote?.pcrs['7'], good.values['7'])
    assert.match(readFileSync(hub.logFile, 'utf8'), /has drifted from the PCR policy/)
    changed = await measured('2026-12')
    const ended = await eventually('the node has gone', async () =>
      command(await ann.client(), list, 1000).then(
        () => undefined,
        (error: { code: string }) => error.code,
      ),
    )
    assert.match(ended, /^ZT-50[34]/)
    assert.equal(hubRows('node.drifted').length, 1)
  })

  it('does not come back by a policy that was signed by somebody else, or is not newer', async () => {
    const stranger = generateNoteKey('pcr.mesh.example').signer
    await assert.rejects(apply({ version: 2, sets: [good, changed] }, stranger), {
      code: 'ZT-403-PCR-POLICY',
    })
    await assert.rejects(apply({ version: 1, sets: [good, changed] }), { code: 'ZT-409-PCR-POLICY' })
    assert.equal((await inspect()).state, 'drifted')
  })

  it('comes back when a policy accepts the old and the new values', async () => {
    await apply({ version: 2, sets: [{ ...good, notAfter: Date.now() + 3_600_000 }, changed] })
    await acceptedBy('2026-12', 2)
    await eventually('a command is taken', async () => {
      const receipt = await command(await ann.client(), list, 1000).catch(() => undefined)
      return receipt?.ok === true ? true : undefined
    })
  })

  it('goes on under the same policy after a restart of the agent and of the hub', async () => {
    await node.stop()
    await hub.restart()
    await node.start()
    const { policy } = await acceptedBy('2026-12', 2)
    assert.equal(policy?.version, 2)
  })

  it('drifts again when the old values, measured once more, are accepted no longer', async () => {
    await tpm.reset()
    await acceptedBy('2026-11', 2)
    await apply({ version: 3, sets: [changed] })
    await drifted()
    assert.deepEqual(
      (await inspect()).policy?.sets.map(({ name }) => name),
      ['2026-12'],
    )
  })

  it('is refused by a set whose time is over', async () => {
    const over = { ...good, name: 'over', notAfter: Date.now() - 1 }
    await apply({ version: 4, sets: [over, { ...good, name: 'again', notAfter: Date.now() + 3_600_000 }] })
    await acceptedBy('again', 4)
    await apply({ version: 5, sets: [over] })
    await drifted()
  })
})
