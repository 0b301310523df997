// The operations of the hub over NATS: for each, who may ask at all, and what answers it. What policy says of a
// permitted kind of caller is decided by the part that answers.
import type { PrincipalKind } from '#shared/identity/spiffe-id.ts'
import { principalKind } from '#shared/identity/spiffe-id.ts'
import { ZtError } from '#shared/errors/error.ts'
import { parseHubParams, type HubOp, type HubParams, type HubResults } from '#shared/protocol/hub-ops.ts'
import type { WrittenRow } from '../audit/rows.ts'
import type { Received } from './gate.ts'

export interface Answer<Op extends HubOp> {
  readonly result: HubResults[Op]
  /** the row of what was decided, if a row was written */
  readonly row?: WrittenRow
}

/** `params` are of the operation's schema; the caller is proved, alive, and of a kind that may ask. */
export type Operation<Op extends HubOp> = (params: HubParams[Op], received: Received) => Promise<Answer<Op>>

export type Operations = { readonly [Op in HubOp]: Operation<Op> }

type Kinds = readonly PrincipalKind[]

const CALLERS: Kinds = ['operator', 'agent', 'ci']
const ALL: Kinds = ['node', ...CALLERS]
const NODES: Kinds = ['node']

const MAY_ASK: Readonly<Record<HubOp, Kinds>> = {
  hello: NODES,
  'enc-key': NODES,
  anchor: NODES,
  token: CALLERS,
  'node.list': CALLERS,
  'node.join-token': CALLERS,
  'node.inspect': CALLERS,
  'pcr-policy.apply': CALLERS,
  'pcr-policy.show': CALLERS,
  'node.revoke': CALLERS,
  revoke: CALLERS,
  allow: CALLERS,
  'can-i': CALLERS,
  log: CALLERS,
  'bundle.show': CALLERS,
  'bundle.import': CALLERS,
  'ladder.status': CALLERS,
  'ladder.request': CALLERS,
  'ladder.import': CALLERS,
  'ladder.usage': CALLERS,
  'ceremony.anchor': CALLERS,
  deny: ALL,
  bundles: ALL,
  'federation.list': CALLERS,
  'task.svid': NODES,
  'task.jwt': NODES,
  'task.ended': NODES,
}

async function perform<Op extends HubOp>(
  operations: Operations,
  op: Op,
  received: Received,
): Promise<Answer<HubOp>> {
  if (!MAY_ASK[op].includes(principalKind(received.caller.id)))
    throw new ZtError('ZT-403-POLICY', `"${op}" is not for principals of that kind`)
  return operations[op](parseHubParams(op, received.envelope.params), received)
}

/** The answer of the operation that the request names. Throws ZT-403-POLICY, ZT-422-SCHEMA, and what answers it. */
export function performOperation(operations: Operations, received: Received): Promise<Answer<HubOp>> {
  return perform(operations, received.envelope.op, received)
}
