import assert from 'node:assert/strict';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { isRepositoryName, parseRepositoryName } from '../../lib/protocol/names.ts';
import type { SearchBackend } from '../../lib/search/search-backend.ts';
import { mariadb, type Database, type MariaDb } from '../servers/mariadb.ts';
import { requires } from '../servers/requires.ts';
import { assertPages, backendSuite, manyNames } from './backend-suite.ts';
import { interleavings } from './interleavings.ts';
import { groundOf, mysqlSearch, NamesBucket, onMariadb, originalTable, tableIn } from './list-ground.ts';
import { assertUnavailable } from './unavailable.ts';

const name = parseRepositoryName;
const all = { n: 1000, last: '' };

backendSuite(
  'in a table of MariaDB',
  requires('mariadbd'),
  async () => await groundOf(async () => await onMariadb()),
  25,
);

interleavings('a table of MariaDB', requires('mariadbd'), onMariadb);

describe('a table of MariaDB', requires('mariadbd'), () => {
  let server: MariaDb;
  const opened: SearchBackend[] = [];

  before(async () => {
    server = await mariadb();
  });

  after(async () => {
    for (const backend of opened) await backend.close();
    await server.stop();
  });

  const connect = ({ dsn }: Pick<Database, 'dsn'>, more = '') => {
    const backend = mysqlSearch(dsn + more);
    opened.push(backend);
    return backend;
  };

  it('the table has the definition of the original registry', async () => {
    const [ours, original] = [await server.newDatabase(), await server.newDatabase()];
    await connect(ours).reindex(new NamesBucket('a'));
    await original.sql(originalTable);
    assert.equal(
      await ours.sql('SHOW CREATE TABLE repositories'),
      await original.sql('SHOW CREATE TABLE repositories'),
    );
  });

  it('an existing table is used unchanged, also by a user who may not create tables', async () => {
    const database = await server.newDatabase('SELECT, INSERT, UPDATE, DELETE');
    await database.sql(
      `${originalTable} INSERT INTO repositories (name, createTime) VALUES ('b', 0), ('ab', 0), ('a_b', 1500000000),
      ('Not/A/Name', 0), ('caf\u00e9', 0), ('', 0), ('a', 0), ('A-B', 0), ('"quoted''', 0), ('team/app', 99999999999);`,
    );
    const backend = connect(database);
    assert.deepEqual(await backend.list(all), { names: ['a', 'a_b', 'ab', 'b', 'team/app'], more: false });
    assert.deepEqual(await backend.list({ n: 2, last: 'a' }), { names: ['a_b', 'ab'], more: true });
    for (let n = 1; n <= 4; n++)
      assert.deepEqual((await backend.list({ n, last: '' })).names, ['a', 'a_b', 'ab', 'b'].slice(0, n));
    await backend.record(name('a-c'));
    assert.deepEqual((await backend.list(all)).names, ['a', 'a-c', 'a_b', 'ab', 'b', 'team/app']);
    const bucket = new NamesBucket();
    for (const one of ['a', 'a_b', 'b', 'cafe', 'new']) await bucket.add(one);
    await backend.reindex(bucket);
    // Recorded just now, and recorded in the future: neither is doubted.
    assert.deepEqual((await backend.list(all)).names, ['a', 'a-c', 'a_b', 'b', 'cafe', 'new', 'team/app']);
    assert.equal(await database.sql('SELECT COUNT(*) FROM repositories'), '7');
  });

  /** What is sent to the server meanwhile, as its log has it: the command and the statement. */
  const logged = async (database: Database, act: () => Promise<unknown>): Promise<string[]> => {
    await database.sql(
      "SET GLOBAL log_output = 'TABLE'; TRUNCATE mysql.general_log; SET GLOBAL general_log = 1",
    );
    await act();
    await database.sql('SET GLOBAL general_log = 0');
    const log = await database.sql(
      `SELECT command_type, REPLACE(argument, CHAR(10), ' ') FROM mysql.general_log WHERE user_host LIKE '${database.user}%'`,
    );
    return log.split('\n').filter(Boolean);
  };

  it('a push to a table is one statement', async () => {
    const database = await server.newDatabase();
    const backend = connect(database);
    await backend.reindex(new NamesBucket());
    // Prepares it.
    await backend.record(name('a'));
    for (const pushed of ['a', 'b']) {
      const sent = await logged(database, async () => {
        await backend.record(name(pushed));
      });
      assert.equal(sent.length, 1, sent.join('\n'));
      assert.match(sent[0] ?? '', /^Execute\tINSERT INTO repositories/);
    }
    assert.deepEqual((await backend.list(all)).names, ['a', 'b']);
  });

  describe('that is missing', () => {
    const noTable = /no table repositories .* yet; npm run reindex creates it/;

    it('a missing table is unavailable, and neither reads nor pushes create it', async () => {
      const database = await server.newDatabase();
      const backend = connect(database);
      for (const ask of [
        async () => await backend.list(all),
        async () => await backend.list({ n: 0, last: '' }),
        async () => await backend.search('', { size: 1, number: 1 }),
        async () => {
          await backend.record(name('a'));
        },
      ])
        await assertUnavailable(ask(), noTable, server);
      assert.equal(await database.sql('SHOW TABLES'), '');
      assert.deepEqual(await backend.reindex(new NamesBucket()), { names: 0, added: 0, removed: 0 });
      assert.deepEqual(await backend.list(all), { names: [], more: false });
      assert.equal(await database.sql('SELECT COUNT(*) FROM repositories'), '0');
    });

    it('a failed reindex does not create the table', async () => {
      const database = await server.newDatabase();
      const failing = new NamesBucket('a');
      failing.pause = () => Promise.reject(new Error('of the bucket'));
      await assert.rejects(connect(database).reindex(failing), /of the bucket/);
      await assertUnavailable(connect(database).list(all), noTable, server);
    });

    it('the first reindex keeps pushes made during its listing', async () => {
      const database = await server.newDatabase();
      const backend = connect(database);
      const bucket = new NamesBucket('a');
      const pushing = {
        has: async (one: string) => await bucket.has(one),
        all: async function* () {
          yield* bucket.all();
          await bucket.add('pushed');
          // Of the first listing, before there is a table.
          await backend.record(name('pushed')).catch(() => undefined);
        },
      };
      assert.deepEqual(await backend.reindex(pushing), { names: 2, added: 2, removed: 0 });
      assert.deepEqual((await backend.list(all)).names, ['a', 'pushed']);
    });
  });

  describe('with the rows of the last release that are no names', () => {
    const marks = "('# empty', UNIX_TIMESTAMP()), ('# not whole: npm run reindex', 0)";

    it('a table with invalid rows of the last release lists none of them, with one statement per page', async () => {
      const database = await server.newDatabase();
      const backend = connect(database);
      await backend.reindex(new NamesBucket('a', 'b'));
      await database.sql(`INSERT INTO repositories VALUES ${marks}`);
      // Prepares it.
      await backend.list(all);
      for (const [n, names] of [
        [0, []],
        [1, ['a']],
        [2, ['a', 'b']],
        [10, ['a', 'b']],
      ] as const) {
        const sent = await logged(database, async () => {
          assert.deepEqual(await backend.list({ n, last: '' }), { names, more: n === 1 });
        });
        assert.equal(sent.length, 1, sent.join('\n'));
      }
      for (const term of ['', 'e'])
        assert.equal((await backend.search(term, { size: 9, number: 1 })).total, term === '' ? 2 : 0);
    });

    it('a reindex removes the invalid rows of the last release', async () => {
      const database = await server.newDatabase();
      const backend = connect(database);
      await database.sql(`${originalTable} INSERT INTO repositories VALUES ${marks}`);
      await backend.record(name('a'));
      assert.deepEqual(await backend.reindex(new NamesBucket('a')), { names: 1, added: 0, removed: 0 });
      assert.equal(await database.sql('SELECT name FROM repositories'), 'a');
      await database.sql('UPDATE repositories SET createTime = 0');
      assert.deepEqual(await backend.reindex(new NamesBucket()), { names: 0, added: 0, removed: 1 });
      assert.equal(await database.sql('SELECT COUNT(*) FROM repositories'), '0');
    });
  });

  it('a table keeps pushes made while a reindex asks the bucket', async () => {
    const database = await server.newDatabase();
    const backend = connect(database);
    const bucket = new NamesBucket('gone', 'pushed');
    await backend.reindex(bucket);
    await database.sql('UPDATE repositories SET createTime = 0');
    const asked: string[] = [];
    const changed = await backend.reindex({
      async *all() {
        yield* await Promise.resolve([]);
      },
      has: async (one) => {
        asked.push(one);
        if (one === 'pushed') await backend.record(name('pushed'));
        return false;
      },
    });
    assert.deepEqual(asked, ['gone', 'pushed']);
    assert.deepEqual(changed, { names: 1, added: 0, removed: 1 });
    assert.deepEqual((await backend.list(all)).names, ['pushed']);
  });

  it('a reindex removes a thousand rows during pushes and reads without losing any', async () => {
    const database = await server.newDatabase();
    const gone = Array.from({ length: 1000 }, (_, i) => `gone-${i}`);
    const [backend, other] = [connect(database), connect(database)];
    const bucket = new NamesBucket('a', ...gone);
    await backend.reindex(bucket);
    await database.sql('UPDATE repositories SET createTime = 0');
    for (const one of gone) bucket.names.delete(one);
    bucket.pause = async () => {
      await delay(1);
    };
    let [done, longest] = [false, 0];
    const there = new Set(['a']);
    const pushes = (async () => {
      for (let i = 0; !done; i++) {
        const pushed = gone[(i * 37) % gone.length] ?? '';
        bucket.names.add(pushed);
        there.add(pushed);
        const start = performance.now();
        await other.record(name(pushed));
        assert.ok((await other.list(all)).names.includes('a'));
        longest = Math.max(longest, performance.now() - start);
      }
    })();
    const { removed } = await backend.reindex(bucket);
    done = true;
    await pushes;
    assert.deepEqual(new Set((await other.list({ n: 2000, last: '' })).names), there);
    assert.ok(removed >= 1000 - there.size && there.size > 5, `${removed} removed, ${there.size} there`);
    // Nothing is locked while the bucket is asked.
    assert.ok(longest < 3000, `${longest} ms`);
  });

  it('a table is reindexed with a statement-based binary log', async () => {
    const logging = await mariadb(['--log-bin', '--binlog-format=STATEMENT', '--server-id=1']);
    try {
      const database = await logging.newDatabase();
      const backend = connect(database);
      await backend.reindex(new NamesBucket('a', 'b'));
      await database.sql('UPDATE repositories SET createTime = 0');
      assert.deepEqual(await backend.reindex(new NamesBucket('b', 'c')), { names: 2, added: 1, removed: 1 });
      assert.deepEqual((await backend.list(all)).names, ['b', 'c']);
    } finally {
      await logging.stop();
    }
  });

  it('a table has the time of the last push in seconds', async () => {
    const database = await server.newDatabase();
    const backend = connect(database);
    await backend.reindex(new NamesBucket('a'));
    await database.sql('UPDATE repositories SET createTime = 5');
    await backend.record(name('a'));
    const rows = await database.sql('SELECT * FROM repositories');
    const [listed, time] = rows.split('\t');
    assert.equal(listed, 'a');
    assert.ok(Math.abs(Number(time) - Date.now() / 1000) < 60, time);
  });

  it('a search counts exactly the rows that are repository names', async () => {
    const database = await server.newDatabase();
    await database.sql(tableIn('utf8mb4_nopad_bin', 300));
    const backend = connect(database);
    const rows = new Set(['UPPER', 'Foo Bar', 'team/app/', 'a', 'team/app', 'a.b__c--d/e', 'a\n', 'é', '']);
    for (const length of [254, 255, 256]) rows.add('a'.repeat(length));
    const signs = ['a', 'b', '0', '.', '_', '-', '/', 'A', ' ', '\n', 'é'];
    const some = fc.array(fc.constantFrom(...signs.slice(0, 7)), { minLength: 1, maxLength: 7 });
    const any = fc.array(fc.constantFrom(...signs), { maxLength: 7 });
    for (const row of fc.sample(fc.oneof(some, any), 3000)) rows.add(row.join(''));
    const values = [...rows].map((row) => `(X'${Buffer.from(row).toString('hex')}')`);
    await database.sql(`INSERT INTO repositories (name) VALUES ${values.join()}`);
    const names = [...rows].filter(isRepositoryName);
    for (const term of ['', 'a', '/']) {
      const found = await backend.search(term, { size: 10_000, number: 1 });
      const matches = names.filter((one) => one.includes(term));
      assert.deepEqual(found.names.toSorted(), matches.toSorted());
      assert.equal(found.total, matches.length);
    }
  });

  it('a search term cannot inject SQL', async () => {
    const backend = connect(await server.newDatabase());
    await backend.reindex(new NamesBucket('a'));
    for (const term of [
      "'; DROP TABLE repositories; --",
      "a' OR '1'='1",
      '"',
      '\\',
      '`',
      '\0',
      '😀',
      'a%',
      '?',
    ])
      assert.deepEqual(await backend.search(term, { size: 10, number: 1 }), { names: [], total: 0 }, term);
    assert.deepEqual((await backend.list(all)).names, ['a']);
  });

  it('a page of 100,000 repositories is one statement that reads each row once', async () => {
    const names = manyNames(100_000);
    for (const collation of ['utf8_general_ci', 'utf8mb4_unicode_ci']) {
      const database = await server.newDatabase();
      await database.sql(tableIn(collation));
      for (let at = 0; at < names.length; at += 4000) {
        const rows = names.slice(at, at + 4000).map((one) => `('${one}')`);
        await database.sql(`INSERT INTO repositories (name) VALUES ${rows.join(',')}`);
      }
      const backend = connect(database);
      if (collation === 'utf8_general_ci') await assertPages(backend, names);
      for (const [last, from] of [
        ['', '/'],
        ['team50/app_3/cache', 'team50/app_3/cache'],
      ] as const) {
        const sent = await logged(database, async () => await backend.list({ n: 1000, last }));
        const executed = sent.filter((one) => one.startsWith('Execute'));
        assert.equal(executed.length, 1, sent.join('\n'));
        // The log has no values.
        const values = [`'${from}'`, '1001'];
        const statement =
          (executed[0] ?? '').split('\t')[1]?.replaceAll('?', () => values.shift() ?? '') ?? '';
        assert.match(await database.sql(`EXPLAIN ${statement}`), /\tPRIMARY\t.*Using index/);
        const read = await database.sql(`FLUSH STATUS; ${statement}; SHOW STATUS LIKE 'Handler_read%'`);
        const rows = [...read.matchAll(/Handler_read_(?:first|key|next|rnd_next)\t(\d+)/g)]
          .map(([, count]) => Number(count))
          .reduce((a, b) => a + b, 0);
        assert.ok(rows >= names.length && rows < names.length + 2100, `${rows} rows were read: ${read}`);
      }
    }
  });

  it('a wrong or unreachable table is 503 with advice and without the DSN', async () => {
    const database = await server.newDatabase();
    const wrong = (from: string | RegExp, to: string) => connect({ dsn: database.dsn.replace(from, to) });
    const refused = /refuses the user or the password of SEARCH_BACKEND_MYSQL/;
    await assertUnavailable(wrong(server.password, 'guessed-wrong').list(all), refused, server);
    await assertUnavailable(
      wrong(/\/registry\d+\?/, '/other?').list(all),
      /may not use its database, or it does not exist; create it, and grant/,
      server,
    );
    await assertUnavailable(wrong(/:p@.*@/, '@').list(all), refused, server);
    await database.sql("CREATE USER bysocket@'%' IDENTIFIED VIA unix_socket");
    await assertUnavailable(wrong(/^registry\d+/, 'bysocket').list(all), refused, server);
    const noSocket = connect({ dsn: 'u:p@unix(/nowhere/socket)/registry1' });
    await assertUnavailable(noSocket.list(all), /no socket at the path in/, server);
    const noHost = connect({ dsn: 'u:p@tcp(nowhere.invalid)/registry1' });
    await assertUnavailable(noHost.list(all), /is not known; correct|cannot be resolved/, server);
    await assertUnavailable(wrong(`:${server.port}`, ':1').list(all), /nothing listens/, server);
    await assertUnavailable(connect(database, '&tls=true').list(all), /has no TLS; remove tls from/, server);
    const preferring = connect(database, '&tls=preferred');
    await preferring.reindex(new NamesBucket());
    for (const { names } of await Promise.all([1, 2, 3].map(async () => await preferring.list(all))))
      assert.deepEqual(names, []);
    await database.sql('DROP TABLE repositories');
    await database.sql('CREATE TABLE repositories (id INT PRIMARY KEY)');
    await assertUnavailable(connect(database).list(all), /other columns/, server);
    await database.sql('DROP TABLE repositories');
    await database.sql('CREATE TABLE repositories (name VARCHAR(3) PRIMARY KEY, createTime BIGINT)');
    await database.sql("INSERT INTO repositories VALUES ('a', 0)");
    const tooShort = /too short for a name; run ALTER TABLE/;
    await assertUnavailable(connect(database).record(name('a/long/one')), tooShort, server);
    await database.sql(
      'DROP TABLE repositories; CREATE VIEW repositories AS SELECT 1 AS name, 2 AS createTime',
    );
    const atAll = /SEARCH_BACKEND_MYSQL failed with ER_NON_INSERTABLE_TABLE; check its log/;
    await assertUnavailable(connect(database).record(name('a')), atAll, server);
    const poor = connect(await server.newDatabase('SELECT'));
    await assertUnavailable(
      poor.list(all),
      /no table repositories .* yet; npm run reindex creates it/,
      server,
    );
    await assertUnavailable(poor.reindex(new NamesBucket('a')), /grant/, server);
  });

  it('a slow table is 503 in time, and its connections stay usable', async () => {
    const database = await server.newDatabase();
    const backend = connect(database, '&readTimeout=400ms');
    await backend.reindex(new NamesBucket('a'));
    const locked = database.sql('LOCK TABLES repositories WRITE; SELECT SLEEP(2);');
    await delay(500);
    const start = performance.now();
    const slow = /timed out, or a reindex holds a lock/;
    await Promise.all(
      Array.from({ length: 4 }, async () => {
        await assertUnavailable(backend.list(all), slow, server);
      }),
    );
    assert.ok(performance.now() - start < 1400, `${performance.now() - start} ms`);
    await locked;
    for (let i = 0; i < 8; i++) assert.deepEqual((await backend.list(all)).names, ['a']);
  });

  it('a table behind an address that does not respond or hangs up is 503 in time', async () => {
    const sockets = new Set<Socket>();
    for (const [meet, more, told] of [
      // Longer than it waits for an answer: that is another matter.
      [() => undefined, 'timeout=600ms&readTimeout=100ms', /does not respond; check the address/],
      [(socket) => socket.end(), 'timeout=5s', /closed each connection at once; check its log/],
      [(socket) => socket.resetAndDestroy(), 'timeout=5s', /reset each connection|closed each connection/],
    ] as readonly (readonly [(socket: Socket) => unknown, string, RegExp])[]) {
      const silent = createServer((socket) => {
        sockets.add(socket);
        meet(socket);
      }).listen(0, '127.0.0.1');
      await once(silent, 'listening');
      const { port } = silent.address() as AddressInfo;
      const backend = connect({ dsn: `u:p@tcp(127.0.0.1:${port})/db?${more}` });
      const start = performance.now();
      await assertUnavailable(backend.list(all), told, server);
      assert.ok(performance.now() - start < 4000);
      silent.close();
    }
    for (const socket of sockets) socket.destroy();
  });

  it('a MariaDB that is stopped and started under load gives right responses or 503, and recovers', async () => {
    const database = await server.newDatabase();
    const backends = [connect(database), connect(database)];
    await backends[0]?.reindex(new NamesBucket());
    const recorded = new Set<string>();
    const counts = { right: 0, unavailable: 0 };
    let until = Infinity;
    const attempt = async (work: () => Promise<void>) => {
      try {
        await work();
        counts.right += 1;
      } catch (error) {
        assert.equal((error as { failure?: string }).failure, 'SEARCH_UNAVAILABLE', String(error));
        counts.unavailable += 1;
        await delay(5);
      }
    };
    const load = backends.flatMap((backend, b) =>
      [0, 1, 2].map(async (worker) => {
        for (let i = 0; performance.now() < until; i++) {
          await attempt(async () => {
            await backend.record(name(`load/${b}/${worker}/${i}`));
            recorded.add(`load/${b}/${worker}/${i}`);
          });
          await attempt(async () => {
            const before = [...recorded].filter((one) => one.startsWith(`load/${b}/${worker}/`));
            const { names } = await backend.list({ n: 100_000, last: '' });
            const listed = new Set(names);
            assert.deepEqual(
              before.filter((one) => !listed.has(one)),
              [],
            );
          });
        }
      }),
    );
    for (const end of ['shutDown', 'kill'] as const) {
      await delay(700);
      await server[end]();
      await delay(300);
      await server.restart();
    }
    until = performance.now() + 500;
    await Promise.all(load);
    assert.ok(counts.right > 100 && counts.unavailable > 10, JSON.stringify(counts));
    const { names } = await (backends[0] as SearchBackend).list({ n: 100_000, last: '' });
    assert.deepEqual(
      [...recorded].filter((one) => !names.includes(one)),
      [],
    );
    console.log(`under load: ${JSON.stringify(counts)}`);
  });
});
