// What the NATS authority keeps between starts, sealed by its owner: the signing seeds, and who was revoked lately.
// The identity keys of operator and accounts are not here: they signed once, at creation, and were forgotten.
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import {
  base64urlText,
  integer,
  literal,
  object,
  record,
  string,
  type ObjectOf,
} from '#shared/encoding/shape.ts'
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { MAX_REVOCATIONS, encodeOperatorJwt } from '#shared/nats/claims.ts'
import { generateNkey, nkeyFromSeed, parseNkeyPublic, type Nkey, type NkeyKind } from '#shared/nats/nkeys.ts'

/** Sealed storage that the hub gives: what is saved is secret, and is whole or not there. */
export interface SealedStore {
  load(): Promise<Uint8Array | undefined>
  /** Resolves when the bytes are durable. */
  save(bytes: Uint8Array): Promise<void>
}

export interface AuthorityKeys {
  readonly operatorJwt: string
  readonly operator: Nkey
  readonly account: AccountKeys
  readonly system: AccountKeys
}

/** An account by its public key, and the key that signs its users. */
export interface AccountKeys {
  readonly publicKey: string
  readonly signer: Nkey
}

export interface AuthorityState {
  readonly keys: AuthorityKeys
  /** user key → second: tokens of that key issued up to then count no more */
  readonly revoked: ReadonlyMap<string, number>
}

const MAX_BYTES = 1024 * 1024

const seed = base64urlText({ min: 32, max: 32 })
const account = object({ publicKey: string({ max: 56 }), seed })
const parseState = object({
  v: literal(1),
  operatorJwt: string({ max: 8192 }),
  operator: seed,
  account,
  system: account,
  revoked: record(/^U[A-Z2-7]{55}$/, integer({ min: 0 }), { max: MAX_REVOCATIONS }),
})

/** New keys, nothing revoked. `issuedAtS` is the second of now. */
export function createState(issuedAtS: number): AuthorityState {
  const root = generateNkey('operator')
  const operator = generateNkey('operator')
  const account = newAccount()
  const system = newAccount()
  const operatorJwt = encodeOperatorJwt(
    {
      publicKey: root.publicKey,
      name: 'ztmesh',
      issuedAtS,
      signingKeys: [operator.publicKey],
      systemAccount: system.publicKey,
    },
    root,
  )
  return { keys: { operatorJwt, operator, account, system }, revoked: new Map() }
}

/** The bytes to be sealed. */
export function encodeState({ keys, revoked }: AuthorityState): Uint8Array {
  return canonicalBytes({
    v: 1,
    operatorJwt: keys.operatorJwt,
    operator: encodeBase64url(keys.operator.seed()),
    account: encodeAccount(keys.account),
    system: encodeAccount(keys.system),
    revoked: Object.fromEntries(revoked),
  })
}

/** The state again; ZT-422-SCHEMA or ZT-413-SIZE for bytes that encodeState() did not make. */
export function decodeState(bytes: Uint8Array): AuthorityState {
  const state = parseState(parseStrictJson(bytes, { maxBytes: MAX_BYTES }), '')
  return {
    keys: {
      operatorJwt: state.operatorJwt,
      operator: signer('operator', state.operator),
      account: decodeAccount(state.account),
      system: decodeAccount(state.system),
    },
    revoked: new Map(Object.entries(state.revoked)),
  }
}

/** The private half of the account's own key is dropped here: only its signing key can make users. */
function newAccount(): AccountKeys {
  return { publicKey: generateNkey('account').publicKey, signer: generateNkey('account') }
}

function encodeAccount({ publicKey, signer: key }: AccountKeys): { publicKey: string; seed: string } {
  return { publicKey, seed: encodeBase64url(key.seed()) }
}

function decodeAccount(stored: ObjectOf<{ publicKey: typeof seed; seed: typeof seed }>): AccountKeys {
  return {
    publicKey: parseNkeyPublic(stored.publicKey, 'account', 'publicKey'),
    signer: signer('account', stored.seed),
  }
}

function signer(kind: NkeyKind, text: string): Nkey {
  return nkeyFromSeed(kind, decodeBase64url(text, 'seed'))
}
