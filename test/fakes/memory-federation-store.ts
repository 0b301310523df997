// A FederationStore in memory, which can be told that it is broken.
import { ZtError } from '#shared/errors/error.ts'
import type { FederatedBundle, FederationStore, PublishedBundle } from '#hub/store/store.ts'

export class MemoryFederationStore implements FederationStore {
  readonly kept: Map<string, FederatedBundle> = new Map()
  broken = false
  #published: PublishedBundle | undefined

  async published(): Promise<PublishedBundle | undefined> {
    this.#work()
    return this.#published
  }

  async publish(bundle: PublishedBundle): Promise<void> {
    this.#work()
    this.#published = bundle
  }

  async list(): Promise<readonly FederatedBundle[]> {
    this.#work()
    return [...this.kept.values()]
  }

  async put(bundle: FederatedBundle): Promise<void> {
    this.#work()
    this.kept.set(bundle.trustDomain, bundle)
  }

  async remove(trustDomain: string): Promise<void> {
    this.#work()
    this.kept.delete(trustDomain)
  }

  #work(): void {
    if (this.broken) throw new ZtError('ZT-503-STORE', 'the store is broken')
  }
}
