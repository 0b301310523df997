// A node as far as revocation goes: admitted by the hub, with a connection, a log and a deny list of its own, and the
// node's own checks 1 to 9. Many of them run in one process; what starts programs is left out.
import { generateKeyPairSync, randomUUID, sign } from 'node:crypto'
import { join } from 'node:path'
import { admit, type Admission } from '#node-agent/attest/admission.ts'
import { joinTokenAttestor } from '#node-agent/attest/join-token.ts'
import { openNodeLog, type NodeLog } from '#node-agent/audit/node-log.ts'
import { proveEnvelope, type EnvelopeJudge } from '#node-agent/commands/checks/envelope.ts'
import { Trail } from '#node-agent/commands/trail.ts'
import { KeyRing } from '#node-agent/identity/key-ring.ts'
import { Generation } from '#node-agent/link/generation.ts'
import { SenderRates } from '#node-agent/rate.ts'
import { Denials } from '#node-agent/revocation/denials.ts'
import type { DeviceKey } from '#node-agent/state/device-key.ts'
import { isZtError } from '#shared/errors/error.ts'
import { systemClock } from '#shared/host/clock.ts'
import { HubHttps } from '#shared/host/hub-https.ts'
import { silentLogger } from '#shared/host/logger.ts'
import { parseNodeName, type NodeName } from '#shared/identity/names.ts'
import { nodeId, parseSpiffeId, trustDomainOf, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import { generateP256 } from '#shared/jose/keys.ts'
import { createNoteSigner } from '#shared/log/note.ts'
import { signEncKeyWith } from '#shared/protocol/enc-key.ts'
import { commandSubject } from '#shared/protocol/subjects.ts'
import { openBundle } from '#shared/x509/bundle.ts'
import { SvidValidator } from '#shared/x509/svid.ts'

export interface DenyNodeOptions {
  readonly url: string
  readonly hubId: string
  /** signed, and the fingerprint of the root that it is opened with */
  readonly bundle: string
  readonly root: string
  readonly dir: string
  readonly name: string
  readonly token: string
}

/** A message that the node would take, from somebody who is not revoked yet. */
export interface Armed {
  readonly text: string
  readonly replyTo: string
}

const clock = systemClock

export class DenyNode {
  readonly name: NodeName
  /** statement of the key that messages are sealed to */
  readonly encKey: string
  readonly #judge: EnvelopeJudge
  readonly #generation: Generation
  readonly #log: NodeLog
  #armed: Armed | undefined
  #refused: ((ns: bigint) => void) | undefined

  private constructor(made: {
    name: NodeName
    encKey: string
    judge: EnvelopeJudge
    generation: Generation
    log: NodeLog
  }) {
    this.name = made.name
    this.encKey = made.encKey
    this.#judge = made.judge
    this.#generation = made.generation
    this.#log = made.log
  }

  /** Joins and connects. Errors: those of admit() and Generation.open(). */
  static async join(options: DenyNodeOptions): Promise<DenyNode> {
    const name = parseNodeName(options.name)
    const trust = new SvidValidator(openBundle(options.bundle, { pinnedRoot: options.root }, clock.now()))
    const { log, me, admission } = await joinHub(options, name, trust)
    let made: DenyNode | undefined
    const changed = (): void => made?.tryArmed()
    const denials = new Denials({ log, trust, clock, logger: silentLogger, changed })
    await denials.offer(admission.deny)
    const keys = new KeyRing(clock)
    keys.add(admission.encKey, admission.identity.notAfter)
    const onCommand = (): Promise<void> => Promise.resolve()
    const parts = {
      node: name,
      trust,
      clock,
      logger: silentLogger,
      denials,
      onCommand,
      onAck: () => undefined,
    }
    const generation = await Generation.open(parts, admission)
    const { consumed, marks } = log
    const rates = new SenderRates(clock, { burst: 1000, perSecond: 1000 })
    const judge = {
      me,
      clock,
      trust,
      deny: denials.list,
      consumed,
      marks,
      rates,
      key: (kid: string) => keys.find(kid),
    }
    const encKey = await signEncKeyWith(admission.identity, admission.encKey.publicKey, clock.now())
    made = new DenyNode({ name, encKey, judge, generation, log })
    return made
  }

  /** The message must be accepted now; resolves, with the time of the monotonic clock, when it is refused. */
  arm(armed: Armed): Promise<bigint> {
    if (this.#verdict(armed) !== 'accepted') throw new Error(`${this.name} refuses what it should accept`)
    this.#armed = armed
    return new Promise((resolve) => {
      this.#refused = resolve
    })
  }

  /** Judges the armed message again: called when another deny list is in force. */
  tryArmed(): void {
    if (this.#armed === undefined || this.#verdict(this.#armed) !== 'ZT-403-REVOKED') return
    this.#armed = undefined
    this.#refused?.(process.hrtime.bigint())
  }

  async close(): Promise<void> {
    await this.#generation.channel.close()
    await this.#log.close()
  }

  #verdict({ text, replyTo }: Armed): string {
    const subject = commandSubject(this.name)
    const arrival = { subject, replyTo, data: Buffer.from(text, 'latin1'), respond: () => undefined }
    try {
      proveEnvelope(arrival, this.#judge, new Trail())
      return 'accepted'
    } catch (error) {
      if (isZtError(error)) return error.code
      throw error
    }
  }
}

async function joinHub(
  { hubId: hub, dir, url, token }: DenyNodeOptions,
  name: NodeName,
  trust: SvidValidator,
): Promise<{ log: NodeLog; me: SpiffeId; admission: Admission }> {
  const hubId = parseSpiffeId(hub)
  const td = trustDomainOf(hubId)
  const me = nodeId(td, name)
  const origin = `${td}/log/node/${name}/e1`
  const key = generateKeyPairSync('ed25519').privateKey
  const boot = randomUUID()
  const log = openNodeLog({ file: join(dir, `${name}.db`), origin, key, clock, boot, ifMissing: 'create' })
  const admission = await admit({
    https: new HubHttps({ url, hubId, trust, clock }),
    attestor: joinTokenAttestor(token, deviceKey()),
    trust,
    clock,
    hubId,
    node: name,
    nodeId: me,
    log: { origin, vkey: createNoteSigner(origin, key).vkey },
    boot,
    keepBundle: () => undefined,
  })
  return { log, me, admission }
}

function deviceKey(): DeviceKey {
  const { privateKey, spki } = generateP256()
  return { spki, sign: (data) => sign('sha256', data, { key: privateKey, dsaEncoding: 'ieee-p1363' }) }
}
