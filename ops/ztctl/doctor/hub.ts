// Whether the hub can be reached, is the pinned one, and agrees about the time: tokens live for seconds.
import { isZtError } from '#shared/errors/error.ts'
import { fetchHubTime } from '#shared/host/hub-https.ts'
import { readContexts, type Context } from '../client/contexts.ts'
import { pinnedBundle } from '../client/login.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'
import { fail, ok, warn, type CheckInput, type CheckResult } from './check.ts'

const ABOUT = { name: 'hub', neededBy: 'ztctl' } as const
const MAX_SKEW_S = 20

/** Reaches the hub of the current context. */
export async function checkHub(call: Invocation, io: Io, input: CheckInput): Promise<CheckResult> {
  try {
    const known = readContexts(input)
    const name = call.flags.one('context') ?? known.current
    const context = known.contexts.find((candidate) => candidate.name === name)
    if (context === undefined)
      return warn(ABOUT, 'no mesh is known yet', 'run `ztctl login --context-file FILE`')
    return await reach(context, io)
  } catch (error) {
    if (!isZtError(error)) throw error
    return fail(
      ABOUT,
      `${error.message} (${error.code})`,
      'check that the hub runs, and that this is the right hub',
    )
  }
}

async function reach(context: Context, io: Io): Promise<CheckResult> {
  await pinnedBundle(context, io.clock)
  const before = io.clock.now()
  const at = await fetchHubTime(context.hub, io.clock)
  if (at === undefined) return warn(ABOUT, `${context.hub} answers without a time`, 'update the hub')
  // The Date of an answer is cut to the second: the middle of that second is the best guess.
  const skewS = Math.round((at + 500 - (before + io.clock.now()) / 2) / 1000)
  const detail = `${context.name} at ${context.hub} answers; clocks differ by ${Math.abs(skewS)} s`
  return Math.abs(skewS) <= MAX_SKEW_S
    ? ok(ABOUT, detail)
    : fail(ABOUT, detail, 'set the clock of this machine (NTP)')
}
