import assert from 'node:assert/strict'
import { chownSync, linkSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { generateNkey } from '#shared/nats/nkeys.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { startTestHub, type TestHub } from '#test/support/hub.ts'
import { httpsTo, identityOf, login, operator } from '#test/support/hub-client.ts'
import { needsNats } from '#test/support/nats.ts'

const uid = process.getuid?.() ?? 0
const asRoot = uid === 0 ? false : 'needs root to make files of other accounts'

describe('login', { skip: needsNats }, () => {
  let hub: TestHub
  before(async () => {
    hub = await startTestHub()
  })
  after(() => hub?.stop())

  it('makes the account the operator that the configuration says', async () => {
    const { response, keys } = await login(hub)
    const identity = identityOf(response.id, response, keys)
    const svid = new SvidValidator(hub.bundle).validate(identity.chain, Date.now())
    assert.equal(svid.id, 'spiffe://mesh.example/operator/alice')
  })

  it('can be done again at once: a session is as short as an SVID', async () => {
    await login(hub)
    await login(hub)
  })

  const proofs: Record<string, (path: string, content: string) => void> = {
    'no file': () => undefined,
    'a file with other content': (path) => writeFileSync(path, 'A'.repeat(43), { mode: 0o600 }),
    'a file that anybody may write': (path, content) =>
      writeFileSync(path, content, { mode: 0o666, flag: 'wx' }),
    'a symbolic link': (path, content) => {
      const target = join(hub.dir, `target-${Date.now()}`)
      writeFileSync(target, content, { mode: 0o600 })
      symlinkSync(target, path)
    },
    'a hard link': (path, content) => {
      const target = join(hub.dir, `target-${Date.now()}`)
      writeFileSync(target, content, { mode: 0o600 })
      linkSync(target, path)
    },
  }
  for (const [what, write] of Object.entries(proofs))
    it(`is refused with ${what}`, async () => {
      const mask = process.umask(0)
      try {
        await assert.rejects(login(hub, { write }), { code: 'ZT-401-LOGIN' })
      } finally {
        process.umask(mask)
      }
    })

  it('is refused with a file of another account', { skip: asRoot }, async () => {
    const write = (path: string, content: string): void => {
      writeFileSync(path, content, { mode: 0o600 })
      chownSync(path, 54_321, 54_321)
    }
    await assert.rejects(login(hub, { write }), { code: 'ZT-401-LOGIN' })
  })

  it(
    'is refused to an account that is no operator, with a good file of its own',
    { skip: asRoot },
    async () => {
      const write = (path: string, content: string): void => {
        writeFileSync(path, content, { mode: 0o600 })
        chownSync(path, 54_321, 54_321)
      }
      await assert.rejects(login(hub, { uid: 54_321, write }), { code: 'ZT-401-LOGIN' })
    },
  )

  it('gives every account a challenge, so that nobody learns who is an operator', async () => {
    const answer = (await httpsTo(hub).post('/v1/login/challenge', { uid: 54_321 })) as Record<
      string,
      unknown
    >
    assert.deepEqual(Object.keys(answer).toSorted(), ['dir', 'expires', 'file', 'nonce', 'session'])
  })

  it('is refused for the key of another request', async () => {
    let first = ''
    const write = (path: string, content: string): void => {
      first = first === '' ? content : first
      writeFileSync(path, first, { mode: 0o600 })
    }
    await login(hub, { write })
    await assert.rejects(login(hub, { write }), { code: 'ZT-401-LOGIN' })
  })

  it('is refused with a NATS key that somebody else holds', async () => {
    await assert.rejects(login(hub, { natsKey: generateNkey('user') }), { code: 'ZT-401-EVIDENCE' })
  })

  it('leaves no file behind', async () => {
    let made = ''
    await login(hub, {
      write: (path, content) => {
        made = path
        writeFileSync(path, content, { mode: 0o600 })
      },
    })
    assert.throws(() => unlinkSync(made), { code: 'ENOENT' })
  })

  it('opens NATS to the operator', async () => {
    const alice = await operator(hub)
    assert.deepEqual(await alice.call('node.list', {}), { nodes: [] })
    await alice.close()
  })
})
