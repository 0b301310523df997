import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { describe, it } from 'node:test'
import { systemClock } from '#shared/host/clock.ts'
import { silentLogger } from '#shared/host/logger.ts'
import { KEEPER_PROTOCOL, parseCall, type KeeperFault } from '#node-agent/keeper/protocol.ts'
import { keeperSocket } from '#node-agent/keeper/record.ts'
import { KeeperLink } from '#node-agent/processes/keeper-link.ts'
import { randomProc } from '#test/support/keeper.ts'
import { eventually } from '#test/support/nats.ts'
import { tempDir } from '#test/support/temp-dir.ts'

type Reply = { readonly value: unknown } | { readonly error: KeeperFault } | 'hang up'

/** A keeper's socket, with a test behind it. */
class ScriptedKeeper {
  readonly stateDir: string
  connections = 0
  reply: (op: string) => Reply = () => ({ value: [] })
  readonly #server: Server
  #socket: Socket | undefined

  private constructor(stateDir: string) {
    this.stateDir = stateDir
    this.#server = createServer((socket) => this.#greet(socket))
  }

  static async open(test: { after(action: () => Promise<void>): void }): Promise<ScriptedKeeper> {
    const keeper = new ScriptedKeeper(await tempDir(test))
    const path = keeperSocket(keeper.stateDir)
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await new Promise<void>((resolve) => keeper.#server.listen(path, resolve))
    test.after(async () => {
      keeper.hangUp()
      keeper.#server.close()
    })
    return keeper
  }

  hangUp(): void {
    this.#socket?.destroy()
  }

  #greet(socket: Socket): void {
    this.connections += 1
    this.#socket = socket
    socket.write(`${JSON.stringify({ type: 'hello', v: KEEPER_PROTOCOL, pid: 7, boot: 'b' })}\n`)
    socket.on('data', (data) => {
      for (const line of data.toString().trim().split('\n')) this.#answer(socket, JSON.parse(line))
    })
  }

  #answer(socket: Socket, line: unknown): void {
    const { id, request } = parseCall(line)
    const reply = this.reply(request.op)
    if (reply === 'hang up') socket.destroy()
    else {
      const message = 'value' in reply ? { type: 'result', id, ...reply } : { type: 'fault', id, ...reply }
      socket.write(`${JSON.stringify(message)}\n`)
    }
  }
}

async function connect(keeper: ScriptedKeeper, test: { after(action: () => void): void }) {
  let reconnected = 0
  const link = await KeeperLink.connect({
    stateDir: keeper.stateDir,
    command: [process.execPath, '-e', ''],
    clock: systemClock,
    logger: silentLogger,
    onEvent: () => undefined,
    onReconnected: () => {
      reconnected += 1
    },
  })
  test.after(() => link.close())
  return { link, times: () => reconnected }
}

const start = () => ({
  handle: 'A'.repeat(22),
  proc: randomProc(),
  spec: { argv: ['x'], env: {}, caps: [], masks: [] },
})

describe('the link to the keeper', () => {
  it('does not know what came of a start when the keeper goes away in the middle', async (test) => {
    const keeper = await ScriptedKeeper.open(test)
    const { link } = await connect(keeper, test)
    keeper.reply = (op) => (op === 'start' ? 'hang up' : { value: [] })
    await assert.rejects(link.start(start()), { code: 'ZT-504-OUTCOME-UNKNOWN' })
  })

  it('knows that nothing ran when the keeper says so, also where its code is that of a lost connection', async (test) => {
    const keeper = await ScriptedKeeper.open(test)
    const { link } = await connect(keeper, test)
    for (const code of ['ZT-503-SANDBOX', 'ZT-403-EXE'] as const) {
      keeper.reply = (op) => (op === 'start' ? { error: { code, message: 'no' } } : { value: [] })
      await assert.rejects(link.start(start()), { code })
    }
  })

  it('connects again by itself, and says so', async (test) => {
    const keeper = await ScriptedKeeper.open(test)
    const { link, times } = await connect(keeper, test)
    keeper.hangUp()
    await eventually('connected again', () => times() === 1)
    assert.deepEqual(await link.list(true), [])
    assert.equal(keeper.connections, 2)
  })
})
