// A challenge is answered once, in time, or not at all; and whoever only asks for challenges leaves nothing behind.
import assert from 'node:assert/strict'
import { beforeEach, describe, it } from 'node:test'
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { ZtError } from '#shared/errors/error.ts'
import { Challenges } from '#hub/admission/challenges.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'

describe('challenges', () => {
  let clock: ManualClock
  let challenges: Challenges<string>
  beforeEach(() => {
    clock = new ManualClock()
    challenges = new Challenges(clock, { limits: { used: 1000, refused: 100 } })
  })
  const use = (session: string): Promise<string> => challenges.use(session, async ({ about }) => about)
  const refused = (session: string): Promise<void> => assert.rejects(use(session), { code: 'ZT-401-NONCE' })

  it('gives back what it is about, and when it was given out', async () => {
    const { session, created } = challenges.open('n1')
    clock.advance(1000)
    assert.deepEqual(await challenges.use(session, async (challenge) => challenge), {
      session,
      about: 'n1',
      created,
      expires: created + 60_000,
    })
  })

  it('refuses a challenge that was answered before', async () => {
    const { session } = challenges.open('n1')
    await use(session)
    await refused(session)
  })

  it('lets one of 50 who answer at once', async () => {
    const { session } = challenges.open('n1')
    const tries = await Promise.allSettled(Array.from({ length: 50 }, () => use(session)))
    assert.equal(tries.filter(({ status }) => status === 'fulfilled').length, 1)
  })

  const answeredWrongly = async (session: string): Promise<void> => {
    const wrong = challenges.use(session, () => Promise.reject(new ZtError('ZT-401-EVIDENCE', 'wrong')))
    await assert.rejects(wrong, { code: 'ZT-401-EVIDENCE' })
  }

  it('is used up by an answer that was refused', async () => {
    const { session } = challenges.open('n1')
    await answeredWrongly(session)
    await refused(session)
  })

  it('that was answered stays used, and one that was not stays open, however many answers are refused', async () => {
    const [answered, open] = [challenges.open('n1'), challenges.open('n2')]
    await use(answered.session)
    for (let i = 0; i < 150; i += 1) await answeredWrongly(challenges.open('stranger').session)
    await refused(answered.session)
    assert.equal(await use(open.session), 'n2')
  })

  it('refuses a challenge of the sixtieth second, used or not', async () => {
    const [unused, used] = [challenges.open('n1'), challenges.open('n2')]
    await use(used.session)
    clock.advance(60_000)
    await refused(unused.session)
    await refused(used.session)
  })

  it('refuses a session that was never given out, and one of another start of the hub', async () => {
    await refused('AAAAAAAAAAAAAAAAAAAAAA')
    await refused(encodeBase64url(new Uint8Array(200)))
    await refused(new Challenges<string>(clock).open('n1').session)
  })

  it('draws another key for each start of the hub, and opens what was sealed under one that it is given', async () => {
    const drawn = new Challenges<string>(clock)
    await refused(drawn.open('n1').session)
    const key = Uint8Array.from({ length: 32 }, (_, at) => at)
    const { session } = new Challenges<string>(clock, { key }).open('n1')
    assert.equal(await new Challenges<string>(clock, { key }).use(session, async ({ about }) => about), 'n1')
    await refused(session)
  })

  it('refuses a session of which any byte was changed', async () => {
    const bytes = decodeBase64url(challenges.open('n1').session, 'session')
    for (let at = 0; at < bytes.length; at += 1) {
      const bent = Uint8Array.from(bytes, (byte, index) => (index === at ? byte ^ 1 : byte))
      await refused(encodeBase64url(bent))
    }
  })

  it('shows nothing of what it is about', () => {
    const { session } = challenges.open('a-very-telling-secret')
    assert.equal(Buffer.from(session, 'base64url').includes('telling'), false)
  })

  it('never gives out the same session twice', () => {
    const sessions = Array.from({ length: 200 }, () => challenges.open('x').session)
    assert.equal(new Set(sessions).size, 200)
  })

  it('answers one who proves itself after three thousand strangers have asked', async () => {
    const own = challenges.open('n1')
    for (let i = 0; i < 3000; i += 1) challenges.open('stranger')
    assert.equal(await use(own.session), 'n1')
  })
})
