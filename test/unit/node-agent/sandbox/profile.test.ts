import assert from 'node:assert/strict'
import { it } from 'node:test'
import { parseCapabilities } from '#node-agent/sandbox/capabilities.ts'
import { renderProfile, type Step } from '#node-agent/sandbox/profile.ts'
import { DEFAULT_CAPABILITIES } from '#shared/protocol/sandbox-capability.ts'

const render = (...caps: string[]): ReturnType<typeof renderProfile> => renderProfile(parseCapabilities(caps))
const kinds = (steps: readonly Step[]): string[] => steps.map(({ kind }) => kind)

it('has one digest for one set of capabilities, in whatever order they are named', () => {
  assert.equal(render(...DEFAULT_CAPABILITIES).sha256, render(...DEFAULT_CAPABILITIES.toReversed()).sha256)
  assert.equal(render().name, 'default@1')
})

it('has another digest for every other set', () => {
  const sets = Array.from({ length: 16 }, (_, bits) =>
    DEFAULT_CAPABILITIES.filter((_, at) => (bits >> at) % 2 === 1),
  )
  assert.equal(new Set(sets.map((set) => render(...set).sha256)).size, 16)
})

it('keeps the digest of the default bundle, which audit rows and tokens name', () => {
  assert.equal(render(...DEFAULT_CAPABILITIES).sha256, 'h2SLjjt1CN11qTt-N8i86L6qdNomRe0LoYhm27T-V8U')
})

it('has no network without "network"', () => {
  assert.ok(render().namespaces.includes('net'))
  assert.ok(!render('network').namespaces.includes('net'))
  assert.ok(!kinds(render().steps).includes('resolver'))
})

it('shows only what programs need to start without "read_anywhere"', () => {
  assert.deepEqual(kinds(render().steps).slice(0, 1), ['host-system'])
  assert.deepEqual(kinds(render('read_anywhere').steps).slice(0, 1), ['host-root'])
})

it('mounts the workspace read-only without "workspace_rw"', () => {
  const writable = (...caps: string[]): unknown =>
    render(...caps).steps.find((step) => step.kind === 'workspace')?.writable
  assert.equal(writable(), false)
  assert.equal(writable('workspace_rw'), true)
})

it('has a socket with an identity, and another digest, whoever the agent is', () => {
  const own = render('identity:a', 'subprocess')
  assert.equal(own.sha256, render('identity:b', 'subprocess').sha256)
  assert.notEqual(own.sha256, render('subprocess').sha256)
  assert.ok(kinds(own.steps).includes('workload') && !kinds(render('subprocess').steps).includes('workload'))
})

for (const caps of [[], DEFAULT_CAPABILITIES]) {
  it(`masks after everything of the host and seals the root at the end: ${caps.join(' ')}`, () => {
    const order = kinds(render(...caps).steps)
    const at = (kind: string): number => order.indexOf(kind)
    assert.ok(
      at('masks') >
        Math.max(0, at('host-root'), at('host-system'), at('resolver'), order.lastIndexOf('private')),
    )
    assert.ok(
      at('workspace') > at('masks') && at('executable') > at('workspace') && at('hide-init') > at('proc'),
    )
    assert.deepEqual(render(...caps).steps.at(-1), { kind: 'read-only', path: '/' })
  })
}
