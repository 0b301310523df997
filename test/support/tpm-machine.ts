// Machines with a TPM for tests of the hub: the node agent's own attestors on a real swtpm, without the rest of an agent,
// bent where a test wants that.
import { generateKeyPairSync } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { admit, type Admission } from '#node-agent/attest/admission.ts'
import type { Attestor } from '#node-agent/attest/attestor.ts'
import { tpmAttestor, tpmJoinAttestor } from '#node-agent/attest/tpm.ts'
import type { TpmSettings } from '#node-agent/config.ts'
import { systemClock } from '#shared/host/clock.ts'
import { parseNodeName } from '#shared/identity/names.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { createNoteSigner } from '#shared/log/note.ts'
import { parseJoinString, type LogIdentity } from '#shared/protocol/admission.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { httpsTo, operator, type TestClient } from './hub-client.ts'
import { startTestHub, type TestHub } from './hub.ts'
import { startSwtpm, type Swtpm } from './swtpm.ts'
import { tempDir } from './temp-dir.ts'

/** What a hub's configuration says of TPMs that this one's authority certified. */
export function trusting(...tpms: readonly Swtpm[]): { roots: string[]; intermediates: string[] } {
  return {
    roots: tpms.map(({ caDir }) => join(caDir, 'swtpm-localca-rootca-cert.pem')),
    intermediates: tpms.map(({ caDir }) => join(caDir, 'issuercert.pem')),
  }
}

export type Https = Parameters<typeof admit>[0]['https']

export interface TpmMachineOptions {
  readonly name: string
  readonly tpm: Swtpm
  /** where the attestation key's blobs are; other than another machine's, unless they are stolen */
  readonly dir: string
  readonly epoch?: number
  readonly log?: LogIdentity
  /** where the firmware's log is */
  readonly eventLog?: string
  /** in the TPM, unless given */
  readonly svidKey?: 'tpm' | 'memory'
}

export class TpmMachine {
  readonly name: string
  readonly tpm: Swtpm
  readonly keyFile: string
  readonly log: LogIdentity
  readonly #hub: TestHub
  readonly #settings: TpmSettings

  constructor(hub: TestHub, options: TpmMachineOptions) {
    const { name, tpm, dir, epoch = 1, log, eventLog = '/nonexistent', svidKey = 'tpm' } = options
    this.#hub = hub
    this.#settings = { where: tpm.device, eventLog, svidKey }
    this.name = name
    this.tpm = tpm
    mkdirSync(dir, { recursive: true, mode: 0o700 })
    this.keyFile = join(dir, 'tpm-key.json')
    this.log = log ?? logOf(hub, name, epoch)
  }

  /** Joins with a join string. */
  join(text: string, https?: Https): Promise<Admission> {
    const { token } = parseJoinString(text)
    return this.admit(tpmJoinAttestor(token, this.#parts()), https)
  }

  /** Renews with a quote. */
  renew(https?: Https): Promise<Admission> {
    return this.admit(this.attestor(), https)
  }

  /** What renews. */
  attestor(): Attestor {
    return tpmAttestor(this.#parts())
  }

  /** An admission with any attestor; `https` may bend what is sent. */
  admit(attestor: Attestor, https: Https = httpsTo(this.#hub)): Promise<Admission> {
    const node = parseNodeName(this.name)
    return admit({
      https,
      attestor,
      trust: new SvidValidator(this.#hub.bundle),
      clock: systemClock,
      hubId: parseSpiffeId(this.#hub.id),
      node,
      nodeId: parseSpiffeId(`spiffe://${this.#hub.trustDomain}/node/${node}`),
      log: this.log,
      boot: 'boot-1',
      keepBundle: () => undefined,
    })
  }

  #parts(): Parameters<typeof tpmAttestor>[0] {
    return { settings: this.#settings, keyFile: this.keyFile }
  }
}

function logOf(hub: TestHub, name: string, epoch: number): LogIdentity {
  const origin = `${hub.trustDomain}/log/node/${name}/e${epoch}`
  return { origin, vkey: createNoteSigner(origin, generateKeyPairSync('ed25519').privateKey).vkey }
}

export interface TpmHub {
  readonly dir: string
  readonly tpm: Swtpm
  readonly hub: TestHub
  readonly ann: TestClient
  /** Joins a machine under that name, with `tpm` unless another TPM is given. */
  readonly joined: (name: string, chip?: Swtpm) => Promise<{ machine: TpmMachine; admission: Admission }>
}

/** A TPM, a hub that takes those of its vendor, and an operator of it; all of it ends after `scope`. */
export async function startTpmHub(scope: Parameters<typeof startSwtpm>[0]): Promise<TpmHub> {
  const dir = await tempDir(scope)
  const tpm = await startSwtpm(scope)
  const hub = await startTestHub({ config: { tpm: trusting(tpm) } })
  scope.after(() => hub.stop())
  const ann = await operator(hub)
  scope.after(() => ann.close())
  const joined: TpmHub['joined'] = async (name, chip = tpm) => {
    const machine = new TpmMachine(hub, { name, tpm: chip, dir: join(dir, name) })
    const { join: text } = await ann.call('node.join-token', { node: parseNodeName(name) })
    return { machine, admission: await machine.join(text) }
  }
  return { dir, tpm, hub, ann, joined }
}
