// A TPM device that fails on demand, around a real one: one command does not reach the TPM, or its answer comes back spoilt.
import { ZtError } from '#shared/errors/error.ts'
import type { TpmDevice } from '#shared/host/tpm/device.ts'

export type Fault = 'unsent' | 'refused' | 'spoilt'

const FLUSH_CONTEXT = 0x165
const TPM_RC_FAILURE = Buffer.from('80010000000a00000101', 'hex')

export class FailingTpm implements TpmDevice {
  readonly #device: TpmDevice
  readonly #fault: Fault
  #left: number
  #sent = 0

  /** Fails the `at`th command, counted from 1; commands that free slots are not counted and never fail. */
  constructor(device: TpmDevice, fault: Fault, at: number = Infinity) {
    this.#device = device
    this.#fault = fault
    this.#left = at
  }

  /** counted commands so far */
  get sent(): number {
    return this.#sent
  }

  async send(command: Uint8Array): Promise<Uint8Array> {
    if (Buffer.from(command).readUInt32BE(6) === FLUSH_CONTEXT) return this.#device.send(command)
    this.#sent += 1
    this.#left -= 1
    if (this.#left !== 0) return this.#device.send(command)
    if (this.#fault === 'unsent') throw new ZtError('ZT-503-TPM', 'tpm: a fault on demand')
    if (this.#fault === 'refused') return TPM_RC_FAILURE
    return spoilt(await this.#device.send(command))
  }

  close(): Promise<void> {
    return this.#device.close()
  }
}

/** One byte more at the end, and a length that says so. */
function spoilt(response: Uint8Array): Uint8Array {
  const longer = Buffer.concat([response, Buffer.of(0)])
  longer.writeUInt32BE(longer.length, 2)
  return longer
}
