// `make up`: the mesh of the demonstration, left running; ./ztctl is logged in.
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildMesh, BUILD_STEPS, STATE_DIR } from './build-mesh.ts'
import { endMesh, isRunning, PIDS_FILE } from './left-running.ts'
import type { Mesh } from './mesh.ts'
import { Narrator } from './narrator.ts'

const DIR = join(STATE_DIR, 'up')
const narrator = new Narrator(BUILD_STEPS)

if (isRunning()) {
  narrator.say('the mesh is running already: ./ztctl node ls; make down ends it')
} else {
  // Whatever is left of a mesh that did not end in order has no process any more, or ends now.
  if (existsSync(PIDS_FILE)) await endMesh()
  rmSync(DIR, { recursive: true, force: true })
  let laid: Mesh | undefined
  try {
    const mesh = await buildMesh(narrator, { dir: DIR, detached: true, ztctlEnv: {} }, (made) => {
      laid = made
    })
    const pids = mesh.programs.map((name) => ({ name, pid: mesh.pid(name) }))
    writeFileSync(PIDS_FILE, JSON.stringify(pids))
    mesh.leave()
    narrator.say(
      '\nrunning. Next:\n\n  ./ztctl node ls\n  ./ztctl --node mac-mini run -- uname -a\n  make down\n',
    )
  } catch (error) {
    await laid?.stop()
    throw error
  }
}
