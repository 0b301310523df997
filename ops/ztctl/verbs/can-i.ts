// ztctl can-i: what policy says of an action now; nothing is granted and nothing is done.
import type { Command } from '#shared/protocol/command.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import { oneNode } from '../client/fan-out.ts'
import { withMesh } from '../client/live-mesh.ts'
import { newProcId, spawnCommand } from '../client/spawn-command.ts'
import type { Invocation } from '../grammar/invocation.ts'
import { usageError } from '../grammar/usage-error.ts'
import type { Io } from '../io.ts'
import { printJson, wantsJson } from '../output/print.ts'

// What policy is asked about is an action on a node: the process and the stream are nobody's.
const NO_PROCESS = { started: 0 } as const
const NO_OUTPUT = { stream: 'none', key: 'A'.repeat(43), window: 65_536 } as const

export async function execute(call: Invocation, io: Io): Promise<number> {
  const node = oneNode(call)
  const { allowed, reasons, decision } = await withMesh({ call, io }, ({ current }) =>
    current.hub('can-i', { cmd: commandFor(call, current.nodeId(node)) }),
  )
  if (wantsJson(call)) printJson({ kind: 'Decision', allowed, reasons, decision }, io)
  else if (!call.flags.has('quiet')) {
    io.stdout.write(`${allowed ? 'yes' : 'no'}${reasons.length > 0 ? `: ${reasons.join(', ')}` : ''}\n`)
  }
  return allowed ? 0 : 1
}

function commandFor(call: Invocation, node: SpiffeId): Command {
  const [action = ''] = call.operands
  const common = { v: 1, node } as const
  switch (action) {
    case 'spawn':
    case 'run':
      if (call.command === undefined)
        throw usageError(`can-i ${action} needs a command after --`, 'for example -- uname -a')
      return spawnCommand(call, { node, proc: newProcId() })
    case 'watch':
    case 'logs': {
      const from = { stdout: 0, stderr: 0 }
      return {
        ...common,
        ...NO_PROCESS,
        op: 'process.watch',
        proc: newProcId(),
        from,
        follow: false,
        out: NO_OUTPUT,
      }
    }
    case 'kill':
      return { ...common, ...NO_PROCESS, op: 'process.kill', proc: newProcId(), grace_ms: 0 }
    case 'audit':
      return { ...common, op: 'audit.export', from: 0, out: NO_OUTPUT }
    default:
      return { ...common, op: 'process.list', all: true }
  }
}
