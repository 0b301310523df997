// A client of the SPIFFE Workload API for tests, which sends and reads bytes as a test wants them: what a library would
// never send, too. Its reader of messages is protobufjs, which the server does not use.
import * as grpc from '@grpc/grpc-js'
import protobuf, { type IField, type INamespace, type Root, type Type } from 'protobufjs'

// workloadapi.proto of the standard, as protobufjs has it in JSON.
const field = (type: string, id: number): IField => ({ type, id })
const list = (type: string, id: number): IField => ({ rule: 'repeated', type, id })
const map = (type: string, id: number): IField & { readonly keyType: string } => ({
  keyType: 'string',
  type,
  id,
})
const message = <F>(fields: F): { readonly fields: F } => ({ fields })
const SCHEMA = {
  nested: {
    X509SVIDResponse: message({
      svids: list('X509SVID', 1),
      crl: list('bytes', 2),
      federatedBundles: map('bytes', 3),
    }),
    X509SVID: message({
      spiffeId: field('string', 1),
      x509Svid: field('bytes', 2),
      x509SvidKey: field('bytes', 3),
      bundle: field('bytes', 4),
      hint: field('string', 5),
    }),
    X509BundlesResponse: message({ crl: list('bytes', 1), bundles: map('bytes', 2) }),
    JWTSVIDRequest: message({ audience: list('string', 1), spiffeId: field('string', 2) }),
    JWTSVIDResponse: message({ svids: list('JWTSVID', 1) }),
    JWTSVID: message({ spiffeId: field('string', 1), svid: field('string', 2), hint: field('string', 3) }),
    JWTBundlesResponse: message({ bundles: map('bytes', 1) }),
    ValidateJWTSVIDRequest: message({ audience: field('string', 1), svid: field('string', 2) }),
    ValidateJWTSVIDResponse: message({ spiffeId: field('string', 1), claims: field('Struct', 2) }),
    Struct: message({ fields: map('Value', 1) }),
    Value: {
      oneofs: {
        kind: {
          oneof: ['nullValue', 'numberValue', 'stringValue', 'boolValue', 'structValue', 'listValue'],
        },
      },
      fields: {
        nullValue: field('int32', 1),
        numberValue: field('double', 2),
        stringValue: field('string', 3),
        boolValue: field('bool', 4),
        structValue: field('Struct', 5),
        listValue: field('ListValue', 6),
      },
    },
    ListValue: message({ values: list('Value', 1) }),
  },
} satisfies INamespace
const root: Root = protobuf.Root.fromJSON(SCHEMA)

export type Message = Readonly<Record<string, unknown>>

export interface Svid {
  readonly spiffeId: string
  readonly x509Svid: Uint8Array
  readonly x509SvidKey: Uint8Array
  readonly bundle: Uint8Array
  readonly hint: string
}

/** What a client that others wrote would make of these bytes. */
export function decode(type: string, bytes: Uint8Array): Message {
  const known: Type = root.lookupType(type)
  return known.toObject(known.decode(bytes), { defaults: true, longs: Number })
}

export function encode(type: string, content: object): Uint8Array {
  const known = root.lookupType(type)
  return known.encode(known.fromObject(content)).finish()
}

const same = (bytes: Uint8Array): Buffer => Buffer.from(bytes)
export const SECURITY_HEADER: Readonly<Record<string, string>> = { 'workload.spiffe.io': 'true' }

/** One stream as a test looks at it: what came, and how it ended. */
export class Received {
  readonly messages: Uint8Array[] = []
  ended: { readonly code: number; readonly details: string } | undefined
  readonly #call: grpc.ClientReadableStream<Uint8Array>

  constructor(call: grpc.ClientReadableStream<Uint8Array>) {
    this.#call = call
    call.on('data', (bytes: Uint8Array) => this.messages.push(bytes))
    call.on('error', () => undefined)
    call.on('status', ({ code, details }) => {
      this.ended = { code, details }
    })
  }

  cancel(): void {
    this.#call.cancel()
  }
}

export class WorkloadClient {
  readonly #client: grpc.Client

  /** `socket` is a path of this machine. */
  constructor(socket: string) {
    this.#client = new grpc.Client(`unix://${socket}`, grpc.credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
      'grpc.initial_reconnect_backoff_ms': 50,
      'grpc.max_reconnect_backoff_ms': 200,
    })
  }

  stream(method: string, options: { header?: Record<string, string>; request?: Uint8Array } = {}): Received {
    const path = `/SpiffeWorkloadAPI/${method}`
    const request = options.request ?? new Uint8Array()
    return new Received(
      this.#client.makeServerStreamRequest(path, same, same, request, metadata(options.header)),
    )
  }

  /** The answer's bytes; rejects with gRPC's error, which has a `code`. */
  unary(method: string, request: Uint8Array, header?: Record<string, string>): Promise<Uint8Array> {
    const path = `/SpiffeWorkloadAPI/${method}`
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(path, same, same, request, metadata(header), (error, answer) => {
        if (error !== null) reject(error)
        else if (answer === undefined) reject(new Error('no answer'))
        else resolve(answer)
      })
    })
  }

  close(): void {
    this.#client.close()
  }
}

function metadata(header: Record<string, string> = SECURITY_HEADER): grpc.Metadata {
  const all = new grpc.Metadata()
  for (const [name, value] of Object.entries(header)) all.set(name, value)
  return all
}
