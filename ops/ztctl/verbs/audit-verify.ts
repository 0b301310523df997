// ztctl audit verify: everything is checked here; neither node nor hub is believed.
import { verifyOffline } from '../audit/offline.ts'
import { verifyOnline } from '../audit/online.ts'
import { concludeVerification } from '../audit/outcome.ts'
import type { Invocation } from '../grammar/invocation.ts'
import { usageError } from '../grammar/usage-error.ts'
import type { Io } from '../io.ts'

// Of the running mesh login has vouched for these, or the mesh is asked for them. The environment, which may name a root
// for other verbs, is not what was typed here.
const OF_A_COPY = ['vkey', 'hub-log', 'deny-list', 'root-fingerprint'] as const

export async function execute(call: Invocation, io: Io): Promise<number> {
  const { flags } = call
  const file = flags.one('file')
  const ofCopy = OF_A_COPY.find((flag) => flags.has(flag))
  if (file === undefined && ofCopy !== undefined) {
    throw usageError(`--${ofCopy} is for a copy`, 'name the copy with --file')
  }
  if (file !== undefined && flags.one('save') !== undefined) {
    throw usageError('--save is for the running mesh', 'leave out --save or --file')
  }
  const outcomes = file === undefined ? await verifyOnline(call, io) : await verifyOffline(file, call, io)
  return concludeVerification(outcomes, call, io)
}
