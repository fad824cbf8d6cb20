/** Our own codes of timeouts: of the response to a statement, and of a connection. */
export const noResponse = 'NO_RESPONSE';
export const noConnection = 'NO_CONNECTION';

/** Codes of a closed connection, from mysql2, Node and the server. */
const lostConnection: ReadonlySet<string> = new Set([
  'PROTOCOL_CONNECTION_LOST',
  'ECONNRESET',
  'EPIPE',
  'ER_CLIENT_INTERACTION_TIMEOUT',
  'ER_SERVER_SHUTDOWN',
  'ER_NORMAL_SHUTDOWN',
  'ER_CONNECTION_KILLED',
]);

const conflicts: ReadonlySet<string> = new Set(['ER_LOCK_DEADLOCK', 'ER_LOCK_WAIT_TIMEOUT']);

/** Messages of mysql2 that have no code. */
const codeOfMessage: readonly (readonly [RegExp, string])[] = [
  [/closed state|is closed/, 'PROTOCOL_CONNECTION_LOST'],
  [/^Queue limit reached/, 'QUEUE_FULL'],
];

/** A statement or a connection failed. The message has the remedy. The original is dropped: it may contain parts of the DSN. */
export class MysqlError extends Error {
  override readonly name = 'MysqlError';
  /** From the server, mysql2, Node or us; empty if there is none. */
  readonly code: string;

  /** @param error of mysql2 */
  constructor(error: unknown) {
    const code = codeOf(error);
    super(remedyFor(code));
    this.code = code;
  }

  get isLostConnection(): boolean {
    return lostConnection.has(this.code);
  }

  get isWithoutTls(): boolean {
    return this.code === 'HANDSHAKE_NO_SSL_SUPPORT';
  }

  get isWithoutTable(): boolean {
    return this.code === 'ER_NO_SUCH_TABLE';
  }

  /** Whether a concurrent transaction won; the statement may be retried. */
  get isConflict(): boolean {
    return conflicts.has(this.code);
  }
}

const setting = 'SEARCH_BACKEND_MYSQL';

const needed = 'grant SELECT, INSERT, UPDATE, DELETE and CREATE on it';
const unreachable = `the network has no route to the server of ${setting}; check the address, and the subnets and security groups of both`;
const refusesHost = `the server of ${setting} accepts no connections from this host; grant its user access from here`;
const refused = `the server refuses the user or the password of ${setting}; correct them`;

const otherColumns =
  'the table repositories has other columns than name and an integer createTime; rename it, and a new one is created';

/** Remedies by code. */
const remedies: Readonly<Record<string, string>> = {
  ECONNREFUSED: `nothing listens at the address of ${setting}; start the server, or correct the address`,
  ENOTFOUND: `the host in ${setting} is not known; correct it`,
  EAI_AGAIN: `the host in ${setting} cannot be resolved now; check DNS`,
  ENOENT: `there is no socket at the path in ${setting}; start the server, or correct the path`,
  EACCES: `the socket at the path in ${setting} may not be used; give the registry's user access to it`,
  EHOSTUNREACH: unreachable,
  ENETUNREACH: unreachable,
  ETIMEDOUT: `the server of ${setting} does not respond; check the address and the network`,
  QUEUE_FULL: `too many requests wait for the server of ${setting}; check its load`,
  [noConnection]: `no connection to the server of ${setting} within the timeout; check its load and the network`,
  [noResponse]: `the server of ${setting} timed out, or a reindex holds a lock; check its load, or set a longer readTimeout`,
  PROTOCOL_CONNECTION_LOST: `the server of ${setting} closed each connection at once; check its log, and that it is MySQL`,
  ECONNRESET: `the server of ${setting} reset each connection; check its log, and proxies and firewalls before it`,
  ER_ACCESS_DENIED_ERROR: refused,
  ER_ACCESS_DENIED_NO_PASSWORD_ERROR: refused,
  ER_HOST_NOT_PRIVILEGED: refusesHost,
  ER_HOST_IS_BLOCKED: `the server of ${setting} has blocked this host after many failures; run FLUSH HOSTS there`,
  ER_DBACCESS_DENIED_ERROR: `the user of ${setting} may not use its database, or it does not exist; create it, and ${needed}`,
  ER_TABLEACCESS_DENIED_ERROR: `the user of ${setting} may not use the table repositories; ${needed}`,
  ER_BAD_DB_ERROR: `the server has no database of the name in ${setting}; create it, or correct the name`,
  ER_BAD_FIELD_ERROR: otherColumns,
  ER_TRUNCATED_WRONG_VALUE: otherColumns,
  ER_NO_DEFAULT_FOR_FIELD: otherColumns,
  ER_TOO_LONG_KEY: `the server of ${setting} cannot create the table repositories, because its utf8 is utf8mb4; create it with name VARCHAR(255) CHARACTER SET utf8mb3 NOT NULL PRIMARY KEY, createTime BIGINT NOT NULL DEFAULT 0`,
  ER_DATA_TOO_LONG:
    'the column name of the table repositories is too short for a name; run ALTER TABLE repositories MODIFY name VARCHAR(1024) CHARACTER SET utf8 COLLATE utf8_general_ci NOT NULL',
  ER_NO_SUCH_TABLE: `there is no table repositories in the database of ${setting} yet; npm run reindex creates it, and so does npm run serve`,
  ER_CON_COUNT_ERROR: `the server of ${setting} has no connection left; raise its max_connections`,
  ER_DISK_FULL: `the disk of the server of ${setting} is full`,
  ER_OPTION_PREVENTS_STATEMENT: `the server of ${setting} is read-only; name a writable one`,
  HANDSHAKE_SSL_ERROR: `the certificate of the server of ${setting} is not trusted, is for another host, or has expired; name its authority in NODE_EXTRA_CA_CERTS and the certificate's host in the DSN, or write tls=skip-verify`,
  ER_SECURE_TRANSPORT_REQUIRED: `the server of ${setting} requires TLS; add tls=true to the DSN`,
  HANDSHAKE_NO_SSL_SUPPORT: `the server of ${setting} has no TLS; remove tls from the DSN, or give it a certificate`,
};

function remedyFor(code: string): string {
  return (
    remedies[code] ??
    `the server of ${setting} failed with ${code === '' ? 'an unknown error' : code}; check its log`
  );
}

function codeOf(error: unknown): string {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  if (typeof code === 'string' && code !== '') return code;
  return codeOfMessage.find(([pattern]) => pattern.test(String(message)))?.[1] ?? '';
}
