// ztctl reports by its own means; a logger that says nothing spares it the start of one that could.
import type { Logger } from '#shared/host/logger.ts'

export const quietLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => quietLogger,
}
