// A program that lays a mesh which could be left running, fails with its node, and ends it: what `make up` does when it fails.
import { Mesh } from '#ops/demo/mesh.ts'

const [dir = ''] = process.argv.slice(2)
const mesh = await Mesh.lay({ dir, build: 'dist', detached: true, node: { searchPath: 'none' } })
try {
  await mesh.startHub()
  await mesh.addNode('n1')
} catch (error) {
  await mesh.stop()
  process.stdout.write(`ended after: ${String(error)}\n`)
}
