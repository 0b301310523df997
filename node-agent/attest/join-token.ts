// The first proof: a token that an operator made for this name. It is used once, and registers the device key.
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import type { DeviceKey } from '../state/device-key.ts'
import type { Attestor } from './attestor.ts'

/** `token` is base64url, and a secret: it goes into the evidence and nowhere else. */
export function joinTokenAttestor(token: string, device: DeviceKey): Attestor {
  return {
    kind: 'join-token',
    async attest(transcript) {
      const proof = encodeBase64url(device.sign(transcript))
      return { type: 'join-token', token, device: { spki: encodeBase64url(device.spki), proof } }
    },
  }
}
