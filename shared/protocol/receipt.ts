// "zt-receipt+jws": the signed answer to one command or request, sealed to the key that the asker named in it. It names
// the audit row, so whoever holds it holds evidence of that row.
import type { KeyObject } from 'node:crypto'
import { decodeBase64url } from '#shared/encoding/base64url.ts'
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import {
  integer,
  literal,
  object,
  optional,
  record,
  refuseField,
  string,
  unparsed,
  type Parser,
} from '#shared/encoding/shape.ts'
import { ZtError, type WireError } from '#shared/errors/error.ts'
import { signerOf, type HeldIdentity, type Identity } from '#shared/identity/identity.ts'
import { principalKind, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import { openJwe, sealJwe } from '#shared/jose/jwe.ts'
import { signJwsWith } from '#shared/jose/jws.ts'
import { ENVELOPE_TYP, type EnvelopeHead } from './envelope.ts'
import { bytes32Field, noteField, originField, secondsField, spiffeIdField, uuidField } from './fields.ts'
import { openSigned, type SignedContext } from './signed.ts'

export const RECEIPT_TYP = 'zt-receipt+jws'
/** Bytes of a sealed receipt, at most: below what NATS carries in one message. */
export const MAX_RECEIPT_BYTES: number = 768 * 1024

const REPLY_KID = 'reply'

/** The audit row of the decision that the receipt answers for. */
export interface RowReference {
  readonly log: string
  readonly seq: number
  /** base64url */
  readonly hash: string
}

/** An error as it came over the wire: a newer peer may use a code that is not known here. */
export interface ReceivedError extends Omit<WireError, 'code'> {
  readonly code: string
}

interface ReceiptHead {
  readonly v: 1
  readonly iss: SpiffeId
  readonly aud: SpiffeId
  /** `jti` of the envelope */
  readonly re: string
  readonly op: string
  readonly iat: number
  /** a node that did something always names the row; a hub does where it decided something */
  readonly row?: RowReference
  /** signed note of the log, larger than the row's number */
  readonly checkpoint?: string
}

export interface ReceiptOk extends ReceiptHead {
  readonly ok: true
  /** read by the parser of that operation */
  readonly result: unknown
}

export interface ReceiptError extends ReceiptHead {
  readonly ok: false
  readonly error: ReceivedError
}

export type Receipt = ReceiptOk | ReceiptError

export type Outcome = {
  readonly op: string
  readonly row?: RowReference
  readonly checkpoint?: string
} & ({ readonly ok: true; readonly result: unknown } | { readonly ok: false; readonly error: WireError })

export interface ReceiptContext extends SignedContext {
  /** who was asked, who asked, and `jti` of the question */
  readonly from: SpiffeId
  readonly to: SpiffeId
  readonly re: string
  /** private half of the envelope's `replyKey` */
  readonly key: KeyObject
}

const head = {
  v: literal(1),
  iss: spiffeIdField,
  aud: spiffeIdField,
  re: uuidField,
  op: string({ min: 1, max: 64, pattern: /^[a-z.-]+$/ }),
  iat: secondsField,
  row: optional(object({ log: originField, seq: integer({ min: 0 }), hash: bytes32Field })),
  checkpoint: optional(noteField),
}

const detail: Parser<string | number> = (value, path) =>
  typeof value === 'number'
    ? integer({ min: -Number.MAX_SAFE_INTEGER })(value, path)
    : string({ max: 512 })(value, path)

const receiptOk: Parser<ReceiptOk> = object({ ...head, ok: literal(true), result: unparsed })

const receiptError: Parser<ReceiptError> = object({
  ...head,
  ok: literal(false),
  error: object({
    code: string({ max: 64, pattern: /^ZT-[0-9A-Z-]+$/ }),
    message: string({ max: 1024 }),
    requestId: string({ max: 64 }),
    details: optional(record(/^[A-Za-z0-9_]{1,64}$/, detail, { max: 32 })),
  }),
})

/** The answer to `envelope`, signed and sealed. `now` in ms. ZT-413-SIZE if the result is too large to send. */
export async function sealReceipt(
  identity: Identity | HeldIdentity,
  answer: { readonly to: EnvelopeHead; readonly outcome: Outcome; readonly now: number },
): Promise<string> {
  const { to, outcome, now } = answer
  const payload = canonicalBytes({
    v: 1,
    iss: identity.id,
    aud: to.iss,
    re: to.jti,
    iat: Math.floor(now / 1000),
    ...outcome,
  })
  const inner = await signJwsWith({ typ: RECEIPT_TYP, payload, signer: signerOf(identity) })
  const publicKey = decodeBase64url(to.replyKey, 'replyKey')
  const recipient = { kid: REPLY_KID, publicKey, typ: ENVELOPE_TYP, cty: RECEIPT_TYP }
  const text = sealJwe(Buffer.from(inner, 'ascii'), recipient)
  if (text.length > MAX_RECEIPT_BYTES) {
    throw new ZtError('ZT-413-SIZE', `receipt would be larger than ${MAX_RECEIPT_BYTES} bytes`)
  }
  return text
}

/**
 * Opens the answer to one's own question. Errors of openJwe() and openSigned(); ZT-421-MISDIRECTED if it is from
 * somebody else, for somebody else or for another question; ZT-422-SCHEMA, also when a node names no row for what it did.
 */
export function openReceipt(text: string, context: ReceiptContext): Receipt {
  const { plaintext } = openJwe(text, {
    typ: ENVELOPE_TYP,
    cty: RECEIPT_TYP,
    maxBytes: MAX_RECEIPT_BYTES,
    key: (kid) => (kid === REPLY_KID ? context.key : undefined),
  })
  const inner = Buffer.from(plaintext).toString('latin1')
  const { trust, now } = context
  const { payload, svid } = openSigned(inner, { typ: RECEIPT_TYP, maxBytes: MAX_RECEIPT_BYTES, trust, now })
  const receipt = parseReceipt(payload)
  if (svid.id !== context.from || receipt.iss !== svid.id) throw misdirected('iss')
  if (receipt.aud !== context.to) throw misdirected('aud')
  if (receipt.re !== context.re) throw misdirected('re')
  const evidence = receipt.row !== undefined && receipt.checkpoint !== undefined
  if (receipt.ok && principalKind(svid.id) === 'node' && !evidence) refuseField('row', 'is missing')
  return receipt
}

function parseReceipt(payload: unknown): Receipt {
  const ok: unknown =
    typeof payload === 'object' && payload !== null && 'ok' in payload ? payload.ok : undefined
  return ok === true ? receiptOk(payload, '') : receiptError(payload, '')
}

function misdirected(field: string): ZtError {
  return new ZtError('ZT-421-MISDIRECTED', `field "${field}" of the receipt does not belong here`, {
    details: { field },
  })
}
