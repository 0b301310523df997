// An attacker who has the whole broker: a user JWT that no principal is ever given, made with the hub's own account key,
// may hear and say everything. And what somebody has who stole an operator's session besides.
import { readContexts } from '#ops/ztctl/client/contexts.ts'
import { Mesh as Client, type MeshOptions } from '#ops/ztctl/client/mesh.ts'
import { loadSession, type Session } from '#ops/ztctl/client/session.ts'
import { readConfig } from '#hub/config.ts'
import { decodeState, type AuthorityState } from '#hub/nats/state.ts'
import { SealedFile } from '#hub/state/sealed-file.ts'
import { parseSealHeader, Seal } from '#pki/keystore/seal.ts'
import type { Channel } from '#shared/host/channel.ts'
import { systemClock } from '#shared/host/clock.ts'
import { silentLogger } from '#shared/host/logger.ts'
import { connectNats } from '#shared/host/nats-channel.ts'
import { encodeUserJwt } from '#shared/nats/claims.ts'
import { generateNkey } from '#shared/nats/nkeys.ts'
import { openBundle } from '#shared/x509/bundle.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { userInfo } from 'node:os'
import type { TestMesh } from './mesh.ts'
import { Principal, type Granted } from './principal.ts'

/** A message as the broker carried it. */
export interface Heard {
  readonly subject: string
  readonly replyTo: string | undefined
  readonly data: Buffer
  /** of performance.now() */
  readonly atMs: number
}

export interface StolenSession {
  readonly session: Session
  readonly trust: SvidValidator
  readonly options: MeshOptions
}

const LIFE_S = 300
const TIMEOUT_MS = 5_000

/** The session of the operator who is logged in: certificate, private key, broker credentials. */
export function stealSession(mesh: TestMesh): StolenSession {
  const env = mesh.programs.ztctlEnv()
  const { uid } = userInfo()
  const [context] = readContexts({ env, uid }).contexts
  const place = { folder: env['ZTMESH_RUNTIME_DIR'] ?? '', uid }
  const session = context === undefined ? undefined : loadSession(context, place)
  if (context === undefined || session === undefined) throw new Error('nobody is logged in')
  const bundle = openBundle(session.credentials.bundle, { pinnedRoot: context.root }, Date.now())
  const options = { context, place, clock: systemClock, timeoutMs: TIMEOUT_MS }
  return { session, trust: new SvidValidator(bundle), options }
}

async function readAuthority(mesh: TestMesh): Promise<AuthorityState> {
  const { stateDir, sealKeyFile } = readConfig(join(mesh.dir, 'hub.json'))
  const header: unknown = JSON.parse(await readFile(join(stateDir, 'seal.json'), 'utf8'))
  const seal = await Seal.open(sealKeyFile, parseSealHeader(header, ''))
  const bytes = await new SealedFile(seal, join(stateDir, 'nats-authority.sealed')).load()
  if (bytes === undefined) throw new Error('the hub has no nats authority')
  return decodeState(bytes)
}

export class BrokerThief {
  readonly channel: Channel
  /** everything since the theft, in order */
  readonly heard: Heard[] = []
  readonly stolen: StolenSession

  private constructor(channel: Channel, stolen: StolenSession) {
    this.channel = channel
    this.stolen = stolen
  }

  /** Resolves when everything that is sent from now on is heard. */
  static async enter(mesh: TestMesh): Promise<BrokerThief> {
    const stolen = stealSession(mesh)
    const { account } = (await readAuthority(mesh)).keys
    const key = generateNkey('user')
    const now = Math.floor(Date.now() / 1000)
    const claims = {
      publicKey: key.publicKey,
      name: 'thief',
      account: account.publicKey,
      issuedAtS: now,
      expiresS: now + LIFE_S,
      permissions: { pub: ['>'], sub: ['>'] },
    }
    const { session, trust } = stolen
    const channel = await connectNats({
      servers: [`127.0.0.1:${mesh.programs.natsPort}`],
      identity: session.identity,
      credentials: { jwt: encodeUserJwt(claims, account.signer), key },
      trust,
      expectServer: session.credentials.nats.serverId,
      clock: systemClock,
      log: silentLogger,
    })
    const thief = new BrokerThief(channel, stolen)
    channel.subscribe('>', ({ subject, replyTo, data }) => {
      thief.heard.push({ subject, replyTo, data: Buffer.from(data), atMs: performance.now() })
    })
    await channel.flush()
    return thief
  }

  /** Whose session was stolen, over this connection, by hand. */
  principal(): Principal {
    const { session, trust, options } = this.stolen
    const { identity, credentials } = session
    return new Principal({
      identity,
      trust,
      hubId: options.context.hubId,
      hubKey: credentials.hub_key,
      channel: this.channel,
    })
  }

  /** A capability that the hub gives whose session was stolen. Rejects as the hub refuses. */
  async capability(node: string, argv: readonly string[]): Promise<Granted> {
    const principal = this.principal()
    const cmd = principal.spawnOn(node, argv)
    const { access_token: token, zt } = await this.client().hub('token', principal.tokenRequest(cmd))
    return { node, cmd, token, nodeKey: zt.node_key }
  }

  /** What the operator would see whose session was stolen, over a connection that nobody can close. */
  client(): Client {
    const { session, trust, options } = this.stolen
    return new Client({ channel: this.channel, session, trust }, options)
  }

  async leave(): Promise<void> {
    await this.channel.close()
  }
}
