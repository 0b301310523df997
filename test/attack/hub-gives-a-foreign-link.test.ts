// A node with its SVID's key in the TPM takes from its hub the certificate of its own link, for the key that it made now, and no
// other: not none, not another node's, not an older one, and not the two exchanged.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Admission } from '#node-agent/attest/admission.ts'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { httpsTo } from '#test/support/hub-client.ts'
import { needsNats } from '#test/support/nats.ts'
import { startSwtpm } from '#test/support/swtpm.ts'
import { startTpmHub, type Https } from '#test/support/tpm-machine.ts'

interface Given {
  readonly svid: readonly string[]
  readonly link?: readonly string[]
}

describe('the link that a hub gives', { skip: needsNats }, () => {
  it('is for this node and its new key, or the admission came to nothing', async (t) => {
    const { tpm, hub, joined } = await startTpmHub(t)
    const linkOf = ({ link }: Admission): string[] => link.chain.map((der) => encodeBase64url(der))
    const { machine: mini, admission } = await joined('mini')
    const older = linkOf(admission)
    const another = linkOf((await joined('other', await startSwtpm(t, { caDir: tpm.caDir }))).admission)
    const answering = (bend: (given: Given) => object): Https => ({
      post: async (path, body) => {
        const given = await httpsTo(hub).post(path, body)
        return path === '/v1/attest' ? (bend(given as unknown as Given) as typeof given) : given
      },
    })
    const bends: readonly ((given: Given) => object)[] = [
      ({ link: _link, ...rest }) => rest,
      (given) => ({ ...given, link: another }),
      (given) => ({ ...given, link: older }),
      (given) => ({ ...given, link: given.svid }),
      (given) => ({ ...given, svid: given.link, link: given.svid }),
      (given) => ({ ...given, svid: given.link }),
    ]
    for (const bend of bends) await assert.rejects(mini.renew(answering(bend)), { code: 'ZT-401-CERT' })
    assert.equal((await mini.renew(answering((given) => given))).lvl, 2)
  })
})
