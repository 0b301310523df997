// An agent that is there to be killed: starts one process through the keeper, says which, and waits.
import { connectKeeper } from '#node-agent/keeper/client.ts'
import { systemClock } from '#shared/host/clock.ts'
import { DEFAULT_CAPABILITIES } from '#shared/protocol/sandbox-capability.ts'
import { KEEPER_COMMAND, randomProc, RUN_AS } from './keeper.ts'

const [stateDir = '', workspaceRoot = '', script = ''] = process.argv.slice(2)
const keeper = await connectKeeper({ stateDir, command: KEEPER_COMMAND, clock: systemClock })
const { handle } = await keeper.prepare({
  path: '/bin/sh',
  searchPath: [],
  runAs: RUN_AS,
  workspace: { root: workspaceRoot, name: 'w' },
})
const proc = randomProc()
const spec = { argv: ['sh', '-c', script], env: {}, caps: DEFAULT_CAPABILITIES, masks: [] }
await keeper.start({ handle, proc, spec })
process.stdout.write(`${proc}\n`)
