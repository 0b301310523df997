// Keys in a PKCS#11 token. The module runs in a child process that lives as long as the store is open; if it crashes,
// the call in hand fails and the next one starts another.
import { fork, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { extname, join } from 'node:path'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import { canonicalSignature } from '#shared/x509/ecdsa-signature.ts'
import { hashOf, requireSignature } from './ecdsa.ts'
import { keystoreFailed, requireLabel, type KeyRequest, type KeyStore, type StoredKey } from './keystore.ts'
import { parsePkcs11Answer, type Pkcs11Answer, type Pkcs11Call, type TokenLocation } from './pkcs11-wire.ts'

export interface Pkcs11Options extends TokenLocation {
  /** SOFTHSM2_CONF of the child; its environment has nothing else in it */
  readonly softhsmConf?: string
  /** how long one call may take, 60,000 ms unless given */
  readonly timeoutMs?: number
}

interface Waiting {
  readonly resolve: (answer: Pkcs11Answer) => void
  readonly reject: (error: unknown) => void
}

/** Logs in to the token. Throws ZT-400-CONFIG for a PIN file that others can read, ZT-500-KEYSTORE for the rest. */
export async function openPkcs11KeyStore(options: Pkcs11Options): Promise<KeyStore> {
  const store = new Pkcs11KeyStore(options)
  await store.open()
  return store
}

class Pkcs11KeyStore implements KeyStore {
  readonly #options: Pkcs11Options
  #child: Pkcs11Child | undefined
  #closed = false

  constructor(options: Pkcs11Options) {
    this.#options = options
  }

  /** Starts a child and logs in, unless one is running. */
  async open(): Promise<Pkcs11Child> {
    if (this.#closed) throw keystoreFailed('it is closed')
    if (this.#child?.running === true) return this.#child
    const child = new Pkcs11Child(this.#options)
    const { module, token, pinFile } = this.#options
    try {
      await child.call({ op: 'open', location: { module, token, pinFile } })
    } catch (error) {
      child.end()
      throw error
    }
    this.#child = child
    return child
  }

  async generate({ label, curve }: KeyRequest): Promise<StoredKey> {
    requireLabel(label)
    const child = await this.open()
    return this.#stored(label, await child.call({ op: 'generate', label, curve }))
  }

  async find(label: string): Promise<StoredKey | undefined> {
    requireLabel(label)
    const child = await this.open()
    const answer = await child.call({ op: 'find', label })
    return answer.key === undefined ? undefined : this.#stored(label, answer)
  }

  async destroy(label: string): Promise<void> {
    requireLabel(label)
    const child = await this.open()
    await child.call({ op: 'destroy', label })
  }

  async random(bytes: number): Promise<Uint8Array> {
    const child = await this.open()
    const { data } = await child.call({ op: 'random', bytes })
    if (data?.length !== bytes) throw keystoreFailed('the token gave fewer random octets than were asked for')
    return data
  }

  async close(): Promise<void> {
    this.#closed = true
    if (this.#child?.running !== true) return
    try {
      await this.#child.call({ op: 'close' })
    } finally {
      this.#child.end()
    }
  }

  #stored(label: string, { key }: Pkcs11Answer): StoredKey {
    if (key === undefined) throw keystoreFailed('the module did not say which key it made')
    const { curve } = key
    const sign = async (data: Uint8Array): Promise<Uint8Array> => {
      const child = await this.open()
      const digest = createHash(hashOf(curve)).update(data).digest('base64url')
      const answer = await child.call({ op: 'sign', label, digest })
      const signature = canonicalSignature(answer.data ?? new Uint8Array(), curve)
      requireSignature({ data, signature, key })
      return signature
    }
    return { label, curve, spki: key.spki, sign }
  }
}

/** One child process; every answer is matched to its request by number. */
class Pkcs11Child {
  readonly #process: ChildProcess
  readonly #timeoutMs: number
  readonly #waiting = new Map<number, Waiting>()
  #nextId = 0
  #ended: ZtError | undefined

  constructor({ softhsmConf, timeoutMs = 60_000 }: Pkcs11Options) {
    this.#timeoutMs = timeoutMs
    // The bundled program has the child beside it under the same name.
    const program = join(import.meta.dirname, `pkcs11-child${extname(import.meta.filename)}`)
    this.#process = fork(program, [], {
      env: softhsmConf === undefined ? {} : { SOFTHSM2_CONF: softhsmConf },
      execArgv: [],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    })
    this.#process.on('message', (message: unknown) => this.#receive(message))
    this.#process.on('error', (error) => this.#fail(keystoreFailed('the module has no process', error)))
    this.#process.on('exit', (status, signal) => {
      this.#fail(keystoreFailed(`the process of the module ended (${signal ?? `status ${status}`})`))
    })
  }

  get running(): boolean {
    return this.#ended === undefined
  }

  call(call: Pkcs11Call): Promise<Pkcs11Answer> {
    const ended = this.#ended
    if (ended !== undefined) return Promise.reject(ended)
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#fail(keystoreFailed('the module does not answer'))
        this.end()
      }, this.#timeoutMs)
      const settle = <T>(action: (value: T) => void) => {
        return (value: T): void => {
          clearTimeout(timer)
          action(value)
        }
      }
      this.#waiting.set(id, { resolve: settle(resolve), reject: settle(reject) })
      this.#process.send({ id, call })
    })
  }

  end(): void {
    this.#process.kill('SIGKILL')
  }

  #receive(message: unknown): void {
    const answer = this.#parse(message)
    const waiting = answer === undefined ? undefined : this.#waiting.get(answer.id)
    if (answer === undefined || waiting === undefined) return
    this.#waiting.delete(answer.id)
    if (answer.error === undefined) waiting.resolve(answer)
    else waiting.reject(new ZtError(answer.error.code, answer.error.message))
  }

  #parse(message: unknown): Pkcs11Answer | undefined {
    try {
      return parsePkcs11Answer(message, 'answer')
    } catch (error) {
      if (!isZtError(error)) throw error
      this.#fail(keystoreFailed('the process of the module sent nonsense', error))
      this.end()
      return undefined
    }
  }

  /** Ends every call in hand: what the module did with it is not known. */
  #fail(error: ZtError): void {
    this.#ended ??= error
    for (const { reject } of this.#waiting.values()) reject(this.#ended)
    this.#waiting.clear()
  }
}
