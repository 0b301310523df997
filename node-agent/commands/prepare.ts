// The kinds of command, and what prepares each.
import type { Preparer } from './handler.ts'
import { prepareExport } from './audit-export.ts'
import { prepareKill } from './kill.ts'
import { prepareList } from './list.ts'
import { prepareSpawn, type SpawnParts } from './spawn.ts'
import { prepareWatch } from './watch.ts'

export function createPreparer(parts: SpawnParts): Preparer {
  return async (granted) => {
    const { cmd } = granted
    switch (cmd.op) {
      case 'process.spawn':
        return prepareSpawn(parts, { ...granted, cmd })
      case 'process.watch':
        return prepareWatch(parts, { ...granted, cmd })
      case 'process.kill':
        return prepareKill(parts, { ...granted, cmd })
      case 'process.list':
        return prepareList(parts, { ...granted, cmd })
      case 'audit.export':
        return prepareExport(parts, { ...granted, cmd })
    }
  }
}
