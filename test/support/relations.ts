// A federation of a hub that is not there: real fetches, real relations, a store and a log in memory.
import type { TestContext } from 'node:test'
import { Refusals } from '#hub/audit/refusals.ts'
import { relationConfigs, relationsField } from '#hub/federation/config.ts'
import { Federation } from '#hub/federation/federation.ts'
import { silentLogger } from '#shared/host/logger.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { MemoryFederationStore } from '#test/fakes/memory-federation-store.ts'
import { RowLog } from '#test/fakes/row-log.ts'
import { makeTestPki, type TestPki } from './test-pki.ts'

export interface TestFederation {
  readonly federation: Federation
  readonly clock: ManualClock
  readonly rows: RowLog
  readonly store: MemoryFederationStore
  /** one for every fetch that failed, and for what else an operator should know */
  readonly warnings: string[]
}

export interface TestFederationOptions {
  /** as in the configuration file */
  readonly relations: readonly unknown[]
  readonly store?: MemoryFederationStore
  readonly clock?: ManualClock
  /** our own trust domain; one of its own unless given */
  readonly pki?: TestPki
}

let opened = 0

/** Of the trust domain mesh.example; started by whoever wants it started, closed when the test ends. */
export async function openTestFederation(
  t: TestContext,
  options: TestFederationOptions,
): Promise<TestFederation> {
  const { relations, store = new MemoryFederationStore(), clock = later() } = options
  const pki = options.pki ?? (await makeTestPki({ now: clock.now() }))
  const trust = new SvidValidator(pki.bundle)
  const rows = new RowLog()
  const warnings: string[] = []
  const log = { ...silentLogger, warn: (message: string) => void warnings.push(message) }
  const federation = await Federation.open({
    own: pki.trustDomain,
    relations: relationConfigs(pki.trustDomain, relationsField(relations, 'federation'), (path) => path),
    trust,
    jwt: () => [],
    identifyOwn: (chain) => trust.validate(chain, clock.now()).id,
    store,
    rows,
    refusals: new Refusals({ rows, clock, log }),
    clock,
    log,
  })
  t.after(() => federation.close())
  return { federation, clock, rows, store, warnings }
}

/** A clock of its own, ahead of those before, so that what was fetched by one is known from what was by another. */
function later(): ManualClock {
  opened += 1
  return new ManualClock(Date.now() + opened)
}
