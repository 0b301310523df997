// How long a revoked identity is still taken for somebody, by 100 nodes with connections of their own: from the moment in
// which the revocation is sent to the hub until each of them has refused, with its real checks, a message that it would
// have taken before. And when the revoked one's own connection to the broker ends.
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseNodeName } from '#shared/identity/names.ts'
import { nodeId, trustDomainOf } from '#shared/identity/spiffe-id.ts'
import { generateX25519 } from '#shared/jose/keys.ts'
import { parseJoinString } from '#shared/protocol/admission.ts'
import { openEncKey } from '#shared/protocol/enc-key.ts'
import { sealCommand } from '#shared/protocol/envelope.ts'
import { commandSubject, inboxPrefix } from '#shared/protocol/subjects.ts'
import { operator, type TestClient } from '#test/support/hub-client.ts'
import { spawnCommand } from '#test/support/hub-node.ts'
import { startTestHub, type TestHub } from '#test/support/hub.ts'
import type { Armed, DenyNodeOptions } from '../deny-node.ts'
import type { Order, Report } from '../deny-nodes.ts'
import { summarize, type BenchRow } from '../measure.ts'

const PROCESSES = 2
const GOAL_MS = 1000

export interface Extent {
  readonly nodes: number
  readonly warmUp: number
  readonly rounds: number
}

const EXTENT: Extent = { nodes: 100, warmUp: 2, rounds: 12 }

interface Fleet {
  readonly children: readonly ChildProcess[]
  readonly encKeys: ReadonlyMap<string, string>
}

async function ask<K extends Report['kind']>(
  child: ChildProcess,
  order: Order,
  kind: K,
): Promise<Extract<Report, { kind: K }>> {
  const heard = next(child, kind)
  child.send(order)
  return heard
}

async function next<K extends Report['kind']>(
  child: ChildProcess,
  kind: K,
): Promise<Extract<Report, { kind: K }>> {
  const ended = once(child, 'exit').then(() => {
    throw new Error('a process of nodes has ended')
  })
  for (;;) {
    const [report] = (await Promise.race([once(child, 'message'), ended])) as [Report]
    if (report.kind === kind) return report as Extract<Report, { kind: K }>
  }
}

async function invite(hub: TestHub, alice: TestClient, count: number): Promise<DenyNodeOptions[]> {
  const shared = {
    url: hub.url,
    hubId: hub.id,
    bundle: readFileSync(hub.bundleFile, 'utf8').trim(),
    root: hub.root,
    dir: hub.dir,
  }
  const nodes: DenyNodeOptions[] = []
  for (let i = 0; i < count; i += 1) {
    const name = `w${i}`
    const invited = await alice.call('node.join-token', { node: parseNodeName(name) })
    nodes.push({ ...shared, name, token: parseJoinString(invited.join).token })
  }
  return nodes
}

async function muster(children: readonly ChildProcess[], nodes: readonly DenyNodeOptions[]): Promise<Fleet> {
  const joined = await Promise.all(
    children.map((child, at) =>
      ask(child, { kind: 'join', nodes: nodes.filter((_, i) => i % PROCESSES === at) }, 'joined'),
    ),
  )
  return { children, encKeys: new Map(joined.flatMap(({ encKeys }) => Object.entries(encKeys))) }
}

/** For each node a message of this sender that it would take. */
async function messagesOf(sender: TestClient, { encKeys }: Fleet): Promise<ReadonlyMap<string, Armed>> {
  const { identity, trust } = sender
  const tok = sender.idToken()
  const replyTo = `${inboxPrefix(identity.id)}.bench`
  const replyKey = generateX25519().publicKey
  const messages = [...encKeys].map(async ([name, statement]): Promise<[string, Armed]> => {
    const node = parseNodeName(name)
    const owner = nodeId(trustDomainOf(identity.id), node)
    const now = Date.now()
    const to = openEncKey(statement, { trust, now, owner })
    const route = { identity, to, subject: commandSubject(node), reply: replyTo, replyKey, now }
    const { text } = await sealCommand(route, { cmd: spawnCommand(owner), tok })
    return [name, { text, replyTo }]
  })
  return new Map(await Promise.all(messages))
}

interface Round {
  /** milliseconds from the sending, node by node */
  readonly refused: readonly number[]
  readonly answered: number
  readonly closed: number
}

async function revoke(sender: TestClient, fleet: Fleet, alice: TestClient): Promise<Round> {
  const messages = await messagesOf(sender, fleet)
  const names = [...messages.keys()]
  const refusals = await Promise.all(
    fleet.children.map(async (child, at) => {
      const own = names.filter((name) => Number(name.slice(1)) % PROCESSES === at)
      const order = {
        kind: 'arm',
        messages: Object.fromEntries(own.map((name) => [name, messages.get(name)])),
      }
      await ask(child, order as Order, 'armed')
      return { heard: next(child, 'refused') }
    }),
  )
  const closed = new Promise<bigint>((resolve) => {
    sender.channel.onStatus(({ kind }) => {
      if (kind === 'disconnected') resolve(process.hrtime.bigint())
    })
  })
  const from = process.hrtime.bigint()
  const since = (ns: bigint): number => Number(ns - from) / 1e6
  await alice.call('revoke', { thumbprint: sender.identity.thumbprint, reason: 'bench' })
  const answered = since(process.hrtime.bigint())
  const reports = await Promise.all(refusals.map(({ heard }) => heard))
  const refused = reports.flatMap(({ atNs }) => atNs.map((ns) => since(BigInt(ns))))
  return { refused, answered, closed: since(await closed) }
}

const worst = (values: readonly number[]): string => {
  const sorted = values.toSorted((a, b) => a - b)
  const p99 = sorted[Math.min(sorted.length - 1, Math.floor(0.99 * sorted.length))] ?? Number.NaN
  return `p99 ${p99.toFixed(0)} ms, max ${(sorted.at(-1) ?? Number.NaN).toFixed(0)} ms`
}

function rowsOf(rounds: readonly Round[], nodes: number): BenchRow[] {
  const answered = summarize(rounds.map((round) => round.answered))
  const row = (name: string, values: readonly number[]): BenchRow => {
    const ours = summarize(values)
    return {
      name,
      unit: 'ms',
      ours,
      beside: { ...answered, what: 'the answer to the operator who revokes' },
      ratio: ours.median / answered.median,
      goal: `< ${GOAL_MS} ms p99 (SPIRE states 5 to 60 s): ${worst(values)}`,
      met: Math.max(...values) < GOAL_MS,
    }
  }
  return [
    row(
      `revoke, until each of ${nodes} nodes refuses`,
      rounds.flatMap(({ refused }) => refused),
    ),
    row(
      `revoke, until the last of ${nodes} nodes refuses`,
      rounds.map(({ refused }) => Math.max(...refused)),
    ),
    row(
      'revoke, until the connection of the revoked one is closed',
      rounds.map(({ closed }) => closed),
    ),
  ]
}

/** One that was ended by an error has no channel any more. */
async function end(child: ChildProcess): Promise<void> {
  if (!child.connected) return
  const exited = once(child, 'exit')
  child.send({ kind: 'end' } satisfies Order)
  await exited
}

export async function revocation({ nodes, warmUp, rounds }: Extent = EXTENT): Promise<BenchRow[]> {
  const hub = await startTestHub()
  const children: ChildProcess[] = []
  let alice: TestClient | undefined
  try {
    alice = await operator(hub)
    const program = join(import.meta.dirname, '..', 'deny-nodes.ts')
    for (let i = 0; i < PROCESSES; i += 1) children.push(fork(program))
    const fleet = await muster(children, await invite(hub, alice, nodes))
    const measured: Round[] = []
    for (let turn = -warmUp; turn < rounds; turn += 1) {
      // The same operator at another place: that session's certificate is revoked, and no other.
      const sender = await operator(hub)
      const round = await revoke(sender, fleet, alice)
      await sender.close()
      if (turn >= 0) measured.push(round)
    }
    return rowsOf(measured, nodes)
  } finally {
    await Promise.all(children.map(end))
    await alice?.close()
    await hub.stop()
  }
}
