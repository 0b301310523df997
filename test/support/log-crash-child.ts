// Appends rows until it is killed, and says of each commit what it was told: argv is the file and the key (PKCS#8, base64).
import { createPrivateKey } from 'node:crypto'
import { systemClock } from '#shared/host/clock.ts'
import { openDurableLog } from '#shared/host/durable-log.ts'
import { createNoteSigner } from '#shared/log/note.ts'

const [file = '', origin = '', key = ''] = process.argv.slice(2)
const signer = createNoteSigner(
  origin,
  createPrivateKey({ key: Buffer.from(key, 'base64'), format: 'der', type: 'pkcs8' }),
)
const log = openDurableLog({ file, origin, signer, clock: systemClock, boot: 'boot-1', ifMissing: 'create' })
for (let count = 1; ; count = (count % 40) + 1) {
  const receipts = await Promise.all(Array.from({ length: count }, () => log.append({ type: 'heartbeat' })))
  const last = receipts.at(-1)
  // One write, so that the reader never sees half a line of a whole pipe buffer.
  process.stdout.write(`${JSON.stringify(last)}\n`)
}
