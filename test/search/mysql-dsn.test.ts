import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseMysqlDsn, type MysqlConfig } from '../../lib/search/mysql/dsn.ts';
import { secretsIn } from '../logs/secrets.ts';

const here = { host: '127.0.0.1', port: 3306 };

const plain: MysqlConfig = {
  user: '',
  password: '',
  database: 'db',
  address: here,
  tls: 'off',
  connectTimeoutMs: undefined,
  readTimeoutMs: undefined,
};

const user: Partial<MysqlConfig> = { user: 'u', password: 'p' };

const dsns: Readonly<Record<string, Partial<MysqlConfig>>> = {
  'user:pass@tcp(10.0.0.1:3306)/registry?loc=Local&parseTime=true': {
    user: 'user',
    password: 'pass',
    database: 'registry',
    address: { host: '10.0.0.1', port: 3306 },
  },
  // Defaults
  '/db': {},
  '@/db': {},
  'tcp/db': {},
  'tcp()/db': {},
  'u@/db': { user: 'u' },
  'u:@/db': { user: 'u' },
  ':p@/db': { password: 'p' },
  'u:p@/db': user,
  'u:p@tcp/db': user,
  'u:p@(db.example.com)/db': { ...user, address: { host: 'db.example.com', port: 3306 } },
  'u:p@tcp(:3307)/db': { ...user, address: { host: '127.0.0.1', port: 3307 } },
  'u:p@tcp(mysql_1:1)/db': { ...user, address: { host: 'mysql_1', port: 1 } },
  // Passwords
  'u:a@b:c/d@tcp(h:3306)/db': { user: 'u', password: 'a@b:c/d', address: { host: 'h', port: 3306 } },
  'u:what?tls=true&x=y@tcp(h:3306)/db': {
    user: 'u',
    password: 'what?tls=true&x=y',
    address: { host: 'h', port: 3306 },
  },
  'u:50%25(off)@/db': { user: 'u', password: '50%25(off)' },
  'mysql://pw@tcp(h:3306)/db': { user: 'mysql', password: '//pw', address: { host: 'h', port: 3306 } },
  // Sockets
  'unix/db': { address: { socketPath: '/tmp/mysql.sock' } },
  'u:p@unix()/db': { ...user, address: { socketPath: '/tmp/mysql.sock' } },
  'u:p@unix(/run/mysqld/mysqld.sock)/db': { ...user, address: { socketPath: '/run/mysqld/mysqld.sock' } },
  // IPv6
  'u:p@tcp([de:ad:be:ef::ca:fe]:80)/db': { ...user, address: { host: 'de:ad:be:ef::ca:fe', port: 80 } },
  'u:p@tcp([::1])/db': { ...user, address: { host: '::1', port: 3306 } },
  'u:p@tcp(::1)/db': { ...user, address: { host: '::1', port: 3306 } },
  'u:p@tcp([fe80::1%eth0]:3306)/db': { ...user, address: { host: 'fe80::1%eth0', port: 3306 } },
  // Databases
  '/a%2Fb%3Fc+d': { database: 'a/b?c+d' },
  '/db@home': { database: 'db@home' },
  '/db?': {},
  '/db?&novalue&': {},
  // Parameters
  '/db?timeout=30s&readTimeout=500ms': { connectTimeoutMs: 30_000, readTimeoutMs: 500 },
  '/db?timeout=1m30s&readTimeout=1.5h': { connectTimeoutMs: 90_000, readTimeoutMs: 5_400_000 },
  '/db?timeout=+.5s&readTimeout=1.s': { connectTimeoutMs: 500, readTimeoutMs: 1000 },
  '/db?timeout=0&readTimeout=0s': {},
  '/db?timeout=1ns&readTimeout=1500µs': { connectTimeoutMs: 1, readTimeoutMs: 2 },
  '/db?timeout=2000000h': { connectTimeoutMs: 2 ** 31 - 1 },
  '/db?timeout=1s&timeout=2s': { connectTimeoutMs: 2000 },
  '/db?tls=false': {},
  '/db?tls=0': {},
  '/db?tls=': {},
  '/db?tls=true': { tls: 'verified' },
  '/db?tls=True': { tls: 'verified' },
  '/db?tls=1': { tls: 'verified' },
  '/db?tls=skip-verify': { tls: 'unverified' },
  '/db?tls=skip%2Dverify': { tls: 'unverified' },
  '/db?tls=Preferred': { tls: 'preferred' },
  '/db?loc=Asia%2FShanghai&charset=utf8mb4,utf8&collation=utf8mb4_bin&writeTimeout=1s&interpolateParams=true':
    {},
  '/db?allowNativePasswords=false&maxAllowedPacket=0&compress=true&connectionAttributes=a:b&tinyInt1IsBool=0':
    {},
  // URLs
  'mysql://u:p@h:3307/db?tls=preferred&timeout=5s': {
    ...user,
    address: { host: 'h', port: 3307 },
    tls: 'preferred',
    connectTimeoutMs: 5000,
  },
  'MySQL://h/db': { address: { host: 'h', port: 3306 } },
  'mysql:///db': {},
  'mysql://u@/db': { user: 'u' },
  'mysql://a%3Ab:%40%2F%3A%3F+%25@h/d%2Fb': {
    user: 'a:b',
    password: '@/:?+%',
    database: 'd/b',
    address: { host: 'h', port: 3306 },
  },
  'mysql://u:a@b:c@h/db': { user: 'u', password: 'a@b:c', address: { host: 'h', port: 3306 } },
  'mysql://u:p@[::1]:3307/db?loc=Asia/Shanghai': { ...user, address: { host: '::1', port: 3307 } },
};

const faulty: Readonly<Record<string, readonly RegExp[]>> = {
  '': [/^the slash before the database is missing; write it/],
  'u:p@tcp(h:3306)': [/^the slash before the database is missing/],
  'u:p@tcp(h:3306)/': [/^no database is named; write its name/],
  'u:p@tcp(h:3306)/?tls=true': [/^no database is named/],
  'u:p@tcp(h:3306/db': [/^the parenthesis after the address is missing/],
  'u:p@tcp(/db': [/^the parenthesis after the address is missing/],
  'u:p@tcp(h:3306)x/db': [/^the last slash must follow the address/],
  'u:p@tcp(h:3306)/db?loc=Asia/Shanghai': [/^the last slash must follow .* as %2F$/],
  'u:p@/db?loc=Asia/Shanghai': [/^the network is neither .* as %2F$/],
  'u:p@h:3306/db': [/^the network is neither tcp nor unix; write tcp\(host:port\)/],
  'u:p@TCP(h:3306)/db': [/^the network is neither/],
  'u:p@tcp6([::1]:3306)/db': [/^the network is neither/],
  'u:p@unix(/tmp/a@b.sock)/db': [/^the network is neither/],
  'postgres://u:p@h:5432/db': [/^the network is neither/],
  'u:pa/ss@tcp(h:3306)': [/^the network is neither/],
  'u:p@tcp(h:)/db': [/^the address is not a host and a port/],
  'u:p@tcp(h:mysql)/db': [/^the address is not/],
  'u:p@tcp(h:0)/db': [/^the address is not/],
  'u:p@tcp(h:65536)/db': [/^the address is not/],
  'u:p@tcp(:123456)/db': [/^the address is not/],
  'u:p@tcp(a b:3306)/db': [/^the address is not/],
  'u:p@tcp(a:b:c)/db': [/^the address is not/],
  'u:p@tcp([h]:3306)/db': [/^the address is not/],
  'u:p@tcp([]:3306)/db': [/^the address is not/],
  'u:p@tcp(1:2:3)/db': [/^the address is not/],
  '/100%': [/^the database has a % .* as %25$/],
  '/%FF': [/^the database has a %/],
  '/db?tls=my-ca': [/^the parameter tls names a custom configuration; write true, false/],
  '/db?tls=%zz': [/^the parameter tls/],
  '/db?time_zone=%27UTC%27&strict=true': [
    /^the parameter time_zone is not known.*; remove it$/,
    /^the parameter strict is not known/,
  ],
  '/db?a%20b=1': [/^a parameter is not known/],
  '/?timeout=x&ssl=1': [/^no database/, /^the parameter timeout is not a duration/, /^the parameter ssl is/],
  'mysql://u:p@h:3306': [/^no database is named/],
  'mysql://u:p@h:3306?tls=true': [/^no database is named/],
  'mysql://u:p@h:x/db': [/^the address is not/],
  'mysql://u:p@h/db/': [/^not a URL such as/],
  'mysql://u:p@h/db#x': [/^not a URL such as/],
  'mysql://u:12/p?word=1@h/db': [/^not a URL such as/],
  'mysql://u:12?word=1@h/db': [/^not a URL such as/],
  'mysql://u:100%@h/db': [/^the password has a % .* as %25$/],
  'mysql://%:p@h/%': [/^the user has a %/, /^the database has a %/],
};

const durations = [
  '',
  's',
  '5',
  '-5s',
  '1d',
  '1 s',
  '.s',
  '1s1',
  '1e3s',
  '--1s',
  'Infinitys',
  '9999999h',
  '1S',
];

function configOf(text: string): MysqlConfig | undefined {
  const { config, faults } = parseMysqlDsn(text);
  assert.deepEqual(faults, []);
  return config;
}

describe('a DSN of MySQL', () => {
  for (const [text, expected] of Object.entries(dsns))
    it(`a DSN of MySQL is read: ${text}`, () => {
      assert.deepEqual(configOf(text), { ...plain, ...expected });
    });

  for (const [text, expected] of Object.entries(faulty))
    it(`a DSN of MySQL is refused: ${text}`, () => {
      const { config, faults } = parseMysqlDsn(text);
      assert.equal(config, undefined);
      assert.equal(faults.length, expected.length, faults.join('\n'));
      for (const [index, pattern] of expected.entries()) assert.match(faults[index] ?? '', pattern);
    });

  for (const duration of durations)
    for (const name of ['timeout', 'readTimeout'])
      it(`a DSN of MySQL is refused with "${duration}" as ${name}`, () => {
        const { faults } = parseMysqlDsn(`/db?${name}=${duration}`);
        assert.deepEqual(faults, [
          `the parameter ${name} is not a duration from 0; write it such as 30s, 500ms or 1m30s`,
        ]);
      });
});

const special = fc.string({
  unit: fc.oneof(
    fc.constantFrom(...Array.from('@:/?&=%()#[]')),
    fc.string({ minLength: 1, maxLength: 1, unit: 'binary' }),
  ),
});
const host = fc.oneof(
  fc.domain(),
  fc.ipV4(),
  fc.ipV6().map((address) => `[${address}]`),
);

interface Server extends Pick<MysqlConfig, 'user' | 'password' | 'database'> {
  readonly host: string;
  readonly port: number;
}

const server: fc.Arbitrary<Server> = fc.record({
  user: special,
  password: special,
  host,
  port: fc.integer({ min: 1, max: 65535 }),
  database: fc.string({ unit: 'binary', minLength: 1 }),
});

describe('any server', () => {
  const configFor = ({ host, port, ...rest }: Server): MysqlConfig => ({
    ...plain,
    ...rest,
    address: { host: host.replace(/[[\]]/g, ''), port },
  });

  it('a server survives the round trip through a DSN, whatever the password', () => {
    const withoutColon = server.map((one) => ({ ...one, user: one.user.replaceAll(':', '') }));
    fc.assert(
      fc.property(withoutColon, (one) => {
        const { user, password, host, port, database } = one;
        const text = `${user}:${password}@tcp(${host}:${port})/${encodeURIComponent(database)}`;
        assert.deepEqual(configOf(text), configFor(one));
      }),
      { numRuns: 2000 },
    );
  });

  it('a server survives the round trip through a URL', () => {
    fc.assert(
      fc.property(server, (one) => {
        const [user, password, database] = [one.user, one.password, one.database].map(encodeURIComponent);
        const text = `mysql://${user ?? ''}:${password ?? ''}@${one.host}:${one.port}/${database ?? ''}`;
        assert.deepEqual(configOf(text), configFor(one));
      }),
      { numRuns: 2000 },
    );
  });
});

describe('a fault', () => {
  const secret = 'S3cr3t';
  const units = fc.constantFrom(
    ...Array.from('@:/?&=%()#1'),
    secret,
    'tcp',
    'tls=',
    'timeout=',
    'mysql://',
    `?${secret}=`,
  );
  const password = fc.string({ unit: units, maxLength: 12 });
  const before = fc.constantFrom('', 'mysql://', 'mariadb://');
  const after = fc.constantFrom(
    ...['tcp(h:3306)/', 'tcp(h:3306)', 'tcp(h:3306', 'h:3306/db', 'h', 'udp(h)/db', 'tcp(h:x)/db', ''],
    ...['/db?x=1', 'h/db?timeout=x', 'tcp(h)/db?tls=x/y', 'tcp(h)/%', 'h/db#', 'unix/?loc=a/b'],
  );

  it('an error of a DSN never contains a part of the password', () => {
    let faultyOnes = 0;
    fc.assert(
      fc.property(before, password, after, (start, middle, end) => {
        const { faults } = parseMysqlDsn(`${start}user:${secret}${middle}${secret}@${end}`);
        if (faults.length > 0) faultyOnes += 1;
        for (const fault of faults) assert.ok(!fault.includes(secret), fault);
        assert.deepEqual(secretsIn(faults.join('\n')), []);
      }),
      { numRuns: 5000 },
    );
    assert.ok(faultyOnes > 1000, String(faultyOnes));
  });
});
