// The connection to the keeper, made again whenever it is lost. A call that was under way then may or may not have been
// carried out: for a start that is said, and nobody tries it again.
import { ZtError, isZtError } from '#shared/errors/error.ts'
import { sleep } from '#shared/host/clock.ts'
import type { Logger } from '#shared/host/logger.ts'
import { connectKeeper, type ConnectOptions, type KeeperClient } from '../keeper/client.ts'
import type {
  Inspection,
  KeeperEvent,
  KillRequest,
  Prepared,
  PrepareRequest,
  Started,
  StartRequest,
} from '../keeper/protocol.ts'
import type { ProcRecord } from '../keeper/record.ts'
import type { ProcessKeeper } from './keeper-port.ts'

export interface KeeperLinkOptions extends ConnectOptions {
  readonly logger: Logger
  readonly onEvent: (event: KeeperEvent) => void
  /** after every connection but the first: events were missed, and what ran under a keeper that ended is lost */
  readonly onReconnected: () => void
}

const RETRY_MS = 500

export class KeeperLink implements ProcessKeeper {
  readonly #options: KeeperLinkOptions
  readonly #end = new AbortController()
  #client: KeeperClient | undefined

  private constructor(options: KeeperLinkOptions) {
    this.#options = options
  }

  /** Errors: ZT-503-SANDBOX if no keeper answers in time. */
  static async connect(options: KeeperLinkOptions): Promise<KeeperLink> {
    const link = new KeeperLink(options)
    await link.#connect()
    return link
  }

  async prepare(request: PrepareRequest): Promise<Prepared> {
    return this.#current().prepare(request)
  }

  /** As KeeperClient.start(), and ZT-504-OUTCOME-UNKNOWN if the connection was lost before the answer came. */
  async start(request: StartRequest): Promise<Started> {
    const client = this.#current()
    try {
      return await client.start(request)
    } catch (cause) {
      // A missing sandbox and a lost connection have one code; after a refusal the connection still answers.
      if (!isZtError(cause, 'ZT-503-SANDBOX') || (await stillThere(client))) throw cause
      throw new ZtError('ZT-504-OUTCOME-UNKNOWN', 'the keeper went away while it was starting a process', {
        cause,
      })
    }
  }

  async release(handle: string): Promise<void> {
    await this.#current().release(handle)
  }

  async list(all: boolean): Promise<readonly ProcRecord[]> {
    return this.#current().list(all)
  }

  async inspect(proc: ProcRecord['proc']): Promise<Inspection> {
    return this.#current().inspect(proc)
  }

  async kill(request: KillRequest): Promise<ProcRecord> {
    return this.#current().kill(request)
  }

  /** Leaves the keeper and its processes running. */
  close(): void {
    this.#end.abort()
    this.#client?.close()
  }

  #current(): KeeperClient {
    if (this.#client === undefined) throw new ZtError('ZT-503-SANDBOX', 'the keeper is being started again')
    return this.#client
  }

  async #connect(): Promise<void> {
    const client = await connectKeeper(this.#options)
    client.onEvent(this.#options.onEvent)
    this.#client = client
    void client.closed.then(() => this.#reconnect(client))
  }

  async #reconnect(lost: KeeperClient): Promise<void> {
    if (this.#client === lost) this.#client = undefined
    const { clock, logger, onReconnected } = this.#options
    const { signal } = this.#end
    while (!signal.aborted) {
      try {
        await this.#connect()
        logger.warn('the keeper was connected again')
        onReconnected()
        return
      } catch (error) {
        logger.error('the keeper cannot be reached', { error })
        await sleep(clock, RETRY_MS, signal)
      }
    }
  }
}

/** Whether the connection lives: an answer that it is gone is the last thing that it says. */
async function stillThere(client: KeeperClient): Promise<boolean> {
  return Promise.race([client.closed.then(() => false), client.list(false).then(yes, no)])
}

const yes = (): boolean => true
const no = (): boolean => false
