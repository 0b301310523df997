// A node with its SVID's key in the TPM takes from its hub the certificate of its own link, for the key that it made now, and no
// other: not none, not another node's, not an older one, and not the two exchanged.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { parseNodeName } from '#shared/identity/names.ts'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { httpsTo, operator } from '#test/support/hub-client.ts'
import { startTestHub } from '#test/support/hub.ts'
import { needsNats } from '#test/support/nats.ts'
import { startSwtpm } from '#test/support/swtpm.ts'
import { tempDir } from '#test/support/temp-dir.ts'
import { TpmMachine, trusting, type Https } from '#test/support/tpm-machine.ts'

interface Given {
  readonly svid: readonly string[]
  readonly link?: readonly string[]
}

describe('the link that a hub gives', { skip: needsNats }, () => {
  it('is for this node and its new key, or the admission came to nothing', async (t) => {
    const dir = await tempDir(t)
    const tpm = await startSwtpm(t)
    const second = await startSwtpm(t, { caDir: tpm.caDir })
    const hub = await startTestHub({ config: { tpm: trusting(tpm) } })
    t.after(() => hub.stop())
    const ann = await operator(hub)
    t.after(() => ann.close())
    const joined = async (name: string, chip: typeof tpm) => {
      const made = new TpmMachine(hub, { name, tpm: chip, dir: join(dir, name) })
      const admission = await made.join(
        (await ann.call('node.join-token', { node: parseNodeName(name) })).join,
      )
      return { made, link: admission.link.chain.map((der) => encodeBase64url(der)) }
    }
    const { made: mini, link: older } = await joined('mini', tpm)
    const { link: another } = await joined('other', second)
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
