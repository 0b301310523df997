// The messages of the SPIFFE Workload API (workloadapi.proto), and no others: those that a client sends are read, those
// that we send are written. Field numbers are the standard's.
import type { JsonObject, JsonValue } from '#shared/encoding/json-value.ts'
import { ZtError } from '#shared/errors/error.ts'
import { bytesField, doubleField, integerField, mapField, part, readTexts, textField } from './protobuf.ts'

/** By the SPIFFE ID of the trust domain. */
export type Bundles = ReadonlyMap<string, Uint8Array>

export interface X509Svid {
  readonly spiffeId: string
  /** DER, leaf first */
  readonly chain: readonly Uint8Array[]
  /** DER of an unencrypted PKCS#8 key */
  readonly key: Uint8Array
  /** DER certificates, one after the other */
  readonly bundle: Uint8Array
}

export interface JwtSvidMessage {
  readonly spiffeId: string
  readonly token: string
}

/** `FetchX509SVID`, `FetchX509Bundles` and `FetchJWTBundles` ask for nothing in particular. */
export function readEmptyRequest(bytes: Uint8Array): void {
  readTexts(bytes, [])
}

/** §6.2.1; `spiffeId` is empty where the client asks for all that it has. ZT-422-SCHEMA without an audience. */
export function readJwtSvidRequest(bytes: Uint8Array): {
  readonly audience: readonly string[]
  readonly spiffeId: string
} {
  const texts = readTexts(bytes, [1, 2])
  const audience = texts.get(1) ?? []
  // §4.5: a mandatory field with a default value.
  if (audience.length === 0) throw missing('audience')
  return { audience, spiffeId: last(texts.get(2)) }
}

/** §6.2.3. ZT-422-SCHEMA without an audience or a token. */
export function readValidateRequest(bytes: Uint8Array): {
  readonly audience: string
  readonly token: string
} {
  const texts = readTexts(bytes, [1, 2])
  const [audience, token] = [last(texts.get(1)), last(texts.get(2))]
  if (audience === '') throw missing('audience')
  if (token === '') throw missing('svid')
  return { audience, token }
}

export function writeX509SvidResponse(svid: X509Svid, federated: Bundles): Uint8Array {
  const { spiffeId, chain, key, bundle } = svid
  const message = [
    textField(1, spiffeId),
    bytesField(2, Buffer.concat(chain)),
    bytesField(3, key),
    bytesField(4, bundle),
  ]
  return Buffer.concat([part(1, Buffer.concat(message)), mapField(3, federated)])
}

export function writeX509BundlesResponse(bundles: Bundles): Uint8Array {
  return mapField(2, bundles)
}

export function writeJwtSvidResponse({ spiffeId, token }: JwtSvidMessage): Uint8Array {
  return part(1, Buffer.concat([textField(1, spiffeId), textField(2, token)]))
}

/** `bundles` are JWK sets. */
export function writeJwtBundlesResponse(bundles: Bundles): Uint8Array {
  return mapField(1, bundles)
}

export function writeValidateResponse(spiffeId: string, claims: JsonObject): Uint8Array {
  return Buffer.concat([textField(1, spiffeId), part(2, struct(claims))])
}

// google.protobuf.Struct: fields = 1.
function struct(object: JsonObject): Uint8Array {
  const entries = Object.entries<JsonValue>(object).map(([name, member]) => [name, value(member)] as const)
  return mapField(1, new Map(entries))
}

// google.protobuf.Value: null_value = 1, number_value = 2, string_value = 3, bool_value = 4, struct_value = 5,
// list_value = 6.
function value(json: JsonValue): Uint8Array {
  if (json === null) return integerField(1, 0)
  if (typeof json === 'number') return doubleField(2, json)
  if (typeof json === 'string') return part(3, Buffer.from(json))
  if (typeof json === 'boolean') return integerField(4, json ? 1 : 0)
  if (isList(json)) return part(6, Buffer.concat(json.map((item) => part(1, value(item)))))
  return part(5, struct(json))
}

const isList = (json: readonly JsonValue[] | JsonObject): json is readonly JsonValue[] => Array.isArray(json)

/** Of a field that is not repeated the last one counts. */
function last(values: readonly string[] | undefined): string {
  return values?.at(-1) ?? ''
}

function missing(field: string): ZtError {
  return new ZtError('ZT-422-SCHEMA', `field "${field}" is missing`, { details: { field } })
}
