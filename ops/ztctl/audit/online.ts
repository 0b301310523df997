// `audit verify` against the running mesh: the hub's log first, then each node's rows against the key that the hub's log
// says it was registered with, and against every head that the hub's log says it anchored; then the hub's log again,
// against every head of it that the nodes hold.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { encodeBase64 } from '#shared/encoding/base64url.ts'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import { askNodes, namedNodes, type NodeAnswer } from '../client/fan-out.ts'
import { currentContext, type Context } from '../client/contexts.ts'
import { withMesh, type LiveMesh } from '../client/live-mesh.ts'
import type { LogRequest, LogResult, NodeEntry } from '#shared/protocol/hub-ops.ts'
import type { Mesh } from '../client/mesh.ts'
import { fetchDenyList } from '../client/quarantine.ts'
import { currentUid } from '../client/user.ts'
import type { Invocation } from '../grammar/invocation.ts'
import { quoted, usageError } from '../grammar/usage-error.ts'
import type { Io } from '../io.ts'
import { DENY_COPY, writeDenyCopy } from './deny-copy.ts'
import { verifyNodeLog } from './export.ts'
import { HeldHeads, type HeldHead } from './held-heads.ts'
import { verifyHubLog, type HubLog } from './hub-log.ts'
import { KnownDenials } from './known-denials.ts'
import type { LogOutcome } from './outcome.ts'
import { readSeenHead, rememberHead, type TimedPlace } from './seen-head.ts'
import { SuspectRows, type Keeper } from './suspect-rows.ts'
import type { WitnessedLog } from './witnessed.ts'

const SILENCE_MS = 15_000
const UNASKED: readonly NodeEntry['state'][] = ['revoked', 'invited']

/** A node that nobody can ask for its log; `log` is what the hub's log says of it. */
export interface UnaskedNode extends Pick<NodeEntry, 'name' | 'id'> {
  readonly log: WitnessedLog | undefined
  readonly why: NonNullable<LogOutcome['unasked']>
}

interface Setting {
  readonly context: Context
  readonly place: TimedPlace
  /** folder for copies */
  readonly save: string | undefined
}

/** Verifies the hub's log and those of the nodes that are meant. Errors: those of LiveMesh.open() and Mesh.hub(). */
export async function verifyOnline(call: Invocation, io: Io): Promise<readonly LogOutcome[]> {
  const place = { env: io.env, uid: currentUid(), clock: io.clock }
  const context = currentContext(call, place)
  const save = call.flags.one('save')
  if (save !== undefined) makeFolder(save)
  return withMesh({ call, io }, async (live) => {
    const hub = await verifyHub(live, { context, place, save })
    const mesh = live.current
    const { asked, unasked } = await chooseNodes(call, mesh, hub)
    const answers = await askNodes(asked, (node) => verifyNode(node, hub, { mesh, save }))
    await hub.compare(answers.flatMap((answer) => (answer.ok ? answer.value.held : [])))
    // Last, so that it knows whoever was denied while the logs were read.
    const denials = await denialsNow(live, hub, save)
    const { identity, head, report } = hub
    if (report.firstBad === undefined) await rememberHead({ identity, head }, context, place)
    return [
      { name: 'hub', origin: identity.origin, report, ...denials.count(hub.denied.rows) },
      ...answers.map((answer) => asOutcome(answer, denials)),
      ...unasked.map((node) => unaskedOutcome(node, denials)),
      ...earlierEpochs(hub, [...asked, ...unasked.map(({ name }) => name)]),
    ]
  })
}

async function chooseNodes(
  call: Invocation,
  mesh: Mesh,
  hub: HubLog,
): Promise<{ readonly asked: readonly string[]; readonly unasked: readonly UnaskedNode[] }> {
  const named = namedNodes(call)
  if (named.length > 0) return { asked: named, unasked: [] }
  const { nodes } = await mesh.hub('node.list', {})
  return {
    asked: nodes.filter(({ state }) => !UNASKED.includes(state)).map(({ name }) => name),
    unasked: nodes.filter(({ state }) => UNASKED.includes(state)).flatMap((node) => unaskedNode(node, hub)),
  }
}

/** What the deny list of this moment says, which is saved too, and the hub's log. Without the list nothing is known. */
async function denialsNow(live: LiveMesh, hub: HubLog, save: string | undefined): Promise<KnownDenials> {
  try {
    const mesh = await live.refreshed()
    const { entries, ver: version, text: deny } = await fetchDenyList(mesh)
    const { bundle } = mesh.session.credentials
    const at = mesh.clock.now()
    if (save !== undefined) writeDenyCopy(join(save, DENY_COPY), { at, deny, bundle })
    const { revocations } = hub.denied
    return KnownDenials.now({ entries: [...entries, ...revocations.entries], asOf: { at, version } })
  } catch (error) {
    // What was found out about the logs is said all the same.
    if (isZtError(error, 'ZT-503-DENY-LIST')) return KnownDenials.unknown()
    throw error
  }
}

/** A node that cannot be asked; nothing for a name that was merely invited, as the hub's log knows no log of it. */
function unaskedNode({ name, id, state }: NodeEntry, { witnessed }: HubLog): readonly UnaskedNode[] {
  const log = witnessed.ofNode(name)
  if (state === 'revoked') return [{ name, id, log, why: 'revoked' }]
  return log === undefined ? [] : [{ name, id, log, why: 'allowed again' }]
}

/**
 * Nobody asks it any more, and no one may forget that it has a log. Of its rows those are known to be quarantined that the
 * hub anchored, because of the node itself: who did what in them only the node's log says.
 */
export function unaskedOutcome({ name, id, log, why }: UnaskedNode, denials: KnownDenials): LogOutcome {
  const note = `${why === 'revoked' ? why : `${why}, but not joined since`}: it is not asked for its log`
  if (log === undefined) return { name, origin: '', unasked: why, note }
  return {
    name,
    origin: log.origin,
    unasked: why,
    anchors: summaryOf(log),
    ...denials.count(SuspectRows.unread(log), { id, witnessed: log }),
    note: `${note}; ${endOf(log)}`,
  }
}

async function verifyHub(live: LiveMesh, { context, place, save }: Setting): Promise<HubLog> {
  const identity = live.current.session.credentials.hub_log
  const seen = readSeenHead(context, place)
  if (seen !== undefined && seen.identity.vkey !== identity.vkey) {
    throw new ZtError('ZT-490-SIGNATURE', "the hub's log has another key than the last time", {
      details: { hint: 'ask an operator of the hub why; the old key is in your configuration folder' },
    })
  }
  const copy = save === undefined ? undefined : join(save, 'hub.ztlog')
  // It is asked again behind the nodes, by when the session may have been renewed.
  const ask = async (request: LogRequest): Promise<LogResult> => (await live.refreshed()).hub('log', request)
  return verifyHubLog({ ask, identity, seen: seen?.head, copy })
}

interface NodeCheck {
  readonly outcome: LogOutcome
  readonly held: readonly HeldHead[]
  readonly rows: SuspectRows
  readonly keeper: Keeper
}

interface NodeSetting extends Pick<Setting, 'save'> {
  readonly mesh: Mesh
}

async function verifyNode(node: string, hub: HubLog, { mesh, save }: NodeSetting): Promise<NodeCheck> {
  const registered = hub.witnessed.ofNode(node)
  if (registered === undefined)
    throw new ZtError('ZT-404-NODE', `the hub's log knows no node ${quoted(node)}`)
  const { origin, vkey, anchors } = registered
  const held = new HeldHeads(node)
  const rows = new SuspectRows()
  const report = await verifyNodeLog(mesh, {
    node,
    trust: { origin, vkey, vkeys: [vkey], anchors },
    held,
    rows,
    copy: save === undefined ? undefined : join(save, `${node}.ztlog`),
    silenceMs: SILENCE_MS,
  })
  const outcome = { name: node, origin, report, anchors: summaryOf(registered) }
  const keeper = { id: mesh.nodeId(node), witnessed: registered }
  return { outcome, held: held.within(report.size), rows, keeper }
}

/** The logs that nodes had before they joined anew: nobody shows them any more, and no one may forget that they were. */
export function earlierEpochs({ witnessed }: HubLog, nodes: readonly string[]): readonly LogOutcome[] {
  return nodes
    .flatMap((node) => witnessed.earlierOf(node))
    .map((log) => ({
      name: log.origin,
      origin: log.origin,
      earlier: true,
      anchors: summaryOf(log),
      note: `earlier epoch of ${log.node}, not on the node any more: ${endOf(log)}`,
    }))
}

function endOf({ anchors }: WitnessedLog): string {
  const last = anchors.toSorted((a, b) => a.size - b.size).at(-1)
  if (last === undefined) return 'no head of it was anchored'
  return `its last anchored head has size ${last.size} and root ${encodeBase64(last.root)}`
}

/** How many heads are anchored, up to which size, and since when. */
export function summaryOf({ anchors, anchoredAt }: WitnessedLog): NonNullable<LogOutcome['anchors']> {
  const size = Math.max(0, ...anchors.map((anchor) => anchor.size))
  return { count: anchors.length, size, ...(anchoredAt === undefined ? {} : { at: anchoredAt }) }
}

function asOutcome(answer: NodeAnswer<NodeCheck>, denials: KnownDenials): LogOutcome {
  if (answer.ok) {
    const { outcome, rows, keeper } = answer.value
    return { ...outcome, ...denials.count(rows, keeper) }
  }
  const { code, message } = answer.error
  return { name: answer.node, origin: '', failure: { code, message } }
}

function makeFolder(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    if (isZtError(error)) throw error
    const { code } = error as NodeJS.ErrnoException
    throw usageError(
      `--save ${quoted(path)} cannot be made (${code ?? 'unknown'})`,
      'name a folder that does not exist yet',
    )
  }
}
