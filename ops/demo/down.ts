// `make down`: ends what `make up` left running. State and logs stay in .ztmesh/up until the next `make up`.
import { endMesh } from './left-running.ts'

await endMesh()
process.stdout.write('the mesh is down; its state and logs are in .ztmesh/up\n')
