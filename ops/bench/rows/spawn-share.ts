// What trusting nobody costs a spawn on the node: from the sealed message to the moment in which the keeper is asked for
// the process. Every check, the program's hash by a real keeper, the transaction and its sync are in it; the sandbox is
// not. Beside it, the work that no such node can avoid: opening the seal, two signatures, and one synced write.
import { createPublicKey, sign, verify } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { COMMAND_TYP, openSealed } from '#shared/protocol/envelope.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { KeeperFixture, RUN_AS } from '#test/support/keeper.ts'
import { ReceivingNode, START_MS } from '#test/support/receiving-node.ts'
import { summarize, timeMs, type BenchRow } from '../measure.ts'

const WARM_UP = 200
const RUNS = 1000
const GOAL_MS = 2

/** Certificates of one moment, and durations of the real one. */
class BenchClock extends ManualClock {
  override monotonicNs(): bigint {
    return process.hrtime.bigint()
  }
}

export async function spawnShare(): Promise<BenchRow[]> {
  const endings: (() => Promise<void>)[] = []
  try {
    const node = await ReceivingNode.create(
      { after: (ending) => void endings.unshift(ending) },
      { clock: new BenchClock(START_MS) },
    )
    const keeper = await KeeperFixture.create()
    endings.unshift(() => keeper.end())
    // The program is opened and hashed for real; what would start it is a fake that lets go of it.
    node.keeper.prepare = (request) =>
      keeper.keeper.prepare({
        ...request,
        runAs: RUN_AS,
        workspace: { ...request.workspace, root: keeper.workspaceRoot },
      })
    const start = node.keeper.start.bind(node.keeper)
    node.keeper.start = async (request) => {
      void keeper.keeper.release(request.handle)
      return start(request)
    }
    const ours = await measure(node)
    const beside = await floor(node)
    return [
      {
        name: 'zero-trust share of a spawn, sandbox excluded',
        unit: 'ms',
        ours,
        beside: { ...beside, what: 'unseal, two P-256 verifications and one synced SQLite write, bare' },
        ratio: ours.median / beside.median,
        goal: `<= ${GOAL_MS} ms at the median (Celistra states 5 to 15 ms)`,
        met: ours.median <= GOAL_MS,
      },
    ]
  } finally {
    for (const ending of endings) await ending()
  }
}

async function measure(node: ReceivingNode): Promise<ReturnType<typeof summarize>> {
  for (let run = 0; run < WARM_UP + RUNS; run += 1) {
    const receipt = await node.send(node.spawn())
    if (receipt?.ok !== true) throw new Error('a spawn was refused')
  }
  return summarize(node.zeroTrustNs.slice(WARM_UP).map((ns) => Number(ns) / 1e6))
}

async function floor(node: ReceivingNode): Promise<ReturnType<typeof summarize>> {
  const { text } = node.message(node.spawn())
  const data = Buffer.alloc(2000, 7)
  const publicKey = createPublicKey(node.operator.key)
  const signature = sign('sha256', data, node.operator.key)
  const dir = mkdtempSync(join(tmpdir(), 'ztmesh-bench-'))
  const database = new DatabaseSync(join(dir, 'floor.db'))
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (b BLOB)')
  const insert = database.prepare('INSERT INTO t VALUES (?)')
  const times: number[] = []
  for (let run = -WARM_UP; run < RUNS; run += 1) {
    const ms = await timeMs(() => {
      openSealed(text, { typ: COMMAND_TYP, key: () => node.keys.privateKey })
      verify('sha256', data, publicKey, signature)
      verify('sha256', data, publicKey, signature)
      insert.run(data)
    })
    if (run >= 0) times.push(ms)
  }
  database.close()
  rmSync(dir, { recursive: true, force: true })
  return summarize(times)
}
