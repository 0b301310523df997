// Starts a process and stays with it: output in the same command, so that not a byte is missed, and ^C as §3 of the
// conventions has it. A link that is lost ends nothing on the node.
import { isZtError } from '#shared/errors/error.ts'
import type { KillSignal } from '#shared/protocol/command.ts'
import type { Suspicion } from '#shared/protocol/quarantine.ts'
import type { SpawnResult } from '#shared/protocol/results.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'
import { remark } from '../output/report-error.ts'
import { oneNode } from './fan-out.ts'
import { Follower, type Ending, type FollowTarget } from './follower.ts'
import { Interrupts } from './interrupts.ts'
import type { LiveMesh } from './live-mesh.ts'
import { nodeName, type CommandReceipt } from './mesh.ts'
import { OutputStream } from './output-stream.ts'
import { pipeSink } from './pipe-sink.ts'
import { lookAgain } from './quarantine.ts'
import { newProcId, spawnCommand } from './spawn-command.ts'

export interface Started {
  readonly node: string
  readonly receipt: CommandReceipt<'process.spawn'>
}

export interface Attached extends Started {
  /** undefined: the caller let go of it */
  readonly ending: Ending
  /** the signal by which the caller let go */
  readonly signal?: NodeJS.Signals
  /** what the process wrote is suspect */
  readonly suspicion?: Suspicion
}

interface Attachment {
  readonly mesh: LiveMesh
  readonly target: FollowTarget
  readonly io: Io
  readonly signals: HeldSignals
}

/** Keeps the signals that come before somebody can act on them. */
class HeldSignals {
  readonly close: () => void
  readonly #held: NodeJS.Signals[] = []
  #act: ((signal: NodeJS.Signals) => void) | undefined

  constructor(io: Io) {
    this.close = io.onSignal((signal) => {
      if (this.#act === undefined) this.#held.push(signal)
      else this.#act(signal)
    })
  }

  handle(act: (signal: NodeJS.Signals) => void): void {
    this.#act = act
    for (const signal of this.#held.splice(0)) act(signal)
  }
}

/** Starts the process of an invocation and leaves it. Errors: ZT-400-USAGE and those of Mesh.command(). */
export async function startProcess(mesh: LiveMesh, call: Invocation): Promise<Started> {
  const node = oneNode(call)
  const command = spawnCommand(call, { node: mesh.current.nodeId(node), proc: newProcId() })
  return { node, receipt: await mesh.current.command(command) }
}

/** Starts the process of an invocation and follows it. `started` is called when it runs. Errors: as startProcess(). */
export async function runProcess(
  mesh: LiveMesh,
  { call, io }: { readonly call: Invocation; readonly io: Io },
  started: (process: Started) => void,
): Promise<Attached> {
  const node = oneNode(call)
  const target = { node: mesh.current.nodeId(node), proc: newProcId() }
  const stream = new OutputStream(mesh.current, target)
  // Before anything is sent: a signal that came first must not leave a process running unseen.
  const signals = new HeldSignals(io)
  try {
    const command = spawnCommand(call, { ...target, out: stream.request })
    const receipt = await mesh.current.command(command)
    started({ node, receipt })
    activate(stream, receipt)
    const whole = { ...target, started: receipt.result.started }
    return { node, receipt, ...(await watched({ mesh, target: whole, io, signals }, stream)) }
  } finally {
    signals.close()
    stream.close()
  }
}

function activate(stream: OutputStream, { result, jti }: { result: SpawnResult; jti: string }): void {
  // Without a grant the stream stays silent, and the follower asks for one.
  if (result.out !== undefined) stream.activate(result.out, jti)
}

/** As attend(), and says it when somebody was denied meanwhile because of whom the output is suspect, however it ends. */
async function watched(
  attachment: Attachment,
  stream: OutputStream,
): Promise<Pick<Attached, 'ending' | 'signal' | 'suspicion'>> {
  const { mesh, target, io } = attachment
  const began = io.clock.now()
  const { node, proc } = target
  const name = `${nodeName(node)}/${proc}`
  let suspicion: Suspicion | undefined
  let attended: Awaited<ReturnType<typeof attend>>
  try {
    attended = await attend(attachment, stream)
  } finally {
    suspicion = await lookAgain({ name, owner: mesh.current.id, node, began, readFrom: began }, mesh, io)
  }
  return suspicion === undefined ? attended : { ...attended, suspicion }
}

async function attend(
  attachment: Attachment,
  stream: OutputStream,
): Promise<{ ending: Ending; signal?: NodeJS.Signals }> {
  const { mesh, target, io, signals } = attachment
  const stop = new AbortController()
  const interrupts = new Interrupts()
  let letGo: NodeJS.Signals | undefined
  const release = (signal: NodeJS.Signals): void => {
    letGo ??= signal
    stop.abort()
  }
  signals.handle((signal) => {
    const action = signal === 'SIGINT' ? interrupts.next(io.clock.now()) : ACTIONS.get(signal)
    if (action === undefined || action === 'detach') release(signal)
    // Nobody reads what it writes: as in any pipeline, that is its end.
    else if (signal === 'SIGPIPE') void forward(attachment, action).finally(() => release(signal))
    else void forward(attachment, action)
  })
  const sink = pipeSink(io)
  const follower = new Follower({ mesh, target, sink, clock: io.clock, follow: true, stop: stop.signal })
  const ending = await follower.run(stream)
  return letGo === undefined ? { ending } : { ending, signal: letGo }
}

type Forwarded = 'interrupt' | 'terminate' | 'end' | 'kill'

const SENT: Readonly<Record<Forwarded, { signal: KillSignal; grace_ms?: number }>> = {
  interrupt: { signal: 'INT' },
  terminate: { signal: 'TERM' },
  end: { signal: 'TERM', grace_ms: 1_000 },
  kill: { signal: 'KILL', grace_ms: 0 },
}

const ACTIONS: ReadonlyMap<NodeJS.Signals, Forwarded> = new Map([
  ['SIGTERM', 'terminate'],
  ['SIGPIPE', 'end'],
])

async function forward({ mesh, target, io }: Attachment, action: Forwarded): Promise<void> {
  try {
    await mesh.current.command({ v: 1, op: 'process.kill', ...target, ...SENT[action] })
  } catch (error) {
    if (!isZtError(error)) throw error
    const name = `${nodeName(target.node)}/${target.proc}`
    if (action !== 'end')
      remark(
        `the signal did not reach ${name}: ${error.message} (${error.code}); ^C twice more lets go of it`,
        io,
      )
  }
}
