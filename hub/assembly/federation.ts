// The hub's part in federation: what its configuration says of bundles, on its trust, its store and its identity.
import { readFile } from 'node:fs/promises'
import { ZtError } from '#shared/errors/error.ts'
import type { Identity } from '#shared/identity/identity.ts'
import { certificatesToPem } from '#shared/x509/pem.ts'
import { readPrivateFile } from '#pki/keystore/private-file.ts'
import type { BundleEndpointConfig } from '../federation/config.ts'
import { startBundleEndpoint, type BundleEndpoint } from '../federation/endpoint.ts'
import { Federation } from '../federation/federation.ts'
import type { TlsMaterial } from '../http/server.ts'
import type { Ground } from './ground.ts'

/** What a TLS server shows for that identity. */
export function tlsMaterial(identity: Identity): TlsMaterial {
  return {
    cert: certificatesToPem(identity.chain),
    key: identity.key.export({ format: 'pem', type: 'pkcs8' }).toString(),
  }
}

/** ZT-400-CONFIG for a file that cannot be read, ZT-503-STORE. Fetches nothing before it is started. */
export function openFederation(ground: Ground): Promise<Federation> {
  const { options, trust, store, denials, refusals, jwtAuthority, log: rows } = ground
  const { config, clock, log } = options
  return Federation.open({
    own: config.trustDomain,
    relations: config.federation,
    trust: trust.validator,
    jwt: () => jwtAuthority.authorities(),
    identifyOwn: (chain) => {
      const svid = trust.validator.validate(chain, clock.now())
      denials.list.check(svid)
      return svid.id
    },
    store: store.federation,
    rows,
    refusals,
    clock,
    log: log.child({ part: 'federation' }),
  })
}

export interface ServedBundle {
  /** The hub has a new identity; it is shown from then on if the endpoint is known by it. */
  follow(identity: Identity): void
  /** Looks at the files again that the endpoint shows, if it shows files. ZT-400-CONFIG: the old ones stay. */
  refresh(): Promise<void>
  close(): Promise<void>
}

/** Serves our bundle where the configuration says so. Rejects with ZT-400-CONFIG, or if the address cannot be had. */
export async function openBundleEndpoint(
  { options, identity }: Ground,
  federation: Federation,
): Promise<ServedBundle | undefined> {
  const { config, clock, log } = options
  if (config.bundleEndpoint === undefined) return undefined
  const { listen, path, profile } = config.bundleEndpoint
  const tls = profile.kind === 'https_web' ? await webMaterial(profile) : tlsMaterial(identity.current())
  const document = (): Promise<string> => federation.document()
  const endpoint = await startBundleEndpoint({
    listen,
    path,
    tls,
    document,
    clock,
    log: log.child({ part: 'bundle-endpoint' }),
  })
  return served(endpoint, profile, tls)
}

function served(
  endpoint: BundleEndpoint,
  profile: BundleEndpointConfig['profile'],
  first: TlsMaterial,
): ServedBundle {
  let shown = first
  return {
    follow: (identity) => {
      if (profile.kind === 'https_spiffe') endpoint.setTls(tlsMaterial(identity))
    },
    refresh: async () => {
      if (profile.kind === 'https_spiffe') return
      const next = await webMaterial(profile)
      if (next.cert === shown.cert && next.key === shown.key) return
      useFiles(endpoint, next)
      shown = next
    },
    close: () => endpoint.close(),
  }
}

// Two files are replaced one after the other: between the two they do not fit, and the next look finds them whole.
function useFiles(endpoint: BundleEndpoint, next: TlsMaterial): void {
  try {
    endpoint.setTls(next)
  } catch (cause) {
    throw new ZtError('ZT-400-CONFIG', 'bundleEndpoint: certFile and keyFile do not fit each other', {
      cause,
    })
  }
}

const MAX_FILE_BYTES = 64 * 1024

async function webMaterial(profile: {
  readonly certFile: string
  readonly keyFile: string
}): Promise<TlsMaterial> {
  const key = await readPrivateFile(profile.keyFile, 'keyFile of bundleEndpoint', MAX_FILE_BYTES)
  try {
    return { cert: await readFile(profile.certFile, 'utf8'), key: Buffer.from(key).toString() }
  } catch (cause) {
    throw new ZtError('ZT-400-CONFIG', 'certFile of bundleEndpoint cannot be read', { cause })
  }
}
