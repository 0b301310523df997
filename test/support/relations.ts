// A federation of a hub that is not there: real fetches, real relations, a store and a log in memory.
import type { TestContext } from 'node:test'
import { Refusals } from '#hub/audit/refusals.ts'
import { relationConfigs, relationsField } from '#hub/federation/config.ts'
import { Federation } from '#hub/federation/federation.ts'
import { silentLogger } from '#shared/host/logger.ts'
import { ZtError } from '#shared/errors/error.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { MemoryFederationStore } from '#test/fakes/memory-federation-store.ts'
import { RowLog } from '#test/fakes/row-log.ts'
import { makeTestPki } from './test-pki.ts'

export interface TestFederation {
  readonly federation: Federation
  readonly clock: ManualClock
  readonly rows: RowLog
  readonly store: MemoryFederationStore
}

export interface TestFederationOptions {
  /** as in the configuration file */
  readonly relations: readonly unknown[]
  readonly store?: MemoryFederationStore
  readonly clock?: ManualClock
}

let opened = 0

/** Of the trust domain mesh.example; started by whoever wants it started, closed when the test ends. */
export async function openTestFederation(
  t: TestContext,
  { relations, store = new MemoryFederationStore(), clock = later() }: TestFederationOptions,
): Promise<TestFederation> {
  const pki = await makeTestPki({ now: clock.now() })
  const rows = new RowLog()
  const log = silentLogger
  const federation = await Federation.open({
    own: pki.trustDomain,
    relations: relationConfigs(pki.trustDomain, relationsField(relations, 'federation'), (path) => path),
    trust: new SvidValidator(pki.bundle),
    jwt: () => [],
    identifyOwn: () => {
      throw new ZtError('ZT-401-CERT', 'nobody is of our own trust domain here')
    },
    store,
    rows,
    refusals: new Refusals({ rows, clock, log }),
    clock,
    log,
  })
  t.after(() => federation.close())
  return { federation, clock, rows, store }
}

/** A clock of its own, ahead of those before, so that what was fetched by one is known from what was by another. */
function later(): ManualClock {
  opened += 1
  return new ManualClock(Date.now() + opened)
}
