// Joins this machine to a mesh, once. What makes the node itself again (device key, log, pinned root) is on disk before
// the hub is asked, and the membership is written last: a try that was cut off can be repeated with the same token, and
// a node that has joined is never joined over.
import type { Clock } from '#shared/host/clock.ts'
import { pinnedBundle } from '#shared/host/catch-up.ts'
import { HubHttps } from '#shared/host/hub-https.ts'
import { ZtError } from '#shared/errors/error.ts'
import { nodeId } from '#shared/identity/spiffe-id.ts'
import type { JoinTicket } from '#shared/protocol/admission.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { admit, type Admission } from './attest/admission.ts'
import type { Attestor } from './attest/attestor.ts'
import { joinTokenAttestor } from './attest/join-token.ts'
import { tpmJoinAttestor } from './attest/tpm.ts'
import { openNodeLog, type NodeLog } from './audit/node-log.ts'
import type { NodeConfig } from './config.ts'
import { bootId } from '#shared/host/boot-id.ts'
import { writeBundleFile } from './state/bundle-file.ts'
import { createDeviceKey, loadDeviceKey } from './state/device-key.ts'
import { acquireInstanceLock } from './state/instance-lock.ts'
import { createLogKey, loadLogKey } from './state/log-key.ts'
import { chooseLogOrigin } from './state/log-origin.ts'
import { createMembership, loadMembership, type Membership } from './state/membership.ts'
import { createStateDir, type StatePaths } from './state/state-dir.ts'

/**
 * Errors: ZT-409-EXISTS if the folder belongs to a node already; ZT-403-JOIN if the ticket is for another name;
 * ZT-401-BUNDLE if the hub does not show the pinned root; those of admit().
 */
export async function join(config: NodeConfig, ticket: JoinTicket, clock: Clock): Promise<Membership> {
  if (ticket.node !== config.name) {
    throw new ZtError(
      'ZT-403-JOIN',
      `the join string is for "${ticket.node}", and this node is "${config.name}"`,
    )
  }
  const paths = createStateDir(config.stateDir)
  const lock = acquireInstanceLock(paths.lock)
  try {
    if (loadMembership(paths.membership) !== undefined) {
      throw new ZtError('ZT-409-EXISTS', 'this stateDir belongs to a node that has joined already')
    }
    const trust = await pinRoot(paths, ticket, clock)
    const log = createLog(paths, ticket, clock)
    try {
      return await register({ paths, ticket, clock, trust, log, attestor: attestorOf(config, paths, ticket) })
    } finally {
      await log.close()
    }
  } finally {
    lock.release()
  }
}

/** From here on every connection to the hub is judged by this root, and by nothing that the hub says. */
async function pinRoot(paths: StatePaths, ticket: JoinTicket, clock: Clock): Promise<SvidValidator> {
  const { bundle, text } = await pinnedBundle({ url: ticket.hub, clock }, ticket.root)
  if (bundle.trustDomain !== ticket.td) {
    throw new ZtError('ZT-401-BUNDLE', 'trust bundle is of another trust domain than the join string')
  }
  writeBundleFile(paths.bundle, text)
  return new SvidValidator(bundle)
}

function createLog(paths: StatePaths, ticket: JoinTicket, clock: Clock): NodeLog {
  return openNodeLog({
    file: paths.audit,
    origin: chooseLogOrigin(paths.logOrigin, ticket, clock.now()),
    key: loadLogKey(paths.logKey) ?? createLogKey(paths.logKey),
    clock,
    boot: bootId(),
    ifMissing: 'create',
  })
}

interface Joining {
  readonly paths: StatePaths
  readonly ticket: JoinTicket
  readonly clock: Clock
  readonly trust: SvidValidator
  readonly log: NodeLog
  readonly attestor: Attestor
}

// A machine with a TPM makes no device key: there is nothing that it could fall back to.
function attestorOf({ tpm }: NodeConfig, paths: StatePaths, { token }: JoinTicket): Attestor {
  if (tpm !== undefined) return tpmJoinAttestor(token, { settings: tpm, keyFile: paths.tpmKey })
  return joinTokenAttestor(token, loadDeviceKey(paths.deviceKey) ?? createDeviceKey(paths.deviceKey))
}

async function register({ paths, ticket, clock, trust, log, attestor }: Joining): Promise<Membership> {
  const { hub, hubId, td, node } = ticket
  const admission: Admission = await admit({
    https: new HubHttps({ url: hub, hubId, trust, clock }),
    attestor,
    trust,
    clock,
    hubId,
    node,
    nodeId: nodeId(td, node),
    log: { origin: log.durable.origin, vkey: log.vkey },
    boot: bootId(),
    keepBundle: (text) => writeBundleFile(paths.bundle, text),
  })
  await log.append({ type: 'node.joined', out: 'info', obj: { node, hub: hubId, lvl: admission.lvl } })
  const membership: Membership = {
    v: 1,
    hub,
    hubId,
    td,
    node,
    id: nodeId(td, node),
    logOrigin: log.durable.origin,
    hubLog: admission.hubLog,
    joined: clock.now(),
  }
  // If we crash before this, the hub knows us and we do not know it: the same token, with the same key, joins again.
  createMembership(paths.membership, membership)
  return membership
}
