// What the agent needs of the keeper, which holds the processes: as an interface, so that what depends on it can be
// tested against a keeper that fails where a test wants it to.
import type {
  Inspection,
  KillRequest,
  PrepareRequest,
  Prepared,
  Started,
  StartRequest,
} from '../keeper/protocol.ts'
import type { ProcRecord } from '../keeper/record.ts'

export interface ProcessKeeper {
  prepare(request: PrepareRequest): Promise<Prepared>
  start(request: StartRequest): Promise<Started>
  release(handle: string): Promise<void>
  list(all: boolean): Promise<readonly ProcRecord[]>
  inspect(proc: ProcRecord['proc']): Promise<Inspection>
  kill(request: KillRequest): Promise<ProcRecord>
}
