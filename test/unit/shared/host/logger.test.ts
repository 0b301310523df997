// What must never reach a log, whoever passes it in.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ZtError } from '#shared/errors/error.ts'
import { createLogger, type Logger } from '#shared/host/logger.ts'

function capture(): { readonly log: Logger; readonly lines: string[] } {
  const lines: string[] = []
  const log = createLogger({ name: 'test', destination: { write: (line) => void lines.push(line) } })
  return { log, lines }
}

const JOSE = 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl'
const SEED = `SU${'A'.repeat(56)}`
const JOIN = 'ztjoin_eyJ2IjoxfQ'

describe('the log', () => {
  it('is one JSON object a line, with a sentence and its facts', () => {
    const { log, lines } = capture()
    log.warn('attestation refused', { node: 'n1' })
    const line = JSON.parse(lines[0] ?? '') as Record<string, unknown>
    assert.deepEqual([line['msg'], line['node'], line['level']], ['attestation refused', 'n1', 'warn'])
  })

  const secrets: Record<string, readonly [object, string]> = {
    'a field named token': [{ token: 'tell-nobody' }, 'tell-nobody'],
    'a field named token, deep inside': [{ a: { b: [{ Token: 'tell-nobody' }] } }, 'tell-nobody'],
    'the argv of a command': [{ cmd: { argv: ['tell-nobody'] } }, 'tell-nobody'],
    'the environment of a command': [{ env: { A: 'tell-nobody' } }, 'tell-nobody'],
    'a capability token under another name': [{ text: `got ${JOSE}` }, JOSE],
    'a NATS seed under another name': [{ text: SEED }, SEED],
    'a join string under another name': [{ text: JOIN }, JOIN],
    'a token in the message of an error': [{ error: new Error(`bad ${JOSE}`) }, JOSE],
    'a token in the cause of an error': [
      { error: new ZtError('ZT-401-TOKEN', 'no', { cause: new Error(JOSE) }) },
      JOSE,
    ],
    'the bytes of a key': [{ material: Buffer.from('tell-nobody') }, 'tell-nobody'],
    'a PEM private key': [{ text: '-----BEGIN PRIVATE KEY-----\nMIGH\n' }, 'MIGH'],
  }
  for (const [what, [fields, secret]] of Object.entries(secrets))
    it(`does not show ${what}`, () => {
      const { log, lines } = capture()
      log.info('event', fields as Record<string, unknown>)
      log.child(fields as Record<string, unknown>).info('event')
      assert.equal(lines.length, 2)
      assert.ok(!lines.join('').includes(secret), lines.join(''))
    })

  it('does not show a token in the sentence itself', () => {
    const { log, lines } = capture()
    log.error(`refused ${JOSE}`)
    assert.ok(!lines.join('').includes(JOSE))
  })

  it('keeps the code of an error and of its cause', () => {
    const { log, lines } = capture()
    const cause = Object.assign(new Error('no space'), { code: 'ENOSPC' })
    log.error('failed', { error: new ZtError('ZT-503-AUDIT', 'not written', { cause }) })
    assert.match(lines[0] ?? '', /ZT-503-AUDIT.*ENOSPC/)
  })

  it('survives fields that refer to themselves', () => {
    const { log, lines } = capture()
    const loop: Record<string, unknown> = {}
    loop['self'] = loop
    log.info('event', loop)
    assert.equal(lines.length, 1)
  })
})
