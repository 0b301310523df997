// ztctl completion bash|zsh|fish
import { bashScript } from '../completion/bash.ts'
import { fishScript } from '../completion/fish.ts'
import { zshScript } from '../completion/zsh.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'

const SCRIPTS: ReadonlyMap<string | undefined, () => string> = new Map([
  ['bash', bashScript],
  ['zsh', zshScript],
  ['fish', fishScript],
])

export async function execute(call: Invocation, io: Io): Promise<number> {
  const script = SCRIPTS.get(call.operands[0])
  if (script === undefined) return 2
  io.stdout.write(script())
  return 0
}
