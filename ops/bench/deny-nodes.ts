// The process of its own in which the bench's nodes run: it does what it is told over its channel, and says when.
import { DenyNode, type Armed, type DenyNodeOptions } from './deny-node.ts'

export type Order =
  | { readonly kind: 'join'; readonly nodes: readonly DenyNodeOptions[] }
  | { readonly kind: 'arm'; readonly messages: Readonly<Record<string, Armed>> }
  | { readonly kind: 'end' }

export type Report =
  | { readonly kind: 'joined'; readonly encKeys: Readonly<Record<string, string>> }
  | { readonly kind: 'armed' }
  /** nanoseconds of the monotonic clock, which all processes of a machine share, in decimal */
  | { readonly kind: 'refused'; readonly atNs: readonly string[] }

const nodes = new Map<string, DenyNode>()

function report(report: Report): void {
  process.send?.(report)
}

async function join(all: readonly DenyNodeOptions[]): Promise<void> {
  for (const options of all) {
    const node = await DenyNode.join(options)
    nodes.set(node.name, node)
  }
  report({
    kind: 'joined',
    encKeys: Object.fromEntries([...nodes].map(([name, { encKey }]) => [name, encKey])),
  })
}

async function arm(messages: Readonly<Record<string, Armed>>): Promise<void> {
  const refusals = Object.entries(messages).flatMap(([name, message]) => {
    const node = nodes.get(name)
    return node === undefined ? [] : [node.arm(message)]
  })
  report({ kind: 'armed' })
  const atNs = await Promise.all(refusals)
  report({ kind: 'refused', atNs: atNs.map(String) })
}

async function end(): Promise<void> {
  for (const node of nodes.values()) await node.close()
  process.disconnect()
}

function obey(order: Order): Promise<void> {
  switch (order.kind) {
    case 'join':
      return join(order.nodes)
    case 'arm':
      return arm(order.messages)
    case 'end':
      return end()
  }
}

process.on('message', (order: Order) => {
  obey(order).catch((error: unknown) => {
    process.stderr.write(`${String(error)}\n`)
    process.exit(1)
  })
})
