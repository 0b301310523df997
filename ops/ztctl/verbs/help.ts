// ztctl help: rendered from the verb table, so it cannot disagree with what is parsed.
import type { Invocation } from '../grammar/invocation.ts'
import { quoted, usageError } from '../grammar/usage-error.ts'
import { findVerb, GROUPS } from '../grammar/verbs.ts'
import type { Io } from '../io.ts'
import { renderGroupHelp, renderOverview, renderVerbHelp } from '../output/help-text.ts'

export async function execute(call: Invocation, io: Io): Promise<number> {
  const name = call.operands.join(' ')
  const verb = findVerb(name)
  if (name === '') io.stdout.write(renderOverview())
  else if (verb !== undefined) io.stdout.write(renderVerbHelp(verb))
  else if (GROUPS.has(name)) io.stdout.write(renderGroupHelp(name))
  else throw usageError(`no help for ${quoted(name)}`, '`ztctl help` lists the verbs')
  return 0
}
