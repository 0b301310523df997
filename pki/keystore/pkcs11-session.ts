// One session with one PKCS#11 token. Runs in a process of its own (pkcs11-child.ts): a fault of the module ends that
// process and nothing else. Trusts the module to keep keys inside, and checks that it says it does.
import { createRequire } from 'node:module'
import type * as Pkcs11Js from 'pkcs11js'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import { DerReader, TAG } from '#shared/x509/der.ts'
import { oid } from '#shared/x509/der-writer.ts'
import { ecSpki, type Curve } from '#shared/x509/ec-spki.ts'
import { OID } from '#shared/x509/oid.ts'
import { keystoreFailed, labelTaken, type KeyRequest } from './keystore.ts'
import { readPrivateFile } from './private-file.ts'
import type { TokenLocation } from './pkcs11-wire.ts'

type Handle = Pkcs11Js.Handle

interface TokenKey {
  readonly handle: Handle
  readonly curve: Curve
  readonly spki: Uint8Array
}

const EC_PARAMS: Readonly<Record<Curve, Uint8Array>> = { 'P-256': oid(OID.p256), 'P-384': oid(OID.p384) }

export class Pkcs11Session {
  readonly #api: typeof Pkcs11Js
  readonly #module: Pkcs11Js.PKCS11
  readonly #session: Handle
  readonly #keys = new Map<string, TokenKey>()

  private constructor(api: typeof Pkcs11Js, module: Pkcs11Js.PKCS11, session: Handle) {
    this.#api = api
    this.#module = module
    this.#session = session
  }

  /** Logs in to the token of that label. ZT-500-KEYSTORE says which step the module refused. */
  static async open(location: TokenLocation): Promise<Pkcs11Session> {
    const pin = await readPin(location.pinFile)
    const api = loadAddon()
    const module = new api.PKCS11()
    attempt('the module cannot be loaded', () => {
      module.load(location.module)
      module.C_Initialize()
    })
    const slot = findSlot(module, location.token)
    const session = attempt('the token gives no session', () =>
      module.C_OpenSession(slot, api.CKF_SERIAL_SESSION | api.CKF_RW_SESSION),
    )
    attempt('the token refuses the pin', () => module.C_Login(session, api.CKU_USER, pin))
    return new Pkcs11Session(api, module, session)
  }

  generate({ label, curve }: KeyRequest): TokenKey {
    const api = this.#api
    if (this.#objects(label).length > 0) throw labelTaken(label)
    const shared = [
      { type: api.CKA_KEY_TYPE, value: api.CKK_EC },
      { type: api.CKA_TOKEN, value: true },
      { type: api.CKA_MODIFIABLE, value: false },
      { type: api.CKA_LABEL, value: label },
      { type: api.CKA_ID, value: Buffer.from(this.random(16)) },
    ]
    const publicPart = [
      { type: api.CKA_CLASS, value: api.CKO_PUBLIC_KEY },
      { type: api.CKA_VERIFY, value: true },
      { type: api.CKA_EC_PARAMS, value: Buffer.from(EC_PARAMS[curve]) },
    ]
    const privatePart = [
      { type: api.CKA_CLASS, value: api.CKO_PRIVATE_KEY },
      { type: api.CKA_PRIVATE, value: true },
      { type: api.CKA_SENSITIVE, value: true },
      { type: api.CKA_EXTRACTABLE, value: false },
      { type: api.CKA_SIGN, value: true },
      { type: api.CKA_DECRYPT, value: false },
      { type: api.CKA_UNWRAP, value: false },
      { type: api.CKA_DERIVE, value: false },
    ]
    attempt('the token makes no key', () =>
      this.#module.C_GenerateKeyPair(
        this.#session,
        { mechanism: api.CKM_EC_KEY_PAIR_GEN },
        [...shared, ...publicPart],
        [...shared, ...privatePart],
      ),
    )
    // Read back from the token: what it did counts, not what it was asked for.
    const key = this.find(label)
    if (key === undefined) throw keystoreFailed('the token lost the key that it made')
    return key
  }

  find(label: string): TokenKey | undefined {
    const known = this.#keys.get(label)
    if (known !== undefined) return known
    const [privateKey, secondPrivate] = this.#objects(label, this.#api.CKO_PRIVATE_KEY)
    const [publicKey, secondPublic] = this.#objects(label, this.#api.CKO_PUBLIC_KEY)
    if (privateKey === undefined && publicKey === undefined) return undefined
    if (
      privateKey === undefined ||
      publicKey === undefined ||
      (secondPrivate ?? secondPublic) !== undefined
    ) {
      throw keystoreFailed(`label "${label}" does not name one private and one public key`)
    }
    this.#requireProtected(privateKey)
    const key = { handle: privateKey, ...this.#publicPart(publicKey) }
    this.#keys.set(label, key)
    return key
  }

  /** `r || s` over a digest: SoftHSM has no multi-part ECDSA, so the hash is made by the caller. */
  sign(label: string, digest: Uint8Array): Uint8Array {
    const key = this.find(label)
    if (key === undefined) throw new ZtError('ZT-404-KEY', `there is no key of label "${label}"`)
    return attempt('the token does not sign', () => {
      this.#module.C_SignInit(this.#session, { mechanism: this.#api.CKM_ECDSA }, key.handle)
      return this.#module.C_Sign(this.#session, Buffer.from(digest), Buffer.alloc(128))
    })
  }

  /** Both objects, the private one first: a crash between them leaves a public key that signs nothing. */
  destroy(label: string): void {
    const { CKO_PRIVATE_KEY, CKO_PUBLIC_KEY } = this.#api
    const found = [CKO_PRIVATE_KEY, CKO_PUBLIC_KEY].flatMap((kind) => this.#objects(label, kind))
    if (found.length === 0) throw new ZtError('ZT-404-KEY', `there is no key of label "${label}"`)
    this.#keys.delete(label)
    for (const object of found)
      attempt('the token does not destroy the key', () => this.#module.C_DestroyObject(this.#session, object))
    if (this.#objects(label).length > 0) throw keystoreFailed('the token kept a key that it destroyed')
  }

  random(count: number): Uint8Array {
    return attempt('the token gives no random octets', () =>
      this.#module.C_GenerateRandom(this.#session, Buffer.alloc(count)),
    )
  }

  close(): void {
    attempt('the token does not log out', () => {
      this.#module.C_Logout(this.#session)
      this.#module.C_CloseSession(this.#session)
      this.#module.C_Finalize()
    })
  }

  #objects(label: string, kind?: number): Handle[] {
    const template: Pkcs11Js.Template = [{ type: this.#api.CKA_LABEL, value: label }]
    if (kind !== undefined) template.push({ type: this.#api.CKA_CLASS, value: kind })
    return attempt('the token does not list its objects', () => {
      this.#module.C_FindObjectsInit(this.#session, template)
      const found = this.#module.C_FindObjects(this.#session, 4)
      this.#module.C_FindObjectsFinal(this.#session)
      return found
    })
  }

  /** Ceremony checklist C5. A token that cannot say is a token that does not protect. */
  #requireProtected(key: Handle): void {
    const api = this.#api
    const expected: readonly (readonly [string, number, boolean])[] = [
      ['CKA_SENSITIVE', api.CKA_SENSITIVE, true],
      ['CKA_ALWAYS_SENSITIVE', api.CKA_ALWAYS_SENSITIVE, true],
      ['CKA_EXTRACTABLE', api.CKA_EXTRACTABLE, false],
      ['CKA_NEVER_EXTRACTABLE', api.CKA_NEVER_EXTRACTABLE, true],
      ['CKA_LOCAL', api.CKA_LOCAL, true],
      ['CKA_PRIVATE', api.CKA_PRIVATE, true],
      ['CKA_SIGN', api.CKA_SIGN, true],
      ['CKA_DECRYPT', api.CKA_DECRYPT, false],
      ['CKA_UNWRAP', api.CKA_UNWRAP, false],
      ['CKA_DERIVE', api.CKA_DERIVE, false],
    ]
    for (const [name, type, value] of expected) {
      const [octet, ...rest] = this.#attribute(key, type)
      if (rest.length > 0 || octet !== Number(value)) {
        throw new ZtError('ZT-412-KEY-ATTRIBUTE', `${name} of the key is not ${value}`, {
          details: { attribute: name },
        })
      }
    }
  }

  #publicPart(key: Handle): Omit<TokenKey, 'handle'> {
    const params = this.#attribute(key, this.#api.CKA_EC_PARAMS)
    const curve = (['P-256', 'P-384'] as const).find(
      (known) => Buffer.compare(EC_PARAMS[known], params) === 0,
    )
    if (curve === undefined) throw keystoreFailed('the key is on a curve that is not accepted')
    // PKCS#11 v2.40 mechanisms §2.3.3: CKA_EC_POINT is the DER OCTET STRING of the point.
    const point = new DerReader(this.#attribute(key, this.#api.CKA_EC_POINT), 'point of the key')
    const spki = ecSpki(point.next(TAG.octetString), curve)
    point.end()
    return { curve, spki }
  }

  #attribute(key: Handle, type: number): Buffer {
    const [found] = attempt('the token does not tell an attribute of the key', () =>
      this.#module.C_GetAttributeValue(this.#session, key, [{ type }]),
    )
    if (!Buffer.isBuffer(found?.value)) throw keystoreFailed('an attribute of the key has no value')
    return found.value
  }
}

function findSlot(module: Pkcs11Js.PKCS11, label: string): Handle {
  return attempt('the module does not list its tokens', () => {
    // Labels are padded with blanks to 32 octets.
    const slots = module
      .C_GetSlotList(true)
      .filter((slot) => module.C_GetTokenInfo(slot).label.trimEnd() === label)
    const [slot, second] = slots
    if (slot === undefined) throw keystoreFailed('the module has no token of that label')
    if (second !== undefined) throw keystoreFailed('the module has more than one token of that label')
    return slot
  })
}

async function readPin(file: string): Promise<string> {
  const content = await readPrivateFile(file, 'pin file', 256)
  return Buffer.from(content)
    .toString('utf8')
    .replace(/\r?\n$/, '')
}

function loadAddon(): typeof Pkcs11Js {
  try {
    return createRequire(import.meta.url)('pkcs11js') as typeof Pkcs11Js
  } catch (error) {
    throw keystoreFailed('the pkcs#11 addon is not built: run `make setup`', error)
  }
}

/** The module's own word (CKR_…) is kept: it holds no secret, and nobody finds the fault without it. */
function attempt<T>(what: string, action: () => T): T {
  try {
    return action()
  } catch (error) {
    if (isZtError(error)) throw error
    const word = error instanceof Error ? /CKR_[A-Z_]+/.exec(error.message)?.[0] : undefined
    throw keystoreFailed(word === undefined ? what : `${what} (${word})`, error)
  }
}
