// The SPIFFE Workload API as a gRPC service for one task: both profiles, and nothing beside them (Workload API §2). Who
// calls is not asked: the socket is shown to that task alone. Errors say a code and no more.
import type * as Grpc from '@grpc/grpc-js'
import { isZtError, type ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { Logger } from '#shared/host/logger.ts'
import { audienceField, audiencesField, validateJwtSvid } from '#shared/spiffe/jwt-svid.ts'
import { RateBucket } from '../rate.ts'
import type { BundleWatch } from './bundles.ts'
import {
  readEmptyRequest,
  readJwtSvidRequest,
  readValidateRequest,
  writeJwtBundlesResponse,
  writeJwtSvidResponse,
  writeValidateResponse,
  writeX509BundlesResponse,
  writeX509SvidResponse,
} from './messages.ts'
import { StateStream } from './state-stream.ts'
import { isRefusal, type TaskIdentity } from './task.ts'

export interface ServiceParts {
  readonly grpc: typeof Grpc
  readonly task: TaskIdentity
  readonly bundles: BundleWatch
  readonly clock: Clock
  readonly logger: Logger
  /** called when the task goes on asking although it is told that it asks too much */
  readonly flooded: () => void
}

interface Method {
  readonly name: string
  readonly streams: boolean
}

type Unary = Grpc.ServerUnaryCall<Uint8Array, Uint8Array>
type Streaming = Grpc.ServerWritableStream<Uint8Array, Uint8Array>

const METHODS: readonly Method[] = [
  { name: 'FetchX509SVID', streams: true },
  { name: 'FetchX509Bundles', streams: true },
  { name: 'FetchJWTBundles', streams: true },
  { name: 'FetchJWTSVID', streams: false },
  { name: 'ValidateJWTSVID', streams: false },
]
/** Of one task, over all of its connections. */
const MAX_STREAMS = 32
const REQUEST_RATE = { burst: 200, perSecond: 20 }
/** Of answers that say that there are too many requests. */
const REFUSAL_RATE = { burst: 100, perSecond: 5 }
const bytes = (value: Uint8Array): Buffer => Buffer.from(value)

/** What gRPC needs to know of the service: messages stay bytes, so that what cannot be read is answered by us. */
export function workloadDefinition(): Grpc.ServiceDefinition {
  const methods = METHODS.map(({ name, streams }) => {
    const codec = { requestSerialize: bytes, requestDeserialize: bytes }
    const answers = { responseSerialize: bytes, responseDeserialize: bytes }
    const form = { path: `/SpiffeWorkloadAPI/${name}`, requestStream: false, responseStream: streams }
    return [name, { ...form, ...codec, ...answers }] as const
  })
  return Object.fromEntries(methods)
}

export class WorkloadService {
  readonly #parts: ServiceParts
  readonly #requests: RateBucket
  readonly #refusals: RateBucket
  #streams = 0

  constructor(parts: ServiceParts) {
    this.#parts = parts
    this.#requests = new RateBucket(parts.clock, REQUEST_RATE)
    this.#refusals = new RateBucket(parts.clock, REFUSAL_RATE)
  }

  handlers(): Grpc.UntypedServiceImplementation {
    return {
      FetchX509SVID: this.#streaming(this.#x509Svid, (changed, refused) => this.#watchBoth(changed, refused)),
      FetchX509Bundles: this.#streaming(this.#x509Bundles, (changed, refused) =>
        this.#watchBundles(changed, refused),
      ),
      FetchJWTBundles: this.#streaming(this.#jwtBundles, (changed, refused) =>
        this.#watchBundles(changed, refused),
      ),
      FetchJWTSVID: this.#unary((request) => this.#jwtSvid(request)),
      ValidateJWTSVID: this.#unary((request) => this.#validate(request)),
    }
  }

  readonly #x509Svid = async (): Promise<Uint8Array> => {
    const { task, bundles } = this.#parts
    const { id: spiffeId, chain, key } = await task.svid()
    const { own: bundle, federated } = await bundles.current()
    return writeX509SvidResponse({ spiffeId, chain, key, bundle }, federated)
  }

  // A task that may have no SVID may have no bundles either (§5.2.2 and §6.2.2), and that is for the hub to say.
  readonly #x509Bundles = async (): Promise<Uint8Array> => {
    await this.#parts.task.svid()
    return writeX509BundlesResponse((await this.#parts.bundles.current()).x509)
  }

  readonly #jwtBundles = async (): Promise<Uint8Array> => {
    await this.#parts.task.svid()
    return writeJwtBundlesResponse((await this.#parts.bundles.current()).jwt)
  }

  async #jwtSvid(request: Uint8Array): Promise<Uint8Array> {
    const { grpc, task } = this.#parts
    const { audience, spiffeId } = readJwtSvidRequest(request)
    const audiences = audiencesField(audience, 'audience')
    // Before a token is made: each is a row of the hub's log.
    if (spiffeId !== '' && spiffeId !== (await task.svid()).id)
      throw fault(grpc.status.PERMISSION_DENIED, 'the task has no such identity')
    const { id, token } = await task.jwt(audiences)
    return writeJwtSvidResponse({ spiffeId: id, token })
  }

  async #validate(request: Uint8Array): Promise<Uint8Array> {
    const { task, bundles, clock } = this.#parts
    const { audience, token } = readValidateRequest(request)
    await task.svid()
    const { authorities } = await bundles.current()
    const context = { audience: audienceField(audience, 'audience'), now: clock.now(), authorities }
    const { id, claims } = validateJwtSvid(token, context)
    return writeValidateResponse(id, claims)
  }

  #watchBoth(changed: () => void, refused: (error: ZtError) => void): () => void {
    const ends = [this.#parts.task.watch({ changed, refused }), this.#parts.bundles.watch(changed)]
    return () => ends.forEach((end) => end())
  }

  #watchBundles(changed: () => void, refused: (error: ZtError) => void): () => void {
    const ends = [
      this.#parts.task.watch({ changed: () => undefined, refused }),
      this.#parts.bundles.watch(changed),
    ]
    return () => ends.forEach((end) => end())
  }

  #unary(answer: (request: Uint8Array) => Promise<Uint8Array>): Grpc.handleUnaryCall<Uint8Array, Uint8Array> {
    const respond: (
      ...args: Parameters<Grpc.handleUnaryCall<Uint8Array, Uint8Array>>
    ) => Promise<void> = async (call, callback) => {
      const [outcome] = await Promise.allSettled([this.#guarded(call, () => answer(call.request))])
      if (outcome.status === 'fulfilled') callback(null, outcome.value)
      else callback(this.#status(outcome.reason))
    }
    return (call, callback) => void respond(call, callback)
  }

  #streaming(
    render: () => Promise<Uint8Array>,
    watch: (changed: () => void, refused: (error: ZtError) => void) => () => void,
  ): Grpc.handleServerStreamingCall<Uint8Array, Uint8Array> {
    return (call) => {
      const fail = (error: unknown): void => void call.emit('error', this.#status(error))
      this.#guarded(call, async () => {
        readEmptyRequest(call.request)
        if (this.#streams >= MAX_STREAMS)
          throw fault(this.#parts.grpc.status.RESOURCE_EXHAUSTED, 'the task has too many streams')
        this.#streams += 1
        new StateStream({ call, render, watch, fail, closed: () => (this.#streams -= 1) }).begin()
      }).catch(fail)
    }
  }

  async #guarded<T>(call: Unary | Streaming, work: () => Promise<T>): Promise<T> {
    this.#requireRate()
    // Workload Endpoint §3: against requests that a workload was talked into sending.
    const header = call.metadata.get('workload.spiffe.io')
    if (header.length === 1 && header[0] === 'true') return work()
    throw fault(this.#parts.grpc.status.INVALID_ARGUMENT, 'security header missing from request')
  }

  #requireRate(): void {
    if (this.#requests.take()) return
    const { grpc, flooded } = this.#parts
    if (!this.#refusals.take()) flooded()
    throw fault(grpc.status.RESOURCE_EXHAUSTED, 'the task asks too much')
  }

  /** Workload Endpoint §6. A message of ours may name what it is about; the client knows that already. */
  #status(error: unknown): Pick<Grpc.StatusObject, 'code' | 'details'> {
    if (error instanceof Fault) return { code: error.code, details: error.message }
    const { grpc, logger, task } = this.#parts
    const { status } = grpc
    if (isRefusal(error)) return { code: status.PERMISSION_DENIED, details: error.code }
    if (isZtError(error, 'ZT-422-SCHEMA') || isZtError(error, 'ZT-401-JWT-SVID'))
      return { code: status.INVALID_ARGUMENT, details: `${error.code}: ${error.message}` }
    if (isZtError(error, 'ZT-429-RATE')) return { code: status.RESOURCE_EXHAUSTED, details: error.code }
    logger.warn('a task could not be answered', { proc: task.proc, error })
    return { code: status.UNAVAILABLE, details: isZtError(error) ? error.code : 'ZT-500-INTERNAL' }
  }
}

/** An answer of gRPC alone: nothing that ztmesh has a code for. */
class Fault extends Error {
  readonly code: Grpc.status

  constructor(code: Grpc.status, message: string) {
    super(message)
    this.code = code
  }
}

const fault = (code: Grpc.status, message: string): Fault => new Fault(code, message)
