// Tasks with an identity as a hub knows them: granted to nodes that are made of the protocol alone, and so can ask for
// what no real node would.
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import type { ProcId } from '#shared/identity/names.ts'
import { generateP256 } from '#shared/jose/keys.ts'
import type { SpawnCommand } from '#shared/protocol/command.ts'
import type { HubResults } from '#shared/protocol/hub-ops.ts'
import { createCsr } from '#shared/x509/csr.ts'
import type { TestClient } from './hub-client.ts'
import { spawnCommand, type TestNode } from './hub-node.ts'

/** Has a token minted for a spawn of the agent "reports" on that node; the process is never started. */
export async function grantTask(by: TestClient, node: TestNode): Promise<ProcId> {
  const caps = ['identity:reports', 'network']
  const cmd = spawnCommand(node.id, { sandbox: { profile: 'default@1', caps } }) as SpawnCommand
  await by.token(cmd)
  return cmd.proc
}

export function askSvid(node: TestNode, proc: ProcId): Promise<HubResults['task.svid']> {
  return node.client.call('task.svid', { proc, csr: encodeBase64url(createCsr(generateP256())) })
}

export function askJwt(
  node: TestNode,
  proc: ProcId,
  audience: readonly string[] = ['db'],
): Promise<HubResults['task.jwt']> {
  return node.client.call('task.jwt', { proc, audience })
}
