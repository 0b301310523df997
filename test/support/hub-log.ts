// The hub's end of anchoring: a real log that takes heads as leaves and answers with real proofs, bent where a test
// wants that.
import { generateKeyPairSync } from 'node:crypto'
import { join } from 'node:path'
import type { HubLog } from '#node-agent/anchor/confirmation.ts'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import type { JsonObject } from '#shared/encoding/json-value.ts'
import { openDurableLog, type DurableLog } from '#shared/host/durable-log.ts'
import { claimedHead } from '#shared/log/checkpoint.ts'
import { createNoteSigner, parseVkey } from '#shared/log/note.ts'
import { ENTRY_AT } from '#shared/log/record.ts'
import type { AnchorRequest, AnchorResponse } from '#shared/protocol/anchor.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { tempDir } from './temp-dir.ts'

const ORIGIN = 'mesh.example/log/hub/h1/e1'

export class TestHubLog {
  readonly log: DurableLog
  readonly hub: HubLog

  private constructor(log: DurableLog, vkey: string) {
    this.log = log
    this.hub = { origin: ORIGIN, verifier: parseVkey(vkey) }
  }

  static async open(test: { after(action: () => Promise<void>): void }): Promise<TestHubLog> {
    const signer = createNoteSigner(ORIGIN, generateKeyPairSync('ed25519').privateKey)
    const file = join(await tempDir(test), 'hub.db')
    const clock = new ManualClock()
    const log = openDurableLog({ file, origin: ORIGIN, signer, clock, boot: 'b', ifMissing: 'create' })
    test.after(() => log.close())
    return new TestHubLog(log, signer.vkey)
  }

  /** Takes a head as the hub does; `change` bends what the leaf says. */
  async answer(request: AnchorRequest, change: JsonObject = {}): Promise<AnchorResponse> {
    const { log } = this
    const head = claimedHead(request.checkpoint)
    const row = await log.append({
      type: 'anchor.received',
      out: 'allow',
      obj: {
        origin: head.origin,
        size: head.size,
        root: encodeBase64url(head.root),
        note_sha256: sha256Text(request.checkpoint),
        ...change,
      },
    })
    const { size } = claimedHead(row.checkpoint)
    const [record] = [...log.records(row.seq, row.seq + 1)]
    return {
      checkpoint: row.checkpoint,
      index: row.seq,
      entry: encodeBase64url(record?.bytes.subarray(ENTRY_AT) ?? new Uint8Array()),
      inclusion: log.proveInclusion(row.seq, size).map(encodeBase64url),
      consistency:
        request.hub_old === 0 ? [] : log.proveConsistency(request.hub_old, size).map(encodeBase64url),
    }
  }
}
