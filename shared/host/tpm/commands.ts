// Runs calls on a TPM that nobody manages: what a call leaves in the TPM is dropped on every path, and a TPM that is busy is
// asked again, a few times. Owns no state of the TPM between two calls of its user.
import { randomBytes } from 'node:crypto'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import { encodeCall, handleIn, parseResponse, type TpmCall, type TpmResponse } from '#shared/tpm/call.ts'
import { PROPERTY } from '#shared/tpm/constants.ts'
import type { TpmHash } from '#shared/tpm/hash.ts'
import { flushContext, type TpmObject } from '#shared/tpm/object-calls.ts'
import { getHandles, getProperties, startup } from '#shared/tpm/platform-calls.ts'
import { startPolicySession } from '#shared/tpm/policy-calls.ts'
import { mayTryAgain, RC_INITIALIZE, responseCodeName } from '#shared/tpm/response-code.ts'
import { sleep, type Clock } from '../clock.ts'
import type { TpmDevice } from './device.ts'

const MAX_TRIES = 8
const FIRST_PAUSE_MS = 10
// A page holds at least one item; no TPM has so many of anything.
const MAX_PAGES = 64

export class TpmCommands {
  readonly #device: TpmDevice
  readonly #clock: Clock

  constructor(device: TpmDevice, clock: Clock) {
    this.#device = device
    this.#clock = clock
  }

  /**
   * The result of `call`. Throws ZT-503-TPM with the TPM's own code in details.rc and details.number if the TPM refuses, or
   * is still busy after 8 tries (1.3 s of pauses); ZT-422-TPM if its response is malformed; and as the device does.
   */
  async run<T>(call: TpmCall<T>): Promise<T> {
    const command = encodeCall(call)
    for (let attempt = 1; ; attempt += 1) {
      const response = await this.#once(call, command)
      if (response.kind === 'result') return response.value
      if (attempt === MAX_TRIES || !mayTryAgain(response.code)) throw refusal(call, response.code)
      await sleep(this.#clock, FIRST_PAUSE_MS * 2 ** (attempt - 1))
    }
  }

  /** Runs `use` with the object that `make` leaves in the TPM, and drops it afterwards in any case. */
  async withObject<T, O extends { readonly handle: number }>(
    make: TpmCall<O>,
    use: (object: O) => Promise<T>,
  ): Promise<T> {
    const object = await this.run(make)
    return this.#dropping(object.handle, () => use(object))
  }

  /** As withObject(), for the child of a primary object that is dropped before `use` runs: one slot less is taken. */
  async withChild<T>(
    parent: TpmCall<TpmObject>,
    make: (parent: number) => TpmCall<TpmObject>,
    use: (object: TpmObject) => Promise<T>,
  ): Promise<T> {
    const loaded: TpmObject[] = []
    try {
      await this.withObject(parent, async ({ handle }) => loaded.push(await this.run(make(handle))))
    } catch (error) {
      // The child was loaded and then its parent could not be dropped: the child must not stay either.
      for (const { handle } of loaded) await this.#drop(handle)
      throw error
    }
    const [child] = loaded
    if (child === undefined) throw new Error('a load without a result')
    return this.#dropping(child.handle, () => use(child))
  }

  /** Runs `use` with a policy session, and drops it afterwards in any case. */
  async withPolicySession<T>(hash: TpmHash, use: (session: number) => Promise<T>): Promise<T> {
    const session = await this.run(startPolicySession(hash, sessionNonce()))
    return this.#dropping(session, () => use(session))
  }

  /** Every handle in use of the kind that `first` begins. */
  async handles(first: number): Promise<readonly number[]> {
    const end = first - (first % 0x100_0000) + 0x100_0000
    const found: number[] = []
    let from = first
    for (let pages = 0; pages < MAX_PAGES; pages += 1) {
      const { items, more } = await this.run(getHandles(from))
      found.push(...items.filter((handle) => handle >= from && handle < end))
      const last = found.at(-1)
      if (!more || last === undefined || last < from) break
      from = last + 1
    }
    return found
  }

  /** One of the TPM's properties, undefined if it does not have it. */
  async property(property: number): Promise<number | undefined> {
    const { items } = await this.run(getProperties(property))
    return items.find((item) => item.property === property)?.value
  }

  /** Resolves once the TPM takes commands: starts one that nobody has started since its reset, as a bare swtpm is. */
  async ready(): Promise<void> {
    try {
      await this.property(PROPERTY.manufacturer)
    } catch (error) {
      if (!(isZtError(error, 'ZT-503-TPM') && error.details['number'] === RC_INITIALIZE)) throw error
      await this.run(startup())
    }
  }

  async #once<T>(call: TpmCall<T>, command: Uint8Array): Promise<TpmResponse<T>> {
    const bytes = await this.#device.send(command)
    try {
      return parseResponse(bytes, call)
    } catch (error) {
      // What cannot be read may have left something behind all the same.
      const handle = handleIn(bytes, call)
      if (handle !== undefined) await this.#drop(handle)
      throw error
    }
  }

  async #dropping<T>(handle: number, use: () => Promise<T>): Promise<T> {
    let result: T
    try {
      result = await use()
    } catch (error) {
      await this.#drop(handle)
      throw error
    }
    await this.run(flushContext(handle))
    return result
  }

  // After a failure, which is what the caller is to hear of. If this one fails too, the TPM does not answer: the slot is taken
  // until its resource manager sees the file closed, or until its next reset.
  async #drop(handle: number): Promise<void> {
    await this.run(flushContext(handle)).catch(() => undefined)
  }
}

/** A caller's nonce of a session: Part 1 §17.6 wants at least 16 octets. */
export function sessionNonce(): Uint8Array {
  return new Uint8Array(randomBytes(16))
}

function refusal(call: TpmCall<unknown>, code: number): ZtError {
  const rc = responseCodeName(code)
  const number = `0x${code.toString(16)}`
  return new ZtError('ZT-503-TPM', `tpm: ${call.command} refused with ${rc} (${number})`, {
    details: { command: call.command, rc, number: code },
  })
}
