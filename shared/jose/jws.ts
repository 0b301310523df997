// Compact JWS (RFC 7515) of one shape: the header says its type, carries the certificate chain, and has nothing that
// could point a verifier at a key of the sender's choice. A parsed JWS hands out its payload only after verification.
import { verify, type KeyObject } from 'node:crypto'
import { decodeBase64, decodeBase64url, encodeBase64, encodeBase64url } from '#shared/encoding/base64url.ts'
import { array, base64urlText, literal, object, oneOf, string, type Parser } from '#shared/encoding/shape.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import { isCurve, thumbprint } from './keys.ts'

export type JwsAlgorithm = 'ES256' | 'ES384'

export interface Signer {
  readonly alg: JwsAlgorithm
  /** DER: leaf and intermediate, or the root alone */
  readonly x5c: readonly Uint8Array[]
  /** `r || s` (IEEE P1363) over `data` */
  sign(data: Uint8Array): Uint8Array | Promise<Uint8Array>
}

/** A signer whose key is in memory. */
export interface SvidSigner extends Signer {
  readonly alg: 'ES256'
  sign(data: Uint8Array): Uint8Array
}

export interface JwsInput<S extends Signer = Signer> {
  readonly typ: string
  readonly payload: Uint8Array
  readonly signer: S
}

export interface JwsHeader {
  readonly alg: JwsAlgorithm
  readonly typ: string
  readonly x5c: readonly string[]
  readonly 'x5t#S256': string
  readonly crit: readonly 'zt'[]
  readonly zt: 1
}

/** Well-formed, and not verified: the payload comes from verifyJws() alone. */
export interface ParsedJws {
  readonly header: JwsHeader
  /** DER, as received */
  readonly x5c: readonly Uint8Array[]
  /** base64url SHA-256 of `x5c[0]`; equal to the header's `x5t#S256` */
  readonly thumbprint: string
  readonly signingInput: Uint8Array
  readonly signature: Uint8Array
}

/** The one type that a root signs: its key is P-384, and its chain is itself. */
export const BUNDLE_TYP = 'zt-bundle+jws'

const MAX_HEADER_BYTES = 8 * 1024
const MAX_CERTIFICATE_BYTES = 4 * 1024

interface Algorithm {
  readonly hash: string
  readonly curve: 'prime256v1' | 'secp384r1'
  readonly signatureBytes: number
  readonly chainLength: number
}

const ALGORITHMS: Readonly<Record<JwsAlgorithm, Algorithm>> = {
  // RFC 7518 §3.4
  ES256: { hash: 'sha256', curve: 'prime256v1', signatureBytes: 64, chainLength: 2 },
  ES384: { hash: 'sha384', curve: 'secp384r1', signatureBytes: 96, chainLength: 1 },
}

const parseHeader: Parser<JwsHeader> = object({
  alg: oneOf(['ES256', 'ES384']),
  typ: string({ min: 1, max: 64 }),
  x5c: array(string({ max: Math.ceil((MAX_CERTIFICATE_BYTES * 4) / 3) + 2 }), { min: 1, max: 2 }),
  'x5t#S256': base64urlText({ min: 32, max: 32 }),
  // RFC 7515 §4.1.11: a receiver must refuse what it does not understand; we understand just this one.
  crit: array(literal('zt'), { min: 1, max: 1 }),
  zt: literal(1),
})

/** Signs with a key in memory. */
export function signJws(input: JwsInput<SvidSigner>): string {
  const text = signingText(input)
  return `${text}.${encodeBase64url(input.signer.sign(Buffer.from(text, 'ascii')))}`
}

/** Signs with a key that may be in a module. */
export async function signJwsWith(input: JwsInput): Promise<string> {
  const text = signingText(input)
  return `${text}.${encodeBase64url(await input.signer.sign(Buffer.from(text, 'ascii')))}`
}

/**
 * Reads the shape of a compact JWS of type `typ`: size, closed header, algorithm of that type, canonical base64, and
 * `x5t#S256` equal to the digest of `x5c[0]`. ZT-400-MALFORMED for everything it refuses.
 */
export function parseJws(
  text: string,
  expected: { readonly typ: string; readonly maxBytes: number },
): ParsedJws {
  if (text.length > expected.maxBytes) throw refuse(`larger than ${expected.maxBytes} bytes`)
  const [protectedPart, payloadPart, signaturePart, ...rest] = text.split('.')
  if (
    protectedPart === undefined ||
    payloadPart === undefined ||
    signaturePart === undefined ||
    rest.length > 0
  ) {
    throw refuse('not three parts')
  }
  const header = readHeader(protectedPart, expected.typ)
  decodeBase64url(payloadPart, 'payload')
  const signature = decodeBase64url(signaturePart, 'signature')
  if (signature.length !== ALGORITHMS[header.alg].signatureBytes)
    throw refuse('signature has the wrong length')
  const x5c = header.x5c.map((certificate) => decodeBase64(certificate, 'x5c'))
  const actual = thumbprint(x5c[0] ?? new Uint8Array())
  if (actual !== header['x5t#S256'])
    throw refuse('field "x5t#S256" is not the digest of the first certificate')
  const signingInput = Buffer.from(text.slice(0, protectedPart.length + 1 + payloadPart.length), 'ascii')
  return { header, x5c, thumbprint: actual, signingInput, signature }
}

/**
 * Verifies over the received bytes and returns the payload. The caller has proved whose key it is.
 * ZT-401-SIG if the signature does not hold or the key is of another kind than the algorithm says.
 */
export function verifyJws(jws: ParsedJws, publicKey: KeyObject): Uint8Array {
  const { hash, curve } = ALGORITHMS[jws.header.alg]
  const holds =
    isCurve(publicKey, curve) &&
    verify(hash, jws.signingInput, { key: publicKey, dsaEncoding: 'ieee-p1363' }, jws.signature)
  if (!holds) throw new ZtError('ZT-401-SIG', 'signature does not verify')
  const text = Buffer.from(jws.signingInput).toString('ascii')
  return decodeBase64url(text.slice(text.indexOf('.') + 1), 'payload')
}

function signingText({ typ, payload, signer }: JwsInput): string {
  const [leaf] = signer.x5c
  if (leaf === undefined) throw refuse('signer has no certificate')
  const header: JwsHeader = {
    alg: signer.alg,
    typ,
    'x5t#S256': thumbprint(leaf),
    x5c: signer.x5c.map((certificate) => encodeBase64(certificate)),
    crit: ['zt'],
    zt: 1,
  }
  checkAlgorithm(header)
  return `${encodeBase64url(Buffer.from(JSON.stringify(header)))}.${encodeBase64url(payload)}`
}

function readHeader(part: string, typ: string): JwsHeader {
  const json = decodeBase64url(part, 'protected header')
  const header = malformed(() =>
    parseHeader(parseStrictJson(json, { maxBytes: MAX_HEADER_BYTES, maxDepth: 2 }), ''),
  )
  if (header.typ !== typ) throw refuse(`type is not ${typ}`)
  checkAlgorithm(header)
  return header
}

function checkAlgorithm({ alg, typ, x5c }: JwsHeader): void {
  // One algorithm a type: nobody chooses a weaker or an unexpected one.
  if (alg !== (typ === BUNDLE_TYP ? 'ES384' : 'ES256')) throw refuse('algorithm is not the one of this type')
  if (x5c.length !== ALGORITHMS[alg].chainLength) {
    throw refuse(`field "x5c" must have ${ALGORITHMS[alg].chainLength} certificates`)
  }
}

/** What a schema refuses in a header is a malformed message, not a malformed body. */
function malformed<T>(read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (!isZtError(cause)) throw cause
    throw new ZtError('ZT-400-MALFORMED', `jws header: ${cause.message}`, { cause })
  }
}

function refuse(what: string): ZtError {
  return new ZtError('ZT-400-MALFORMED', `jws: ${what}`)
}
