// Any statement that is signed by an SVID: who signed is proved before a byte of the body is looked at.
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import type { JsonValue } from '#shared/encoding/json-value.ts'
import { signerOf, svidSigner, type HeldIdentity, type Identity } from '#shared/identity/identity.ts'
import { parseJws, signJws, signJwsWith, verifyJws } from '#shared/jose/jws.ts'
import type { SvidValidator, VerifiedSvid } from '#shared/x509/svid.ts'

export interface SignedContext {
  readonly trust: SvidValidator
  /** UTC, milliseconds */
  readonly now: number
}

export interface SignedForm {
  readonly typ: string
  readonly maxBytes: number
}

export interface OpenedStatement {
  readonly payload: JsonValue
  readonly svid: VerifiedSvid
}

/**
 * Shape, then chain at `now`, then signature, then strict JSON. The caller still checks that this signer may say this.
 * Errors: ZT-400-MALFORMED, ZT-401-CERT, ZT-401-SIG, ZT-413-SIZE, ZT-422-SCHEMA.
 */
export function openSigned(text: string, options: SignedForm & SignedContext): OpenedStatement {
  const jws = parseJws(text, options)
  const svid = options.trust.validate(jws.x5c, options.now)
  const bytes = verifyJws(jws, svid.publicKey)
  return { payload: parseStrictJson(bytes, { maxBytes: options.maxBytes }), svid }
}

/** Signs the canonical JSON of `body` with the SVID's key. */
export function signStatement(identity: Identity, typ: string, body: unknown): string {
  return signJws({ typ, payload: canonicalBytes(body), signer: svidSigner(identity) })
}

/** The same with a key that may be in a module. */
export function signStatementWith(
  identity: Identity | HeldIdentity,
  typ: string,
  body: unknown,
): Promise<string> {
  return signJwsWith({ typ, payload: canonicalBytes(body), signer: signerOf(identity) })
}
