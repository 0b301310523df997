// Which part of the hub answers which operation.
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import { nodeNameOf, principalKind } from '#shared/identity/spiffe-id.ts'
import type { RowRequest } from '#shared/log/row.ts'
import { openEncKey } from '#shared/protocol/enc-key.ts'
import type { AttestationOp } from '#shared/protocol/attestation-ops.ts'
import type { HubResults, LogRequest } from '#shared/protocol/hub-ops.ts'
import type { TrustOp } from '#shared/protocol/trust-ops.ts'
import type { SvidValidator, VerifiedSvid } from '#shared/x509/svid.ts'
import type { Anchors } from '../audit/anchors.ts'
import type { LogReader } from '../audit/log-reader.ts'
import type { TokenExchange } from '../authority/exchange.ts'
import { requireAllowed, type Policy } from '../authority/policy.ts'
import type { Federation } from '../federation/federation.ts'
import type { HubEncKeys } from '../identity/enc-keys.ts'
import type { TrustOffice } from '../identity/trust-office.ts'
import type { AttestationOffice } from '../registry/attestation-office.ts'
import type { Asking, Registry } from '../registry/registry.ts'
import type { Denials } from '../revocation/denials.ts'
import type { NodeStore, NodeVoice } from '../store/store.ts'
import type { TaskIdentities } from '../tasks/task-identities.ts'
import type { Received } from './gate.ts'
import type { Operations } from './operations.ts'

export interface AnswerParts {
  readonly clock: Clock
  readonly trust: SvidValidator
  readonly nodes: NodeStore
  readonly encKeys: HubEncKeys
  readonly denials: Denials
  readonly exchange: TokenExchange
  readonly anchors: Anchors
  readonly registry: Registry
  readonly attestationOffice: AttestationOffice
  readonly log: LogReader
  readonly federation: Federation
  readonly policy: Policy
  readonly tasks: TaskIdentities
  readonly trustOffice: TrustOffice
}

function requestOf({ envelope, sha256 }: Received): RowRequest {
  return { env: sha256, jti: envelope.jti, nonce: envelope.nonce }
}

const askingOf = (received: Received): Asking => ({ caller: received.caller, request: requestOf(received) })

/** Keeps the key that a node says is its own; what is sealed to it is for that node alone. Returns its id. */
async function keepEncKey(
  { trust, clock, nodes }: AnswerParts,
  text: string,
  received: Received,
): Promise<string> {
  const now = clock.now()
  const { kid } = openEncKey(text, { trust, now, owner: received.caller.id })
  const voice = voiceOf(received.caller)
  const node = await nodes.find(voice.name)
  if (node === undefined || node.revokedAt !== undefined)
    throw new ZtError('ZT-404-NODE', 'the node is not registered')
  if (!(await nodes.recordEncKey(voice, text))) throw replaced()
  await nodes.touch(voice.name, now)
  return kid
}

const voiceOf = ({ id, thumbprint }: VerifiedSvid): NodeVoice => ({ name: nodeNameOf(id), id, thumbprint })

const replaced = (): ZtError => new ZtError('ZT-401-EVIDENCE', 'another machine has taken the name over')

// An SVID outlives by minutes the machine's hold on its name; the hub looks at who holds it now.
async function requireVoice({ nodes }: AnswerParts, { caller }: Received): Promise<void> {
  if (principalKind(caller.id) === 'node' && !(await nodes.speaks(voiceOf(caller)))) throw replaced()
}

async function readLog(log: LogReader, wish: LogRequest, { caller }: Received): Promise<HubResults['log']> {
  if (wish.kind === 'checkpoint') return { kind: 'checkpoint', note: await log.checkpoint(caller) }
  const bytes = wish.kind === 'tile' ? log.tile(wish.path, caller) : log.entries(wish.from, caller)
  return { kind: wish.kind, data: encodeBase64url(await bytes) }
}

function trustOperations(office: TrustOffice): Pick<Operations, TrustOp> {
  return {
    'bundle.show': (_params, received) => office.showBundle(askingOf(received)),
    'bundle.import': (params, received) => office.importBundle(params, askingOf(received)),
    'ladder.status': (_params, received) => office.ladder(askingOf(received)),
    'ladder.request': (params, received) => office.requestLadder(params, askingOf(received)),
    'ladder.import': (params, received) => office.importLadder(params, askingOf(received)),
    'ladder.usage': (_params, received) => office.statement(askingOf(received)),
    'ceremony.anchor': (params, received) => office.anchorCeremony(params, askingOf(received)),
  }
}

function attestationOperations(office: AttestationOffice): Pick<Operations, AttestationOp> {
  return {
    'node.inspect': (params, received) => office.inspect(params, askingOf(received)),
    'pcr-policy.apply': (params, received) => office.applyPolicy(params, askingOf(received)),
    'pcr-policy.show': (_params, received) => office.showPolicy(askingOf(received)),
  }
}

export function hubOperations(parts: AnswerParts): Operations {
  const { registry, exchange, anchors, denials, encKeys, tasks } = parts
  return {
    hello: async ({ enc_key }, received) => {
      await keepEncKey(parts, enc_key, received)
      return { result: { hub_key: encKeys.statement(), deny: denials.signed() } }
    },
    'enc-key': async ({ enc_key }, received) => ({
      result: { kid: await keepEncKey(parts, enc_key, received) },
    }),
    token: async (params, received) => {
      await requireVoice(parts, received)
      const origin = { caller: received.caller, request: requestOf(received) }
      const { response, row } = await exchange.exchange(params, origin)
      return { result: response, row }
    },
    'node.list': (_params, received) => registry.list(askingOf(received)),
    'node.join-token': (params, received) => registry.joinToken(params, askingOf(received)),
    'node.revoke': (params, received) => registry.revokeNode(params, askingOf(received)),
    revoke: (params, received) => registry.revoke(params, askingOf(received)),
    allow: (params, received) => registry.allow(params, askingOf(received)),
    'can-i': async ({ cmd }, received) => ({ result: await exchange.canI(cmd, received.caller) }),
    log: async (wish, received) => ({ result: await readLog(parts.log, wish, received) }),
    ...trustOperations(parts.trustOffice),
    ...attestationOperations(parts.attestationOffice),
    deny: async () => ({ result: { deny: denials.signed() } }),
    bundles: async (params) => ({ result: await parts.federation.bundles(params) }),
    'federation.list': async (_params, { caller }) => {
      requireAllowed(parts.policy.onHub(caller.id, { action: 'federation.list' }))
      return { result: { relations: parts.federation.list() } }
    },
    anchor: async (params, received) => {
      await requireVoice(parts, received)
      return anchors.anchor(params, { caller: received.caller, request: requestOf(received) })
    },
    'task.svid': (params, received) => tasks.svid(params, askingOf(received)),
    'task.jwt': (params, received) => tasks.jwt(params, askingOf(received)),
    'task.ended': ({ proc }, received) => tasks.ended(proc, askingOf(received)),
  }
}
