// The configuration of the hub's own nats-server: TLS 1.3 with client certificates of our root only, users by JWT only,
// no monitoring port, bounds on all that a client can make it hold. nats-server reads JSON.
import type { ServerAccounts } from './authority.ts'

export interface ServerFiles {
  /** certificate chain and private key in one file, so that both change at once */
  readonly identity: string
  /** the roots: what client certificates must end at */
  readonly roots: string
  readonly config: string
  readonly pid: string
  /** where the server says, in a file named after its pid, that it listens */
  readonly portsDir: string
  readonly log: string
}

export interface ServerConfig {
  readonly name: string
  readonly host: string
  readonly port: number
  readonly files: ServerFiles
  readonly accounts: ServerAccounts
}

/** One message at most: envelopes are bounded far below it, audit exports are cut to it. */
export const MAX_PAYLOAD_BYTES: number = 1024 * 1024

/** The text of the configuration file. */
export function renderServerConfig({ name, host, port, files, accounts }: ServerConfig): string {
  const config = {
    server_name: name,
    host,
    port,
    pid_file: files.pid,
    ports_file_dir: files.portsDir,
    log_file: files.log,
    logfile_size_limit: 16 * 1024 * 1024,
    logfile_max_num: 3,
    tls: {
      cert_file: files.identity,
      key_file: files.identity,
      ca_file: files.roots,
      verify: true,
      min_version: '1.3',
      // Nothing is said to anybody before the handshake: no version, no nonce.
      handshake_first: true,
      timeout: 5,
    },
    authorization: { timeout: 5 },
    operator: accounts.operatorJwt,
    system_account: accounts.systemAccount,
    // The hub is the only source of account JWTs: it writes them here before it tells a running server.
    resolver: 'MEMORY',
    resolver_preload: accounts.accounts,
    max_payload: MAX_PAYLOAD_BYTES,
    // The CONNECT line carries the user JWT.
    max_control_line: 16 * 1024,
    max_pending: 16 * 1024 * 1024,
    // A client that does not read is cut, so that it holds up nobody else.
    write_deadline: '5s',
    ping_interval: '20s',
    ping_max: 2,
    max_subscriptions: 10_000,
  }
  return `${JSON.stringify(config, null, 2)}\n`
}
