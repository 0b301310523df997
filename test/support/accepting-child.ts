// A process that accepts one command into the log of the folder it is given, and then waits to be killed: what a real
// kill -9 leaves on disk cannot be had in the test's own process.
import { createPrivateKey } from 'node:crypto'
import { ReceivingNode } from './receiving-node.ts'

interface Told {
  readonly logKey: string
}

process.once('message', ({ logKey }: Told) => void accept(process.argv[2] ?? '', createPrivateKey(logKey)))

async function accept(dir: string, key: ReturnType<typeof createPrivateKey>): Promise<void> {
  const node = await ReceivingNode.reopen({ dir, logKey: key })
  const cmd = node.spawn()
  node.keeper.beforeStart = () => {
    // The row is on disk, and the keeper was not asked yet.
    process.send?.({ proc: cmd.proc })
    return new Promise(() => undefined)
  }
  await node.send(cmd)
}
