// Every later proof, at restart and at each renewal: the key that was registered when the node joined.
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import type { DeviceKey } from '../state/device-key.ts'
import type { Attestor } from './attestor.ts'

export function deviceKeyAttestor(device: DeviceKey): Attestor {
  return {
    kind: 'device-key',
    async attest(transcript) {
      return { type: 'device-key', proof: encodeBase64url(device.sign(transcript)) }
    },
  }
}
