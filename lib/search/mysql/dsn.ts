export interface MysqlConfig {
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly address: MysqlAddress;
  /** `unverified` accepts any certificate; `preferred` falls back to plaintext. */
  readonly tls: 'off' | 'verified' | 'unverified' | 'preferred';
  /** To connect and authenticate; undefined for the default. */
  readonly connectTimeoutMs: number | undefined;
  /** For the response to a statement; undefined for the default. */
  readonly readTimeoutMs: number | undefined;
}

export type MysqlAddress = { readonly host: string; readonly port: number } | { readonly socketPath: string };

/** The configuration, or the faults with their remedies. They quote nothing of the DSN but names of parameters. */
export type MysqlDsn =
  | { readonly config: MysqlConfig; readonly faults: readonly [] }
  | { readonly config: undefined; readonly faults: readonly string[] };

type Report = (fault: string) => void;

type Parameters = Pick<MysqlConfig, 'tls' | 'connectTimeoutMs' | 'readTimeoutMs'>;

/** The parts of a DSN or URL, decoded but for `query`. */
interface Parts {
  readonly user: string;
  readonly password: string;
  readonly address: MysqlAddress;
  readonly database: string;
  readonly query: string;
  /** Whether the query cannot contain a part of a password. */
  readonly queryIsPublic: boolean;
}

/** A longer timer of Node fires at once. */
export const maxTimerMs = 2 ** 31 - 1;

const defaultHost = '127.0.0.1';
const defaultPort = 3306;
const defaultSocket = '/tmp/mysql.sock';

/** Parameters of go-sql-driver/mysql that have no effect here. */
const ignored: ReadonlySet<string> = new Set([
  'allowAllFiles',
  'allowCleartextPasswords',
  'allowFallbackToPlaintext',
  'allowNativePasswords',
  'allowOldPasswords',
  'charset',
  'checkConnLiveness',
  'clientFoundRows',
  'collation',
  'columnsWithAlias',
  'compress',
  'connectionAttributes',
  'interpolateParams',
  'loc',
  'maxAllowedPacket',
  'multiStatements',
  'parseTime',
  'rejectReadOnly',
  'serverPubKey',
  'timeTruncate',
  'tinyInt1IsBool',
  'writeTimeout',
]);

const tlsModes: ReadonlyMap<string, MysqlConfig['tls']> = new Map([
  ['', 'off'],
  ['0', 'off'],
  ['false', 'off'],
  ['1', 'verified'],
  ['true', 'verified'],
  ['skip-verify', 'unverified'],
  ['preferred', 'preferred'],
]);

/**
 * Parses a DSN as go-sql-driver/mysql (dsn.go, 1.8 and later) does, or a URL:
 * `[user[:password]@][net[(address)]]/database[?name=value&…]` or `mysql://[user[:password]@][host[:port]]/database[?…]`.
 */
export function parseMysqlDsn(text: string): MysqlDsn {
  const faults: string[] = [];
  const report: Report = (fault) => {
    faults.push(fault);
  };
  const parts = isUrl(text) ? splitUrl(text, report) : splitDsn(text, report);
  if (parts === undefined) return { config: undefined, faults };
  const { query, queryIsPublic, ...server } = parts;
  if (server.database === '') report('no database is named; write its name after the last slash');
  const parameters = readParameters(query, queryIsPublic, report);
  return faults.length > 0
    ? { config: undefined, faults }
    : { config: { ...server, ...parameters }, faults: [] };
}

/** Not a DSN with user "mysql" and a password that starts with two slashes: its address ends with a parenthesis. */
function isUrl(text: string): boolean {
  return /^mysql:\/\//i.test(text) && text[text.lastIndexOf('/') - 1] !== ')';
}

/** Splits at the last slash and the last "@" before it, since a password may contain both. */
function splitDsn(text: string, report: Report): Parts | undefined {
  const slash = text.lastIndexOf('/');
  if (slash < 0) {
    report('the slash before the database is missing; write it, as in tcp(host:3306)/database');
    return undefined;
  }
  const at = text.lastIndexOf('@', slash);
  const address = readServer(text.slice(at + 1, slash), report);
  const rest = text.slice(slash + 1);
  const [encoded, query] = cut(rest, '?');
  const database = percentDecode(encoded);
  if (database === undefined) report(badEscape('database'));
  if (address === undefined || database === undefined) return undefined;
  const [user, password] = cut(text.slice(0, Math.max(at, 0)), ':');
  // Without a slash before the database, the last one may be in the password, which an "@" follows then.
  return { user, password, address, database, query, queryIsPublic: !rest.includes('@') };
}

/** @param text `[net[(address)]]` */
function readServer(text: string, report: Report): MysqlAddress | undefined {
  const [network, address] = cut(text, '(');
  if (address !== '' || text.endsWith('(')) {
    if (!address.includes(')')) {
      report('the parenthesis after the address is missing; write tcp(host:port) or unix(path)');
      return undefined;
    }
    if (!address.endsWith(')')) {
      report(
        'the last slash must follow the address in parentheses; write a slash in the value of a parameter as %2F',
      );
      return undefined;
    }
  }
  const inner = address.slice(0, -1);
  if (network === 'unix') return { socketPath: inner === '' ? defaultSocket : inner };
  if (network === 'tcp' || network === '') return readHostAndPort(inner, report);
  report(
    'the network is neither tcp nor unix; write tcp(host:port) or unix(path) before the slash and the database, and a slash in the value of a parameter as %2F',
  );
  return undefined;
}

/** Rejects an "@" after the host: it would belong to a password with an unescaped slash. */
function splitUrl(text: string, report: Report): Parts | undefined {
  const form = /^mysql:\/\/(?:([^/?#]*)@)?([^/?#@]*)(?:\/([^/?#@]*))?(?:\?([^#@]*))?$/i;
  const match = form.exec(text);
  if (match === null) {
    report(
      'not a URL such as mysql://host:3306/database, with "user:password@" before the host; write / ? # @ % in user, password and database as %2F %3F %23 %40 %25',
    );
    return undefined;
  }
  const [, credentials = '', server = '', path = '', query = ''] = match;
  const [user, password] = cut(credentials, ':').map(percentDecode);
  const database = percentDecode(path);
  const address = readHostAndPort(server, report);
  if (user === undefined) report(badEscape('user'));
  if (password === undefined) report(badEscape('password'));
  if (database === undefined) report(badEscape('database'));
  if (user === undefined || password === undefined || database === undefined) return undefined;
  return address && { user, password, address, database, query, queryIsPublic: true };
}

/** As in Go, the default host is this machine, and an IPv6 address without a port needs no brackets. */
function readHostAndPort(text: string, report: Report): MysqlAddress | undefined {
  if (isIpv6(text)) return { host: text, port: defaultPort };
  const match = /^(?:\[([^[\]]*)\]|([^\s:[\]()/\\@?#%]*))(?::(\d{1,5}))?$/.exec(text);
  const [, bracketed, name = '', digits] = match ?? [];
  const port = digits === undefined ? defaultPort : Number(digits);
  const isValid = match !== null && (bracketed === undefined || isIpv6(bracketed));
  if (isValid && port >= 1 && port <= 65535)
    return { host: bracketed ?? (name === '' ? defaultHost : name), port };
  report(
    'the address is not a host and a port from 1 to 65535; write it as in db.example.com:3306 or [2001:db8::1]:3306',
  );
  return undefined;
}

/** With or without a zone such as %eth0. */
function isIpv6(text: string): boolean {
  const [, address] = /^([\da-f.:]+)(?:%[\w.-]+)?$/i.exec(text) ?? [];
  return address !== undefined && URL.canParse(`http://[${address}]`);
}

/** As in Go, the last value wins, and a name without "=" is ignored. */
function readParameters(query: string, isPublic: boolean, report: Report): Parameters {
  let tls: Parameters['tls'] | undefined;
  let connectTimeoutMs: number | undefined;
  let readTimeoutMs: number | undefined;
  for (const pair of query.split('&')) {
    if (!pair.includes('=')) continue;
    const [name, value] = cut(pair, '=');
    if (name === 'tls') tls = readTls(value, report);
    else if (name === 'timeout') connectTimeoutMs = parseTimeout(name, value, report);
    else if (name === 'readTimeout') readTimeoutMs = parseTimeout(name, value, report);
    else if (!ignored.has(name)) report(unknownParameter(name, isPublic));
  }
  return { tls: tls ?? 'off', connectTimeoutMs, readTimeoutMs };
}

/** In Go it sets a session variable. */
function unknownParameter(name: string, isPublic: boolean): string {
  const named = isPublic && /^[\w.-]{1,64}$/.test(name) ? `the parameter ${name}` : 'a parameter';
  return `${named} is not known, and session variables are not supported; remove it`;
}

/** As in Go, the name may be query-escaped. Go's custom TLS configurations are registered in code. */
function readTls(value: string, report: Report): MysqlConfig['tls'] | undefined {
  const name = percentDecode(value.replaceAll('+', ' '));
  const mode = name === undefined ? undefined : tlsModes.get(name.toLowerCase());
  if (mode === undefined)
    report('the parameter tls names a custom configuration; write true, false, skip-verify or preferred');
  return mode;
}

/** @returns milliseconds; undefined for 0, which in Go means no timeout */
function parseTimeout(name: string, value: string, report: Report): number | undefined {
  const nanoseconds = parseDuration(value);
  if (nanoseconds === undefined) {
    report(`the parameter ${name} is not a duration from 0; write it such as 30s, 500ms or 1m30s`);
    return undefined;
  }
  if (nanoseconds === 0) return undefined;
  return Math.min(Math.ceil(nanoseconds / 1e6), maxTimerMs);
}

const nanosecondsOf: ReadonlyMap<string, number> = new Map([
  ['ns', 1],
  ['us', 1e3],
  ['\u00b5s', 1e3],
  ['\u03bcs', 1e3],
  ['ms', 1e6],
  ['s', 1e9],
  ['m', 60e9],
  ['h', 3600e9],
]);

/** As Go's time.ParseDuration, without negative durations. @returns nanoseconds; undefined if invalid */
function parseDuration(text: string): number | undefined {
  if (/^\+?0$/.test(text)) return 0;
  const units = 'ns|[u\u00b5\u03bc]s|ms|s|m|h';
  const number = String.raw`\d+(?:\.\d*)?|\.\d+`;
  if (!new RegExp(`^\\+?(?:(?:${number})(?:${units}))+$`).test(text)) return undefined;
  let sum = 0;
  for (const [, count, unit = ''] of text.matchAll(new RegExp(`(${number})(${units})`, 'g')))
    sum += Number(count) * (nanosecondsOf.get(unit) ?? NaN);
  // Go counts in 64 bits.
  return sum < 2 ** 63 ? sum : undefined;
}

/** @returns undefined if it is not percent-encoded UTF-8 */
function percentDecode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function badEscape(part: string): string {
  return `the ${part} has a % that starts no percent-encoded character; write % itself as %25`;
}

/** Splits at the first separator; the second part is empty without one. */
function cut(text: string, separator: string): [string, string] {
  const index = text.indexOf(separator);
  return index < 0 ? [text, ''] : [text.slice(0, index), text.slice(index + separator.length)];
}
