// The process in which the PKCS#11 module runs. It answers its parent's requests one at a time over the channel that it
// was started with, and ends when that channel closes. It gets no argument and no secret from the environment.
import { isZtError } from '#shared/errors/error.ts'
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { Pkcs11Session } from './pkcs11-session.ts'
import { isPkcs11ErrorCode, parsePkcs11Request, type Pkcs11Call } from './pkcs11-wire.ts'
import { keystoreFailed } from './keystore.ts'

let session: Pkcs11Session | undefined
let last: Promise<void> = Promise.resolve()

process.on('message', (message: unknown) => {
  last = last.then(() => answer(message))
})
process.on('disconnect', end)

async function answer(message: unknown): Promise<void> {
  const { id, call } = parsePkcs11Request(message, '')
  try {
    send({ id, ...(await perform(call)) })
  } catch (error) {
    send({ id, error: refusal(error) })
  }
}

async function perform(call: Pkcs11Call): Promise<Record<string, unknown>> {
  if (call.op === 'open') {
    session = await Pkcs11Session.open(call.location)
    return {}
  }
  if (session === undefined) throw keystoreFailed('no token is open')
  switch (call.op) {
    case 'generate':
      return keyAnswer(session.generate(call))
    case 'find':
      return keyAnswer(session.find(call.label))
    case 'destroy':
      session.destroy(call.label)
      return {}
    case 'sign':
      return { data: encodeBase64url(session.sign(call.label, decodeBase64url(call.digest, 'digest'))) }
    case 'random':
      return { data: encodeBase64url(session.random(call.bytes)) }
    case 'close':
      session.close()
      return {}
  }
}

function keyAnswer(key: ReturnType<Pkcs11Session['find']>): Record<string, unknown> {
  return key === undefined ? {} : { key: { curve: key.curve, spki: encodeBase64url(key.spki) } }
}

/** Codes that the channel does not know, and faults without one, are the key store's. */
function refusal(error: unknown): { code: string; message: string } {
  const known = isZtError(error) ? error : keystoreFailed('the module failed', error)
  const code = isPkcs11ErrorCode(known.code) ? known.code : 'ZT-500-KEYSTORE'
  return { code, message: known.message.slice(0, 512) }
}

function send(reply: Record<string, unknown>): void {
  process.send?.(reply)
}

// SoftHSM 2.6.1 is known to crash in its own exit handlers (issues #635, #780), so none of them run.
function end(): void {
  process.kill(process.pid, 'SIGKILL')
}
