// Takes the lock, says so, and holds it until it is killed.
import { withLock } from '#ops/ztctl/client/lock.ts'
import { systemClock } from '#shared/host/clock.ts'

const [folder = ''] = process.argv.slice(2)
await withLock({ folder, name: 'renew', clock: systemClock, patience: 5_000 }, async () => {
  process.send?.('held')
  await new Promise((resolve) => setTimeout(resolve, 60_000))
})
