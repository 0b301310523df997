// How bundles and ladders are shown: the same for the verb that asks and for the one that has just changed them.
import type { BundleView, LadderView } from '#shared/protocol/trust-ops.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'
import { printJson, wantsJson } from '../output/print.ts'
import { warn } from '../output/report-error.ts'
import { safeText } from '../output/safe-text.ts'
import { renderTable } from '../output/table.ts'
import { rfc3339, shortDuration } from '../output/time.ts'

const ALARMED = 1

export function printBundle(view: BundleView, call: Invocation, io: Io): void {
  if (wantsJson(call)) {
    printJson(bundleJson(view), io)
    return
  }
  const now = io.clock.now()
  const { td, sequence, signer, roots, revoked } = view
  io.stdout.write(`trust bundle ${sequence} of ${safeText(td)}, signed by root ${signer}\n`)
  const rows = roots.map(({ fingerprint, until, since }) => [
    fingerprint,
    `for ${shortDuration(now - since)}`,
    `${shortDuration(until - now)} left`,
  ])
  io.stdout.write(table(call, ['ROOT', 'TRUSTED', 'VALID'], rows))
  if (revoked.length === 0) return
  io.stdout.write(
    table(
      call,
      ['REVOKED INTERMEDIATE'],
      revoked.map((key) => [key]),
    ),
  )
}

/** The exit status: 1 while the ladder ends soon, for whoever watches it. */
export function printLadder(view: LadderView, call: Invocation, io: Io): number {
  if (wantsJson(call)) printJson(ladderJson(view), io)
  else printLadderTable(view, call, io)
  if (view.alarm) warn(alarmText(view, io.clock.now()), io)
  return view.alarm ? ALARMED : 0
}

function printLadderTable({ rungs, usage }: LadderView, call: Invocation, io: Io): void {
  const rows = rungs.map(({ index, from, until, root, workload }, at) => [
    String(index),
    at === 0 ? 'current' : at === 1 ? 'next' : '',
    rfc3339(from) ?? '',
    rfc3339(until) ?? '',
    root.slice(0, 16),
    workload,
  ])
  io.stdout.write(table(call, ['RUNG', '', 'FROM', 'UNTIL', 'ROOT', 'WORKLOAD CA'], rows))
  const used = usage.map(({ fingerprint, live }) => [fingerprint, String(live)])
  io.stdout.write(table(call, ['ROOT', 'LIVE SVIDS'], used))
}

function alarmText({ remaining, until }: LadderView, now: number): string {
  if (until === null) return 'the ladder has ended: nothing is issued until a ladder ceremony was held'
  const left = shortDuration(until - now)
  return `${remaining} rungs left: issuing ends in ${left} without another ladder ceremony`
}

function table(call: Invocation, headings: readonly string[], rows: readonly (readonly string[])[]): string {
  return renderTable({ headings, rows, showHeadings: !call.flags.has('no-headers') })
}

function bundleJson({ roots, history, ...view }: BundleView): Readonly<Record<string, unknown>> {
  return {
    kind: 'TrustBundle',
    ...view,
    roots: roots.map(({ until, since, ...root }) => ({
      ...root,
      until: rfc3339(until),
      since: rfc3339(since),
    })),
    history: history.map(({ imported, ...entry }) => ({ ...entry, imported: rfc3339(imported) })),
  }
}

function ladderJson({ until, rungs, ...view }: LadderView): Readonly<Record<string, unknown>> {
  return {
    kind: 'Ladder',
    ...view,
    until: rfc3339(until ?? undefined),
    rungs: rungs.map(({ from, until: end, ...rung }) => ({
      ...rung,
      from: rfc3339(from),
      until: rfc3339(end),
    })),
  }
}
