// Bytes to a TPM and back: a character device of the kernel, or a TPM that listens on TCP, as swtpm does. One command at a time,
// each with a deadline; an answer that is not exactly one response is refused before anybody reads it.
//
// What the bus sees: commands and responses cross it in the clear, empty passwords and the secret of an activated credential
// among them. On a discrete TPM a probe on that bus reads them, and an interposer can change them: SECURITY.md says what that means.
import { isIPv4 } from 'node:net'
import { ZtError } from '#shared/errors/error.ts'
import { MAX_TPM_BYTES } from '#shared/tpm/wire.ts'
import { createFileTransport } from './file-transport.ts'
import { createTcpTransport } from './tcp-transport.ts'
import { announcedBytes, type TpmTransport } from './transport.ts'

export interface TpmDevice {
  /**
   * The response to `command`, whole: at most 4096 bytes, as long as its header says. Throws ZT-503-TPM if the TPM cannot be
   * reached or does not answer in time, ZT-422-TPM if what it answers is no response, ZT-413-SIZE for a command over 4096
   * bytes.
   */
  send(command: Uint8Array): Promise<Uint8Array>
  close(): Promise<void>
}

export interface TpmFile {
  /** `/dev/tpmrm0`; also `/dev/tpm0`, whose few slots are then shared with whoever else opens it */
  readonly path: string
  readonly timeoutMs?: number
}

export interface TpmAddress {
  /** a loopback address, as a number */
  readonly host: string
  readonly port: number
  readonly timeoutMs?: number
}

// Discrete TPMs take seconds to make an elliptic key and up to half a minute for an RSA key.
const TIMEOUT_MS = 60_000

/**
 * Opens nothing yet: the first command does. Throws ZT-400-CONFIG for an address that is not this machine's own: what goes
 * to a TPM goes in the clear, and is not for a network.
 */
export function openTpm(where: TpmFile | TpmAddress): TpmDevice {
  if (!('path' in where) && !isOwnAddress(where.host))
    throw new ZtError('ZT-400-CONFIG', 'a tpm on tcp must be on a loopback address')
  const transport = 'path' in where ? createFileTransport(where.path) : createTcpTransport(where)
  return new QueuedDevice(transport, where.timeoutMs ?? TIMEOUT_MS)
}

class QueuedDevice implements TpmDevice {
  readonly #transport: TpmTransport
  readonly #timeoutMs: number
  #last: Promise<unknown> = Promise.resolve()
  #closed = false

  constructor(transport: TpmTransport, timeoutMs: number) {
    this.#transport = transport
    this.#timeoutMs = timeoutMs
  }

  send(command: Uint8Array): Promise<Uint8Array> {
    // The deadline is each command's own: waiting for those before it does not count.
    const answer = this.#last.then(() => this.#exchange(command))
    this.#last = answer.catch(() => undefined)
    return answer
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#last
    await this.#transport.close()
  }

  async #exchange(command: Uint8Array): Promise<Uint8Array> {
    if (this.#closed) throw unreachable('closed')
    if (command.length > MAX_TPM_BYTES)
      throw new ZtError('ZT-413-SIZE', `a tpm command of ${command.length} bytes, over ${MAX_TPM_BYTES}`)
    const signal = AbortSignal.timeout(this.#timeoutMs)
    const response = await this.#transport.exchange(command, signal).catch((cause: unknown) => {
      if (cause instanceof ZtError) throw cause
      throw unreachable(
        signal.aborted ? `no answer in ${this.#timeoutMs} ms` : 'input or output failed',
        cause,
      )
    })
    refuseUnlessWhole(response)
    return response
  }
}

function isOwnAddress(host: string): boolean {
  return host === '::1' || (isIPv4(host) && host.startsWith('127.'))
}

function refuseUnlessWhole(response: Uint8Array): void {
  const announced = announcedBytes(response)
  if (announced === response.length) return
  const what = `tpm response has ${response.length} bytes and says ${announced ?? 'nothing'}`
  throw new ZtError('ZT-422-TPM', what)
}

function unreachable(reason: string, cause?: unknown): ZtError {
  return new ZtError('ZT-503-TPM', `tpm: ${reason}`, { cause, details: { reason } })
}
