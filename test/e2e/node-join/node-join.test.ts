import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { NodeAgent } from '#node-agent/agent.ts'
import { parseNodeConfig, type NodeConfig } from '#node-agent/config.ts'
import { connectKeeper } from '#node-agent/keeper/client.ts'
import { join } from '#node-agent/join.ts'
import type { Membership } from '#node-agent/state/membership.ts'
import { systemClock } from '#shared/host/clock.ts'
import { silentLogger } from '#shared/host/logger.ts'
import { parseNodeName } from '#shared/identity/names.ts'
import { parseJoinString, type JoinTicket } from '#shared/protocol/admission.ts'
import { operator, type TestClient } from '#test/support/hub-client.ts'
import { startTestHub, type TestHub } from '#test/support/hub.ts'
import { KEEPER_COMMAND } from '#test/support/keeper.ts'
import { needsNats } from '#test/support/nats.ts'

/** Removed when all keepers have ended. */
const dirs: string[] = []

async function configOf(name: string): Promise<NodeConfig> {
  const dir = await mkdtemp(joinPath(tmpdir(), 'ztmesh-node-'))
  dirs.push(dir)
  const fields = { name, stateDir: joinPath(dir, 'state'), workspaceRoot: joinPath(dir, 'work') }
  return parseNodeConfig(Buffer.from(JSON.stringify(fields)))
}

const joinWith = (config: NodeConfig, ticket: JoinTicket): Promise<Membership> =>
  join(config, ticket, systemClock)

/** Ends the keeper that an agent leaves behind. */
async function endKeeper({ stateDir }: NodeConfig): Promise<void> {
  const keeper = await connectKeeper({ stateDir, command: KEEPER_COMMAND, clock: systemClock })
  await keeper.shutdown()
}

const start = (config: NodeConfig): Promise<NodeAgent> =>
  NodeAgent.start({ config, clock: systemClock, logger: silentLogger, keeperCommand: KEEPER_COMMAND })

describe('joining', { skip: needsNats }, () => {
  let hub: TestHub
  let ann: TestClient

  before(async () => {
    hub = await startTestHub()
    ann = await operator(hub)
  })
  after(async () => {
    await ann?.close()
    await hub?.stop()
    for (const dir of dirs) await rm(dir, { recursive: true, force: true })
  })

  const ticketFor = async (name: string): Promise<JoinTicket> =>
    parseJoinString((await ann.call('node.join-token', { node: parseNodeName(name) })).join)

  it('makes the node of that name, and keeps nothing of the join string', async () => {
    const config = await configOf('n1')
    const ticket = await ticketFor('n1')
    const membership = await joinWith(config, ticket)
    assert.equal(membership.id, `spiffe://${hub.trustDomain}/node/n1`)
    for (const file of await readdir(config.stateDir)) {
      const bytes = await readFile(joinPath(config.stateDir, file))
      assert.ok(!bytes.includes(ticket.token), file)
    }
  })

  it('is refused for a node of another name, before anybody is asked', async () => {
    const config = await configOf('n3')
    await assert.rejects(joinWith(config, await ticketFor('n2')), { code: 'ZT-403-JOIN' })
  })

  it('is refused by a node whose hub shows another root than the pinned one', async () => {
    const config = await configOf('n4')
    const ticket = { ...(await ticketFor('n4')), root: '0'.repeat(64) }
    await assert.rejects(joinWith(config, ticket), { code: 'ZT-401-BUNDLE' })
  })

  it('is refused by a node whose hub is another one of the same mesh', async () => {
    const config = await configOf('n5')
    const ticket = await ticketFor('n5')
    const hubId = ticket.hubId.replace('/hub/h1', '/hub/h2') as typeof ticket.hubId
    await assert.rejects(joinWith(config, { ...ticket, hubId }), { code: 'ZT-401-CERT' })
  })

  it('can be repeated on the same machine when its success was not heard', async () => {
    const config = await configOf('n6')
    const ticket = await ticketFor('n6')
    const first = await joinWith(config, ticket)
    await rm(joinPath(config.stateDir, 'membership.json'))
    const second = await joinWith(config, ticket)
    assert.equal(second.logOrigin, first.logOrigin)
  })

  it('cannot be repeated on another machine', async () => {
    const ticket = await ticketFor('n7')
    await joinWith(await configOf('n7'), ticket)
    await assert.rejects(joinWith(await configOf('n7'), ticket), { code: 'ZT-409-JOIN-SPENT' })
  })

  it('is refused on a machine that has joined', async () => {
    const config = await configOf('n8')
    const ticket = await ticketFor('n8')
    await joinWith(config, ticket)
    await assert.rejects(joinWith(config, ticket), { code: 'ZT-409-EXISTS' })
  })

  describe('a node', () => {
    it('does not run before it has joined', async () => {
      const config = await configOf('n9')
      await mkdir(config.stateDir, { mode: 0o700 })
      await assert.rejects(start(config), { code: 'ZT-400-CONFIG' })
    })

    it('does not run without its log', async () => {
      const config = await configOf('n10')
      await joinWith(config, await ticketFor('n10'))
      for (const file of await readdir(config.stateDir)) {
        if (file.startsWith('audit.db')) await rm(joinPath(config.stateDir, file))
      }
      await assert.rejects(start(config), { code: 'ZT-503-AUDIT' })
    })

    it('does not run with the keys of another log', async () => {
      const config = await configOf('n11')
      await joinWith(config, await ticketFor('n11'))
      const other = await configOf('n12')
      await joinWith(other, await ticketFor('n12'))
      const key = await readFile(joinPath(other.stateDir, 'log.key'))
      await writeFile(joinPath(config.stateDir, 'log.key'), key)
      await assert.rejects(start(config), { code: 'ZT-490-SIGNATURE' })
    })

    it('runs once', async (test) => {
      const config = await configOf('n13')
      const ticket = await ticketFor('n13')
      await joinWith(config, ticket)
      const agent = await start(config)
      test.after(async () => {
        await agent.close()
        await endKeeper(config)
      })
      await assert.rejects(start(config), { code: 'ZT-409-EXISTS' })
      await assert.rejects(joinWith(config, ticket), { code: 'ZT-409-EXISTS' })
      await agent.close()
      await (await start(config)).close()
    })
  })
})
