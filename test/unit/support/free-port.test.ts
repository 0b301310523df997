// A port that was chosen for a program is not chosen for another one before that program has started.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { describe, it } from 'node:test'
import { freePort } from '#ops/demo/free-port.ts'

// Of 14,000 ports that the kernel chooses from, two in a thousand that are only free are nearly always the same one.
const MANY = 500

describe('a free port', () => {
  it('is given to nobody else for a while', async () => {
    const given = new Set<number>()
    for (let i = 0; i < MANY; i += 1) given.add(await freePort())
    assert.equal(given.size, MANY)
  })

  it('is there for the server that names it, again and again', async () => {
    const port = await freePort()
    for (let i = 0; i < 2; i += 1) {
      assert.equal(await freePort(port), port)
      const server = createServer().listen(port, '127.0.0.1')
      await once(server, 'listening')
      await assert.rejects(freePort(port), { code: 'EADDRINUSE' })
      server.close()
      await once(server, 'close')
    }
  })
})
