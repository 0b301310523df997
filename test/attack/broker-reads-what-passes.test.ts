// Whoever holds the broker hears every message of every principal, and learns from them who talks to whom, when and how
// much: not what runs, with which arguments or variables, nor what it prints. Shown with the broadest credentials that
// the account of the mesh can sign, over everything that an operator does.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { chmodSync, copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { BrokerThief, type Heard } from '#test/support/broker-thief.ts'
import { eventually } from '#test/support/eventually.ts'
import { needsMesh, startTestMesh, type TestMesh } from '#test/support/mesh.ts'

const word = (what: string): string => `${what}${randomBytes(12).toString('hex')}`

/** Every text that bytes could hide in one step: as they are, or as base64 of any alignment, hex, reversed. */
function disguises(secret: string): string[] {
  const bytes = Buffer.from(secret)
  const aligned = [0, 1, 2].map((skip) => {
    const text = bytes.subarray(skip, skip + 3 * Math.floor((bytes.length - skip) / 3)).toString('base64')
    return [text, text.replaceAll('+', '-').replaceAll('/', '_')]
  })
  const hex = bytes.toString('hex')
  return [secret, ...aligned.flat(), hex, hex.toUpperCase(), Buffer.from(secret).reverse().toString()]
}

/** The bytes of a message, and what each piece of it is as base64url, three layers deep: JWE in JWS in JSON. */
function layersOf(bytes: Buffer, depth: number = 3): Buffer[] {
  if (depth === 0) return [bytes]
  const pieces = bytes.toString('latin1').match(/[A-Za-z0-9_+/-]{16,}/g) ?? []
  return [bytes, ...pieces.flatMap((piece) => layersOf(Buffer.from(piece, 'base64url'), depth - 1))]
}

/** What of the message a reader of it learns: subject, reply address and all layers. */
function textsOf({ subject, replyTo, data }: Heard): Buffer[] {
  return [Buffer.from(subject), Buffer.from(replyTo ?? ''), ...layersOf(data)]
}

function findIn(heard: readonly Heard[], secret: string): string[] {
  const looks = disguises(secret)
  return heard
    .filter((message) => textsOf(message).some((text) => looks.some((look) => text.includes(look))))
    .map(({ subject }) => subject)
}

describe('a broker that reads what passes', { skip: needsMesh }, () => {
  const secrets = {
    argument: word('argv'),
    variable: word('NAME'),
    value: word('value'),
    printed: word('out'),
    complained: word('err'),
    program: word('program'),
    folder: word('folder'),
  }
  // Not in argv: the process makes them of their pieces.
  const half = (text: string): string => `"${text.slice(0, 9)}""${text.slice(9)}"`
  let mesh: TestMesh
  let thief: BrokerThief
  let programs = ''

  before(async () => {
    mesh = await startTestMesh({ node: { anchor: { intervalS: 1 } } })
    programs = mkdtempSync('/var/tmp/ztmesh-programs-')
    chmodSync(programs, 0o755)
    copyFileSync('/bin/sh', join(programs, secrets.program))
    thief = await BrokerThief.enter(mesh)
  })
  after(async () => {
    await thief?.leave()
    await mesh?.end()
    rmSync(programs, { recursive: true, force: true })
  })

  it('hears every message of spawn, run, logs, kill, ps, can-i, login and audit', async () => {
    const script = `mkdir ${secrets.folder}; echo ${half(secrets.printed)}; echo ${half(secrets.complained)} >&2`
    const variable = ['-e', `${secrets.variable}=${secrets.value}`]
    const program = join(programs, secrets.program)
    const command = [program, '-c', script, secrets.argument]
    const ran = await mesh.ztctl(['run', '-n', 'n1', ...variable, '--', ...command])
    assert.deepEqual(
      [ran.code, ran.stdout, ran.stderr],
      [0, `${secrets.printed}\n`, `${secrets.complained}\n`],
    )
    const proc = await mesh.spawn('n1', [
      program,
      '-c',
      `${script}; yes ${half(secrets.printed)} | head -c 1000000; exec sleep 600`,
      secrets.argument,
    ])
    const follower = mesh.type(['logs', '-f', proc])
    await follower.printedBytes(1_000_000)
    await mesh.out(['kill', '-s', 'KILL', proc])
    await follower.ended
    await mesh.out(['logs', proc])
    await mesh.out(['ps', '-a'])
    await mesh.out(['can-i', 'spawn', '-n', 'n1', '--', program, secrets.argument])
    await mesh.out(['login'])
    await mesh.out(['audit', 'verify'])
    const routes = [
      /^zt\.hub\.token\.[a-z2-7]{20}$/,
      /^zt\.hub\.can-i\.[a-z2-7]{20}$/,
      /^zt\.hub\.log\.[a-z2-7]{20}$/,
      /^zt\.node\.n1\.cmd$/,
      /^zt\.node\.n1\.out\.p-/,
      /^zt\.node\.n1\.out\.audit\./,
      /^zt\.node\.n1\.ack\./,
      /^zt\.anchor\.n1$/,
      /^zt\.inbox\./,
    ]
    for (const route of routes)
      await eventually(`a message on ${route.source}`, () =>
        thief.heard.some(({ subject }) => route.test(subject)) ? true : undefined,
      )
  })

  it('would find what is not sealed, in any of its layers', async () => {
    const inner = Buffer.from(JSON.stringify({ cmd: secrets.argument })).toString('base64url')
    const shown = Buffer.from(`head.${inner}.tail`).toString('base64url')
    const heard = { subject: 'zt.hub.token', replyTo: undefined, data: Buffer.from(shown), atMs: 0 }
    assert.equal(findIn([heard], secrets.argument).length, 1)
  })

  for (const [what, secret] of Object.entries(secrets))
    it(`finds no ${what} in any of them`, () => assert.deepEqual(findIn(thief.heard, secret), []))
})
