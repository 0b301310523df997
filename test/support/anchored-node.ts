// A mesh of one node whose history the hub holds heads of, and evidence that was saved before anybody laid hands on it.
import assert from 'node:assert/strict'
import { copyFileSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { loadLogKey } from '#node-agent/state/log-key.ts'
import { statePaths } from '#node-agent/state/state-dir.ts'
import { copyLog } from '#ops/demo/tamper.ts'
import { createNoteSigner, type NoteSigner } from '#shared/log/note.ts'
import { rowsOf } from './audit-rows.ts'
import { eventually } from './eventually.ts'
import { startTestMesh, type TestMesh } from './mesh.ts'

/** What `audit verify` came to. */
export interface Verdict {
  readonly exit: number
  readonly firstBad: { readonly seq: number; readonly code: string } | undefined
}

interface Report {
  readonly items: readonly { readonly log: string; readonly firstBad: Verdict['firstBad'] | null }[]
}

const NODE = 'n1'

export class AnchoredNode {
  readonly mesh: TestMesh
  /** of the row of a spawn, which a head in the hub covers */
  readonly seq: number
  /** how many rows the hub's newest head of this log covers, at least */
  readonly anchored: number
  #copies = 0

  private constructor(mesh: TestMesh, found: { readonly seq: number; readonly anchored: number }) {
    this.mesh = mesh
    this.seq = found.seq
    this.anchored = found.anchored
  }

  /** `early`: told when a first history is there, and the agent has ended in order. */
  static async start(early?: (mesh: TestMesh) => void): Promise<AnchoredNode> {
    const mesh = await startTestMesh({ nodes: [NODE], node: { anchor: { intervalS: 1 } } })
    try {
      if (early !== undefined) {
        await mesh.programs.kill(NODE, 'SIGTERM')
        early(mesh)
        await mesh.programs.startNode(NODE)
      }
      await mesh.out(['run', '-n', NODE, '--', 'true'])
      const file = mesh.auditFile(NODE)
      const spawn = rowsOf(file).findLast((row) => row.obj?.['op'] === 'process.spawn')
      const seq = spawn?.seq ?? assert.fail('nothing was spawned')
      const anchored = await eventually('the spawn to be anchored', () =>
        rowsOf(file)
          .filter((row) => row.type === 'anchor.confirmed')
          .map((row) => Number(row.obj?.['size']))
          .find((size) => size > seq + 1),
      )
      await mesh.out(['audit', 'verify', '--save', join(mesh.dir, 'evidence')])
      return new AnchoredNode(mesh, { seq, anchored })
    } catch (error) {
      await mesh.end()
      throw error
    }
  }

  get file(): string {
    return this.mesh.auditFile(NODE)
  }

  /** The key that signs the heads of the log, as it lies on the node's disk. */
  get key(): NoteSigner {
    const [first] = rowsOf(this.file)
    const key = loadLogKey(statePaths(join(this.mesh.programs.nodeDir(NODE), 'state')).logKey)
    if (first === undefined || key === undefined) throw new Error('the node has no log')
    return createNoteSigner(first.log, key)
  }

  /** Changes a copy of the log, and has it verified against the saved log of the hub, by somebody who asks nobody. */
  async verifyCopy(forge: (copy: string) => void): Promise<Verdict> {
    this.#copies += 1
    const copy = join(this.mesh.dir, `copy-${this.#copies}.db`)
    copyLog(this.file, copy)
    forge(copy)
    const hubLog = join(this.mesh.dir, 'evidence', 'hub.ztlog')
    return this.#verdict(['audit', 'verify', '--file', copy, '--hub-log', hubLog], copy)
  }

  /** Has the log of the running node verified as an operator does. */
  verify(): Promise<Verdict> {
    return this.#verdict(['audit', 'verify', '-n', NODE], NODE)
  }

  /**
   * Changes the log while the agent is down, and starts the agent. Answers the code with which it refuses to work with
   * that log, once it does; then the true log is put back, and the node has to work again.
   */
  async startOn(forge: (file: string) => void): Promise<string> {
    const { programs } = this.mesh
    const [kept, keptHead] = [join(this.mesh.dir, 'kept.db'), join(this.mesh.dir, 'kept.head')]
    await programs.kill(NODE, 'SIGTERM')
    copyFileSync(this.file, kept)
    copyFileSync(`${this.file}.head`, keptHead)
    forge(this.file)
    const from = this.#said().length
    programs.launchNode(NODE)
    try {
      const code = await eventually('the agent to refuse', () =>
        this.#said()
          .slice(from)
          .map((line) => line.error?.code)
          .find((found) => found?.startsWith('ZT-490')),
      )
      const answer = await this.mesh.ztctl(['ps', '-n', NODE, '--request-timeout', '1s'])
      assert.notEqual(answer.code, 0, 'the node takes commands')
      return code
    } finally {
      await programs.kill(NODE)
      for (const rest of ['-wal', '-shm']) rmSync(`${this.file}${rest}`, { force: true })
      copyFileSync(kept, this.file)
      copyFileSync(keptHead, `${this.file}.head`)
      await programs.startNode(NODE)
    }
  }

  end(): Promise<void> {
    return this.mesh.end()
  }

  /** The lines of the agent's log. */
  #said(): { readonly error?: { readonly code?: string } }[] {
    const text = readFileSync(join(this.mesh.dir, 'logs', `${NODE}.log`), 'utf8')
    const lines = text.split('\n').filter((line) => line.startsWith('{') && line.endsWith('}'))
    return lines.map((line) => JSON.parse(line) as { error?: { code?: string } })
  }

  async #verdict(args: readonly string[], log: string): Promise<Verdict> {
    const { code, stdout, stderr } = await this.mesh.ztctl([...args, '-o', 'json'])
    assert.ok(stdout.startsWith('{'), stderr)
    const { items } = JSON.parse(stdout) as Report
    const found = items.find((item) => item.log === log)?.firstBad ?? undefined
    return { exit: code, firstBad: found }
  }
}
