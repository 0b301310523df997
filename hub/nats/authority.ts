// Who may connect to the broker: makes the JWTs of NATS operator mode. A user JWT is bound to a key that its holder
// alone has, ends with its SVID and lists the subjects of its SPIFFE ID. Trusts the sealed store to keep the keys.
import { ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import { MAX_REVOCATIONS, encodeAccountJwt, encodeUserJwt } from '#shared/nats/claims.ts'
import { parseNkeyPublic } from '#shared/nats/nkeys.ts'
import { inboxPrefix, permissionsFor, type Permissions } from '#shared/protocol/subjects.ts'
import {
  createState,
  decodeState,
  encodeState,
  type AccountKeys,
  type AuthorityState,
  type SealedStore,
} from './state.ts'

/** What a nats-server is configured with. */
export interface ServerAccounts {
  readonly operatorJwt: string
  readonly systemAccount: string
  /** account public key → account JWT */
  readonly accounts: Readonly<Record<string, string>>
}

/** The account that revokes, as it is now. */
export interface AccountUpdate {
  readonly account: string
  readonly jwt: string
}

export interface UserRequest {
  readonly id: SpiffeId
  /** the holder's own user nkey; possession was proved to the caller of userJwt() */
  readonly publicKey: string
  /** UTC, milliseconds: the end of the SVID */
  readonly expires: number
}

// A token never outlives this, so a revocation older than this revokes nothing that could still be used.
const MAX_LIFE_MS = 10 * 60_000
// Both clocks are one, but a token's times are whole seconds.
const KEEP_REVOKED_S = MAX_LIFE_MS / 1000 + 5

/** Opens the authority of `store`; makes one if the store is empty. Throws ZT-422-SCHEMA if the store holds other bytes. */
export async function openNatsAuthority(options: {
  readonly store: SealedStore
  readonly clock: Clock
}): Promise<NatsAuthority> {
  const { store, clock } = options
  const stored = await store.load()
  if (stored !== undefined) return new NatsAuthority(decodeState(stored), options)
  const state = createState(Math.floor(clock.now() / 1000))
  await store.save(encodeState(state))
  return new NatsAuthority(state, options)
}

export class NatsAuthority {
  readonly #store: SealedStore
  readonly #clock: Clock
  #state: AuthorityState
  /** Revocations one after the other: each saves what the one before has saved, and more. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(state: AuthorityState, options: { readonly store: SealedStore; readonly clock: Clock }) {
    this.#state = state
    this.#store = options.store
    this.#clock = options.clock
  }

  /** What a server that starts now must know, revocations included. */
  accounts(): ServerAccounts {
    const { operatorJwt, account, system } = this.#state.keys
    return {
      operatorJwt,
      systemAccount: system.publicKey,
      accounts: {
        [account.publicKey]: this.#accountJwt(account, 'mesh'),
        [system.publicKey]: this.#accountJwt(system, 'system'),
      },
    }
  }

  /**
   * The user JWT of a principal, for the subjects of its SPIFFE ID alone.
   * ZT-422-SPIFFE-ID for one that has no business on NATS, ZT-422-SCHEMA if `publicKey` is not a user key,
   * ZT-408-STALE if `expires` is not within the next ten minutes.
   */
  userJwt(request: UserRequest): string {
    const { account } = this.#state.keys
    return this.#userJwt(account, { ...request, permissions: permissionsFor(request.id) })
  }

  /** A user of the system account that can do one thing: put a newer JWT of the mesh's account in force. */
  systemUserJwt(request: UserRequest): string {
    const { account, system } = this.#state.keys
    const permissions = {
      pub: [updateSubject(account.publicKey)],
      sub: [`${inboxPrefix(request.id)}.>`],
    }
    return this.#userJwt(system, { ...request, permissions })
  }

  /**
   * Revokes every token issued so far to these user keys. When it resolves, that is durable, and `update` is what the
   * running servers must be told. ZT-422-SCHEMA for text that is not a user key, ZT-413-SIZE for more than 8,000
   * revocations within ten minutes, and what the store throws: then nothing was revoked.
   */
  async revoke(publicKeys: readonly string[]): Promise<AccountUpdate> {
    for (const key of publicKeys) parseNkeyPublic(key, 'user', 'publicKeys')
    const done = this.#last.then(() => this.#revoke(publicKeys))
    this.#last = done.catch(() => undefined)
    return await done
  }

  async #revoke(publicKeys: readonly string[]): Promise<AccountUpdate> {
    const nowS = this.#nowS()
    const recent = [...this.#state.revoked].filter(([, atS]) => atS + KEEP_REVOKED_S > nowS)
    const revoked = new Map([...recent, ...publicKeys.map((key) => [key, nowS] as const)])
    if (revoked.size > MAX_REVOCATIONS) {
      throw new ZtError('ZT-413-SIZE', `more than ${MAX_REVOCATIONS} revocations within ten minutes`)
    }
    const next = { ...this.#state, revoked }
    await this.#store.save(encodeState(next))
    // If we crash here, the revocation is in force at the next start.
    this.#state = next
    const { account } = next.keys
    return { account: account.publicKey, jwt: this.#accountJwt(account, 'mesh') }
  }

  #userJwt(account: AccountKeys, request: UserRequest & { readonly permissions: Permissions }): string {
    const { id, publicKey, expires, permissions } = request
    const now = this.#clock.now()
    // Written so that NaN is refused too.
    if (!(expires > now && expires <= now + MAX_LIFE_MS)) {
      throw new ZtError('ZT-408-STALE', 'field "expires" must be within the next ten minutes')
    }
    const issuedAtS = this.#nowS()
    const expiresS = Math.floor(expires / 1000)
    const claims = { publicKey, name: id, account: account.publicKey, issuedAtS, expiresS, permissions }
    return encodeUserJwt(claims, account.signer)
  }

  #accountJwt(account: AccountKeys, name: string): string {
    const { keys, revoked } = this.#state
    return encodeAccountJwt(
      {
        publicKey: account.publicKey,
        name,
        issuedAtS: this.#nowS(),
        signingKeys: [account.signer.publicKey],
        revocations: account === keys.account ? Object.fromEntries(revoked) : {},
      },
      keys.operator,
    )
  }

  #nowS(): number {
    return Math.floor(this.#clock.now() / 1000)
  }
}

/** Where a server takes the newer JWT of an account (system account only). */
export function updateSubject(account: string): string {
  return `$SYS.REQ.ACCOUNT.${account}.CLAIMS.UPDATE`
}
