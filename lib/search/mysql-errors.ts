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

/** Whether another connection may do better. */
export function isLostConnection(error: unknown): boolean {
  return lost.has(codeOf(error)) || (error instanceof Error && /closed state|is closed/.test(error.message));
}

/** Whether the server speaks no TLS. */
export function isWithoutTls(error: unknown): boolean {
  return codeOf(error) === 'HANDSHAKE_NO_SSL_SUPPORT';
}

/** Whether there is no table. */
export function isWithoutTable(error: unknown): boolean {
  return codeOf(error) === 'ER_NO_SUCH_TABLE';
}

/** Whether a binary log that is made of statements cannot have this one. */
export function isUnloggable(error: unknown): boolean {
  return codeOf(error) === 'ER_BINLOG_STMT_MODE_AND_ROW_ENGINE';
}

/** Whether a statement met another one that writes, and may be repeated. */
export function isMeeting(error: unknown): boolean {
  return meetings.has(codeOf(error));
}

const setting = 'SEARCH_BACKEND_MYSQL';

/** What to do about a failure, by its code. What the server or the client say themselves may hold parts of the DSN. */
const advice: Readonly<Record<string, string>> = {
  ECONNREFUSED: `nothing listens at the address of ${setting}; start the server, or correct the address`,
  ENOTFOUND: `the host in ${setting} is not known; correct it`,
  EAI_AGAIN: `the host in ${setting} cannot be looked up now; check DNS`,
  ENOENT: `there is no socket at the path in ${setting}; start the server, or correct the path`,
  ETIMEDOUT: `the server of ${setting} does not answer; check the address and the network`,
  PROTOCOL_SEQUENCE_TIMEOUT: `the server of ${setting} answers too slowly; look at its load, or give a longer readTimeout`,
  ER_ACCESS_DENIED_ERROR: `the server refuses the user or the password of ${setting}; correct them`,
  ER_DBACCESS_DENIED_ERROR: `the user of ${setting} may not use its database; grant SELECT, INSERT, UPDATE, DELETE and CREATE on it`,
  ER_TABLEACCESS_DENIED_ERROR: `the user of ${setting} may not use the table repositories; grant SELECT, INSERT, UPDATE, DELETE and CREATE on it`,
  ER_BAD_DB_ERROR: `the server has no database of the name in ${setting}; create it, or correct the name`,
  ER_BAD_FIELD_ERROR:
    'the table repositories has other columns than name and createTime; rename it, and a new one is made',
  ER_NO_SUCH_TABLE: `there is no table repositories in the database of ${setting} yet; a reindex makes it, with which npm run serve begins`,
  ER_CON_COUNT_ERROR: `the server of ${setting} has no connection left; raise its max_connections`,
  ER_DISK_FULL: `the disk of the server of ${setting} is full`,
  ER_OPTION_PREVENTS_STATEMENT: `the server of ${setting} is read-only; name one that can be written to`,
  HANDSHAKE_SSL_ERROR: `the certificate of the server of ${setting} is not trusted, is not one of its host, or has expired; name its authority in NODE_EXTRA_CA_CERTS and the host as it does, or write tls=skip-verify`,
  ER_SECURE_TRANSPORT_REQUIRED: `the server of ${setting} speaks TLS alone; add tls=true to the DSN`,
  HANDSHAKE_NO_SSL_SUPPORT: `the server of ${setting} speaks no TLS; take tls out of the DSN, or give it a certificate`,
};

/** What the client says without a code. */
const queueIsFull = 'Queue limit reached';

/** In words of the settings. */
export function adviceOn(error: unknown): string {
  if (error instanceof Error && error.message.startsWith(queueIsFull))
    return `too many requests wait for the server of ${setting}; look at its load`;
  const code = codeOf(error);
  return (
    advice[code] ?? `the server of ${setting} did not do a statement: ${code === '' ? 'unknown error' : code}`
  );
}

function codeOf(error: unknown): string {
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === 'string' ? code : '';
}
