// The main job on a mesh of one build.
import { after, before, describe } from 'node:test'
import type { Build } from '#ops/demo/programs.ts'
import { needsMesh, startTestMesh, type TestMesh } from '#test/support/mesh.ts'
import { describeAuthority, POLICY } from './authority.ts'
import { describeEvidence } from './evidence.ts'
import { describeOutput } from './output.ts'
import { describeProcesses } from './processes.ts'
import { describeSession } from './session.ts'

export function describeMainJob(build: Build): void {
  describe(`the main job, from ${build}`, { skip: needsMesh }, () => {
    let started: TestMesh | undefined
    const mesh = (): TestMesh => {
      if (started === undefined) throw new Error('the mesh did not start')
      return started
    }
    before(async () => {
      started = await startTestMesh({ build, nodes: ['n1', 'n2'], policy: POLICY })
    })
    after(() => started?.end())

    describeOutput(mesh)
    describeProcesses(mesh)
    describeAuthority(mesh)
    describeSession(mesh)
    describeEvidence(mesh)
  })
}
