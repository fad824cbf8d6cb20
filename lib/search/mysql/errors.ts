/** Codes of our own, where time was up: for the answer to a statement, and for a connection. */
export const noAnswer = 'NO_ANSWER';
export const noConnection = 'NO_CONNECTION';

/** Codes of a connection that is gone, of mysql2 itself, of Node and of the server. */
const lost: ReadonlySet<string> = new Set([
  'PROTOCOL_CONNECTION_LOST',
  'ECONNRESET',
  'EPIPE',
  'ER_CLIENT_INTERACTION_TIMEOUT',
  'ER_SERVER_SHUTDOWN',
  'ER_NORMAL_SHUTDOWN',
  'ER_CONNECTION_KILLED',
]);

const meetings: ReadonlySet<string> = new Set(['ER_LOCK_DEADLOCK', 'ER_LOCK_WAIT_TIMEOUT']);

/** What the client says without a code. */
const uncoded: readonly (readonly [RegExp, string])[] = [
  [/closed state|is closed/, 'PROTOCOL_CONNECTION_LOST'],
  [/^Queue limit reached/, 'QUEUE_FULL'],
];

/**
 * A statement or a connection failed. The message says what to do, in words of the settings; what the client or the server
 * said is not kept, as it may hold parts of the DSN.
 */
export class MysqlError extends Error {
  override readonly name = 'MysqlError';
  /** Of the server, of mysql2, of Node, or our own; empty where there is none. */
  readonly code: string;

  /** @param error of mysql2 */
  constructor(error: unknown) {
    const code = codeOf(error);
    super(adviceOn(code));
    this.code = code;
  }

  /** Whether another connection may do better. */
  get isLostConnection(): boolean {
    return lost.has(this.code);
  }

  /** Whether the server speaks no TLS. */
  get isWithoutTls(): boolean {
    return this.code === 'HANDSHAKE_NO_SSL_SUPPORT';
  }

  /** Whether there is no table. */
  get isWithoutTable(): boolean {
    return this.code === 'ER_NO_SUCH_TABLE';
  }

  /** Whether a statement met another one that writes, and may be repeated. */
  get isMeeting(): boolean {
    return meetings.has(this.code);
  }
}

const setting = 'SEARCH_BACKEND_MYSQL';

const needed = 'grant SELECT, INSERT, UPDATE, DELETE and CREATE on it';
const unreachable = `the network has no way to the server of ${setting}; check the address, and the subnets and security groups of both`;
const refusesHost = `the server of ${setting} takes no connections from this host; grant its user access from there`;
const refused = `the server refuses the user or the password of ${setting}; correct them`;

const otherColumns =
  'the table repositories has other columns than name and a createTime of whole numbers; rename it, and a new one is made';

/** What to do about a failure, by its code. */
const advice: Readonly<Record<string, string>> = {
  ECONNREFUSED: `nothing listens at the address of ${setting}; start the server, or correct the address`,
  ENOTFOUND: `the host in ${setting} is not known; correct it`,
  EAI_AGAIN: `the host in ${setting} cannot be looked up now; check DNS`,
  ENOENT: `there is no socket at the path in ${setting}; start the server, or correct the path`,
  EACCES: `the socket at the path in ${setting} may not be used; give the registry's user the right to it`,
  EHOSTUNREACH: unreachable,
  ENETUNREACH: unreachable,
  ETIMEDOUT: `the server of ${setting} does not answer; check the address and the network`,
  QUEUE_FULL: `too many requests wait for the server of ${setting}; look at its load`,
  [noConnection]: `no connection to the server of ${setting} was free or made in time; look at its load and at the network`,
  [noAnswer]: `the server of ${setting} answers too slowly, or a reindex has locked what is asked for; look at its load, or give a longer readTimeout`,
  PROTOCOL_CONNECTION_LOST: `the server of ${setting} closed each connection at once; look at its log, and whether it is of MySQL`,
  ECONNRESET: `the server of ${setting} reset each connection; look at its log, and at what lies between`,
  ER_ACCESS_DENIED_ERROR: refused,
  ER_ACCESS_DENIED_NO_PASSWORD_ERROR: refused,
  ER_HOST_NOT_PRIVILEGED: refusesHost,
  ER_HOST_IS_BLOCKED: `the server of ${setting} has blocked this host after many failures; run FLUSH HOSTS there`,
  ER_DBACCESS_DENIED_ERROR: `the user of ${setting} may not use its database, or there is none of that name; create it, and ${needed}`,
  ER_TABLEACCESS_DENIED_ERROR: `the user of ${setting} may not use the table repositories; ${needed}`,
  ER_BAD_DB_ERROR: `the server has no database of the name in ${setting}; create it, or correct the name`,
  ER_BAD_FIELD_ERROR: otherColumns,
  ER_TRUNCATED_WRONG_VALUE: otherColumns,
  ER_NO_DEFAULT_FOR_FIELD: otherColumns,
  ER_TOO_LONG_KEY: `the server of ${setting} cannot make the table repositories, as its utf8 is utf8mb4; make it by hand, with name VARCHAR(255) CHARACTER SET utf8mb3 NOT NULL PRIMARY KEY, createTime BIGINT NOT NULL DEFAULT 0`,
  ER_DATA_TOO_LONG:
    'the column name of the table repositories is too short for a name; run ALTER TABLE repositories MODIFY name VARCHAR(1024) CHARACTER SET utf8 COLLATE utf8_general_ci NOT NULL',
  ER_NO_SUCH_TABLE: `there is no table repositories in the database of ${setting} yet; a reindex makes it: npm run reindex, with which npm run serve begins`,
  ER_CON_COUNT_ERROR: `the server of ${setting} has no connection left; raise its max_connections`,
  ER_DISK_FULL: `the disk of the server of ${setting} is full`,
  ER_OPTION_PREVENTS_STATEMENT: `the server of ${setting} is read-only; name one that can be written to`,
  HANDSHAKE_SSL_ERROR: `the certificate of the server of ${setting} is not trusted, is not one of its host, or has expired; name its authority in NODE_EXTRA_CA_CERTS and the host as it does, or write tls=skip-verify`,
  ER_SECURE_TRANSPORT_REQUIRED: `the server of ${setting} speaks TLS alone; add tls=true to the DSN`,
  HANDSHAKE_NO_SSL_SUPPORT: `the server of ${setting} speaks no TLS; take tls out of the DSN, or give it a certificate`,
};

function adviceOn(code: string): string {
  return (
    advice[code] ??
    `the server of ${setting} failed with ${code === '' ? 'an unknown error' : code}; look at its log`
  );
}

function codeOf(error: unknown): string {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  if (typeof code === 'string' && code !== '') return code;
  const [, ours = ''] = uncoded.find(([said]) => said.test(String(message))) ?? [];
  return ours;
}
