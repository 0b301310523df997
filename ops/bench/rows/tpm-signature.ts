// What a receipt waits for where the key of the SVID is in the TPM: one signature, for which the device is opened and closed.
// Beside it, the same key in the same TPM over a connection that stays open. The TPM is swtpm: a real one takes longer itself.
import { TpmSvidKey } from '#node-agent/attest/tpm-svid-key.ts'
import { TpmAccess } from '#node-agent/attest/tpm-access.ts'
import { sha256 } from '#shared/encoding/digest.ts'
import { TpmAttester } from '#shared/host/tpm/attester.ts'
import { startSwtpm } from '#test/support/swtpm.ts'
import { timePair, type BenchRow } from '../measure.ts'

const RUNS = 200
const GOAL_MS = 5

export async function tpmSignature(): Promise<BenchRow[]> {
  const endings: (() => Promise<void>)[] = []
  const scope = { after: (ending: () => Promise<void>) => void endings.unshift(ending) }
  try {
    // swtpm serves one connection at a time: one TPM for each side.
    const [tpm, other] = [await startSwtpm(scope), await startSwtpm(scope)]
    const access = new TpmAccess({ where: tpm.device, eventLog: '/nonexistent', svidKey: 'tpm' })
    const key = await TpmSvidKey.create(access)
    const attester = await TpmAttester.open(other.open())
    scope.after(() => attester.close())
    const beside = await attester.createSigningKey()
    const data = Buffer.alloc(1000, 7)
    const pair = await timePair(
      () => key.sign(data),
      () => attester.sign(beside, sha256(data)),
      { runs: RUNS, warmUp: 20 },
    )
    return [
      {
        name: 'a signature by an SVID key in the TPM (swtpm)',
        unit: 'ms',
        ours: pair.ours,
        beside: { ...pair.beside, what: 'the same over a connection that stays open' },
        ratio: pair.ratio,
        goal: `<= ${GOAL_MS} ms at the median`,
        met: pair.ours.median <= GOAL_MS,
      },
    ]
  } finally {
    for (const ending of endings) await ending()
  }
}
