// How fast one core issues SVIDs, beside the two P-256 operations that no issuer can avoid: verifying the request's
// signature and signing the certificate.
import { generateKeyPairSync, sign, verify } from 'node:crypto'
import { issueSvid } from '#pki/issuance/issue.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { generateP256 } from '#shared/jose/keys.ts'
import { createCsr, verifyCsr } from '#shared/x509/csr.ts'
import { makeTestPki } from '#test/support/test-pki.ts'
import { summarize, timePair, type BenchRow } from '../measure.ts'

const BATCH = 500
const RUNS = 15

export async function svidRate(): Promise<BenchRow[]> {
  const now = Date.now()
  const { workload: issuer } = await makeTestPki({ now })
  const csr = createCsr(generateP256())
  const id = parseSpiffeId('spiffe://mesh.example/node/n1')
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const data = Buffer.alloc(300, 7)
  const signature = sign('sha256', data, keys.privateKey)
  const pair = await timePair(
    () => {
      for (let i = 0; i < BATCH; i += 1) issueSvid({ issuer, csr: verifyCsr(csr), id, ttlMs: 300_000, now })
    },
    () => {
      for (let i = 0; i < BATCH; i += 1) {
        verify('sha256', data, keys.publicKey, signature)
        sign('sha256', data, keys.privateKey)
      }
    },
    { runs: RUNS, warmUp: 3 },
  )
  const perSecond = (ms: number): number => (BATCH * 1000) / ms
  const ours = summarize([pair.ours.p5, pair.ours.median, pair.ours.p95].map(perSecond))
  const beside = summarize([pair.beside.p5, pair.beside.median, pair.beside.p95].map(perSecond))
  const ratio = 1 / pair.ratio
  return [
    {
      name: 'SVIDs issued, one core',
      unit: '/s',
      ours: { ...ours, n: RUNS },
      beside: { ...beside, n: RUNS, what: 'bare P-256 verify + sign' },
      ratio,
      goal: '>= 3000 /s and >= 0.25 x',
      met: ours.median >= 3000 && ratio >= 0.25,
    },
  ]
}
