import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseNodeName, parseProcId, parseTrustDomain } from '#shared/identity/names.ts'
import { principalTag } from '#shared/identity/principal-tag.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import {
  ackSubject,
  anchorSubject,
  commandSubject,
  DENY_SUBJECT,
  hubSubject,
  inboxPrefix,
  natsChannel,
  outputSubject,
  parseHubSubject,
  permissionsFor,
} from '#shared/protocol/subjects.ts'
import { PROC } from '#test/support/protocol-fixture.ts'

const id = (path: string): ReturnType<typeof parseSpiffeId> => parseSpiffeId(`spiffe://mesh.example${path}`)
const macMini = parseNodeName('mac-mini')
const buildBox = parseNodeName('build-box')
const ann = id('/operator/ann')
const eve = id('/operator/eve')
const route = (node: typeof macMini, caller: typeof ann): Parameters<typeof outputSubject>[0] => ({
  node,
  proc: parseProcId(PROC),
  tag: principalTag(caller),
  stream: 'a1',
})

/** NATS matching: `*` is one token, `>` is the rest. */
function allows(patterns: readonly string[], subject: string): boolean {
  return patterns.some((pattern) => {
    const want = pattern.split('.')
    const have = subject.split('.')
    const tail = want.at(-1) === '>'
    if (tail ? have.length < want.length : have.length !== want.length) return false
    return want.every((token, index) => token === '*' || token === '>' || token === have[index])
  })
}

describe('subjects', () => {
  it('carry the name of the thing', () => {
    assert.equal(commandSubject(macMini), 'zt.node.mac-mini.cmd')
    assert.equal(anchorSubject(macMini), 'zt.anchor.mac-mini')
    assert.equal(hubSubject('node.list', ann), `zt.hub.node.list.${principalTag(ann)}`)
    assert.equal(inboxPrefix(ann), `zt.inbox.${principalTag(ann)}`)
    assert.equal(natsChannel('zt.deny'), 'nats:zt.deny')
    assert.equal(outputSubject(route(macMini, ann)), `zt.node.mac-mini.out.${PROC}.${principalTag(ann)}.a1`)
    assert.equal(ackSubject(route(macMini, ann)), `zt.node.mac-mini.ack.${PROC}.${principalTag(ann)}.a1`)
  })
})

describe('the subject of a request to the hub', () => {
  const td = parseTrustDomain('mesh.example')

  it('says operation and sender', () => {
    for (const op of ['token', 'node.list'] as const)
      assert.deepEqual(parseHubSubject(hubSubject(op, ann), td), { op, tag: principalTag(ann) })
  })

  it('says the sender of an anchor too, so that one machine is one sender', () => {
    const tag = principalTag(id('/node/mac-mini'))
    assert.deepEqual(parseHubSubject(anchorSubject(macMini), td), { op: 'anchor', tag })
  })

  for (const subject of ['zt.hub.', 'zt.hub', 'zt.hub.token', 'zt.anchor.', 'zt.anchor.A', 'zt.deny', ''])
    it(`is not "${subject}"`, () => assert.equal(parseHubSubject(subject, td), undefined))
})

describe('permissions of a node', () => {
  const node = permissionsFor(id('/node/mac-mini'))

  it('are its own subjects', () => {
    assert.ok(allows(node.sub, commandSubject(macMini)))
    assert.ok(allows(node.sub, ackSubject(route(macMini, ann))))
    assert.ok(allows(node.sub, DENY_SUBJECT))
    assert.ok(allows(node.sub, `${inboxPrefix(id('/node/mac-mini'))}.r1`))
    assert.ok(allows(node.pub, outputSubject(route(macMini, ann))))
    assert.ok(allows(node.pub, anchorSubject(macMini)))
    assert.ok(allows(node.pub, hubSubject('hello', id('/node/mac-mini'))))
    assert.ok(node.allowResponses)
  })

  it('are not those of another node, of a caller or of the hub', () => {
    for (const subject of [
      commandSubject(buildBox),
      `${inboxPrefix(ann)}.r1`,
      anchorSubject(buildBox),
      hubSubject('token', ann),
    ]) {
      assert.equal(allows(node.sub, subject), false, subject)
    }
    const others = [commandSubject(macMini), commandSubject(buildBox), outputSubject(route(buildBox, ann))]
    const asked = [hubSubject('hello', ann), hubSubject('hello', id('/node/build-box')), 'zt.hub.hello']
    for (const subject of [
      ...others,
      ...asked,
      anchorSubject(buildBox),
      DENY_SUBJECT,
      `${inboxPrefix(ann)}.r1`,
    ]) {
      assert.equal(allows(node.pub, subject), false, subject)
    }
  })
})

describe('permissions of a caller', () => {
  for (const path of ['/operator/ann', '/agent/a/task/1', '/ci/build']) {
    const caller = id(path)
    const permissions = permissionsFor(caller)

    it(`are to command, to acknowledge and to read its own output: ${path}`, () => {
      assert.ok(allows(permissions.pub, commandSubject(macMini)))
      assert.ok(allows(permissions.pub, ackSubject(route(macMini, caller))))
      assert.ok(allows(permissions.pub, hubSubject('token', caller)))
      assert.ok(allows(permissions.sub, outputSubject(route(macMini, caller))))
      assert.ok(allows(permissions.sub, `${inboxPrefix(caller)}.r1`))
      assert.equal(permissions.allowResponses, undefined)
    })

    it(`are nothing of another caller's, and no command that others send: ${path}`, () => {
      const foreign = [outputSubject(route(macMini, eve)), `${inboxPrefix(eve)}.r1`, commandSubject(macMini)]
      for (const subject of [
        ...foreign,
        hubSubject('token', caller),
        ackSubject(route(macMini, caller)),
        DENY_SUBJECT,
      ]) {
        assert.equal(allows(permissions.sub, subject), false, subject)
      }
      const faked = [
        outputSubject(route(macMini, caller)),
        ackSubject(route(macMini, eve)),
        `${inboxPrefix(eve)}.r1`,
        hubSubject('token', eve),
        hubSubject('node.list', eve),
        'zt.hub.token',
      ]
      for (const subject of [...faked, anchorSubject(macMini), DENY_SUBJECT]) {
        assert.equal(allows(permissions.pub, subject), false, subject)
      }
    })
  }

  it('never include the shared inbox or everything', () => {
    for (const path of ['/operator/ann', '/node/mac-mini']) {
      const { pub, sub } = permissionsFor(id(path))
      for (const subject of ['_INBOX.x', '$SYS.ACCOUNT.x', 'other'])
        assert.equal(allows([...pub, ...sub], subject), false)
    }
  })
})

describe('permissions of others', () => {
  it('of the hub are all subjects of the mesh, and not the system account', () => {
    const hub = permissionsFor(id('/hub/h1'))
    assert.ok(allows(hub.sub, anchorSubject(macMini)))
    assert.equal(allows([...hub.pub, ...hub.sub], '$SYS.REQ.CLAIMS.UPDATE'), false)
  })

  it('do not exist for a nats server, the link of a node, or an unknown kind', () => {
    for (const path of ['/nats/n1', '/link/mac-mini', '/else/x', '/node/a/b']) {
      assert.throws(() => permissionsFor(id(path)), { code: 'ZT-422-SPIFFE-ID' })
    }
  })
})
