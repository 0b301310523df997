import assert from 'node:assert/strict'
import { closeSync, openSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { it, type TestContext } from 'node:test'
import { createBubblewrap } from '#node-agent/sandbox/bubblewrap.ts'
import type { SandboxSpec } from '#node-agent/sandbox/sandbox.ts'
import { DEFAULT_CAPABILITIES } from '#shared/protocol/sandbox-capability.ts'
import { needsSandbox, RUN_AS } from '#test/support/keeper.ts'
import { tempDir } from '#test/support/temp-dir.ts'

const skip = needsSandbox

function spec(t: TestContext, changes: Partial<SandboxSpec> = {}): SandboxSpec {
  const fd = openSync('/usr/bin/env', 'r')
  t.after(() => closeSync(fd))
  return {
    label: 'ztmesh:test',
    caps: DEFAULT_CAPABILITIES,
    runAs: RUN_AS,
    argv: ['env', 'one', 'two'],
    exe: { fd, path: '/usr/bin/env' },
    interpreter: undefined,
    workspaceFd: fd,
    cwd: '/workspace',
    env: { SECRET_LOOKING: 'not in argv', LD_PRELOAD: '/workspace/x.so' },
    searchPath: ['/usr/bin'],
    masks: [],
    ...changes,
  }
}

it(
  'hands options over by descriptor: the arguments that everybody sees hold neither environment nor folders',
  { skip },
  async (t) => {
    const plan = createBubblewrap(await tempDir(t)).plan(spec(t))
    t.after(() => plan.release())
    assert.deepEqual(plan.args, ['--args', '6', '--', '/usr/bin/env', 'one', 'two'])
    assert.equal(plan.argv0, 'ztmesh:test')
  },
)

it('leaves no file behind for what it hands over', { skip }, async (t) => {
  const dir = await tempDir(t)
  createBubblewrap(dir).plan(spec(t)).release()
  assert.deepEqual(await readdir(dir), [])
})

// Root may become anybody but itself; anybody else stays who he is.
for (const uid of process.geteuid?.() === 0 ? [0] : [0, 4_000_001]) {
  it(`does not run a workload as user ${uid}`, { skip }, async (t) => {
    const dir = await tempDir(t)
    assert.throws(() => createBubblewrap(dir).plan(spec(t, { runAs: { uid, gid: uid } })), {
      code: 'ZT-412-FACT',
      details: { fact: 'runAs' },
    })
  })
}

it('refuses a nul character, which would start another option', { skip }, async (t) => {
  const dir = await tempDir(t)
  const hostile = spec(t, { env: { A: 'x\0--bind\0/\0/host' } })
  assert.throws(() => createBubblewrap(dir).plan(hostile), { code: 'ZT-412-FACT' })
})

it('refuses a capability that it cannot enforce', { skip }, async (t) => {
  const dir = await tempDir(t)
  const wanting = spec(t, { caps: ['network', 'pty'] })
  assert.throws(() => createBubblewrap(dir).plan(wanting), { code: 'ZT-412-FACT' })
})
