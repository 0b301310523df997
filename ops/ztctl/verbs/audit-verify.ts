// ztctl audit verify: everything is checked here; neither node nor hub is believed.
import { verifyOffline } from '../audit/offline.ts'
import { verifyOnline } from '../audit/online.ts'
import { concludeVerification } from '../audit/outcome.ts'
import type { Invocation } from '../grammar/invocation.ts'
import { usageError } from '../grammar/usage-error.ts'
import type { Io } from '../io.ts'

export async function execute(call: Invocation, io: Io): Promise<number> {
  const { flags } = call
  const file = flags.one('file')
  if (file === undefined && (flags.all('vkey').length > 0 || flags.one('hub-log') !== undefined)) {
    throw usageError('--vkey and --hub-log are for a copy', 'name the copy with --file')
  }
  if (file !== undefined && flags.one('save') !== undefined) {
    throw usageError('--save is for the running mesh', 'leave out --save or --file')
  }
  const outcomes = file === undefined ? await verifyOnline(call, io) : await verifyOffline(file, call, io)
  return concludeVerification(outcomes, call, io)
}
