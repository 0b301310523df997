// ztctl pcr-policy sign: makes a signed note of a policy file. Nobody is asked, so it runs wherever the key is.
import { parseNoteKey } from '#shared/log/note-key.ts'
import { parsePcrPolicyText, signPcrPolicy } from '#shared/protocol/pcr-policy.ts'
import { readCeremonyFile, readCeremonyText } from '../client/ceremony-files.ts'
import type { Invocation } from '../grammar/invocation.ts'
import { usageError } from '../grammar/usage-error.ts'
import type { Io } from '../io.ts'

const MAX_POLICY_BYTES = 64 * 1024
const MAX_KEY_BYTES = 1024

export async function execute(call: Invocation, io: Io): Promise<number> {
  const keyFiles = call.flags.all('key')
  if (keyFiles.length === 0) throw usageError('pcr-policy sign needs a key', 'name its file: --key FILE')
  const policy = parsePcrPolicyText(readCeremonyFile(call.operands[0] ?? '', MAX_POLICY_BYTES))
  const signers = keyFiles.map((file) => parseNoteKey(readCeremonyText(file, MAX_KEY_BYTES)))
  io.stdout.write(signPcrPolicy(policy, signers))
  return 0
}
