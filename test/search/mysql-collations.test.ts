/** Tables whose keys are sorted otherwise than those of the registry before this one, or that are changed beneath us. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import type { MysqlSearch } from '../../lib/search/mysql/search.ts';
import { mariadb, type Database, type MariaDb } from '../servers/mariadb.ts';
import { requires } from '../servers/requires.ts';
import { awkwardNames, backendSuite, manyNames, modelPage, pageThrough } from './backend-suite.ts';
import { groundOf, mysqlSearch, NamesBucket, onMariadb, tableIn } from './list-ground.ts';
import { assertUnavailable } from './unavailable.ts';

// One of each order that there is. All others are tried with fewer names below.
for (const collation of ['utf8mb4_bin', 'utf8mb4_unicode_ci'])
  backendSuite(
    `in a table of the collation ${collation}`,
    requires('mariadbd'),
    async () => await groundOf(async () => await onMariadb(undefined, tableIn(collation))),
    2,
  );

describe('a table of MariaDB', requires('mariadbd'), () => {
  let server: MariaDb;
  const opened: MysqlSearch[] = [];

  before(async () => {
    server = await mariadb();
  });

  after(async () => {
    for (const backend of opened) await backend.close();
    await server.stop();
  });

  const connect = ({ dsn }: Database) => {
    const backend = mysqlSearch(dsn);
    opened.push(backend);
    return backend;
  };

  const some = [...new Set([...awkwardNames, ...manyNames(60)])];

  const assertAllPages = async (backend: MysqlSearch, names = some) => {
    for (const n of [1, 7, 100]) {
      const paged = await pageThrough({ list: async (page) => await backend.list(page) }, n);
      assert.deepEqual(paged.names, modelPage(names, { n: 1000, last: '' }).names, `in pages of ${n}`);
    }
  };

  // Of a character set of two bytes, of one without ASCII, with an order of two letters, and of other languages. All 480 that
  // MariaDB 10.11 has were tried, which takes 100 s.
  const others = [
    ...['utf8mb4_general_ci', 'utf8mb4_uca1400_ai_ci', 'utf8mb4_uca1400_lithuanian_as_cs', 'ucs2_general_ci'],
    ...[
      'utf16le_bin',
      'swe7_bin',
      'swe7_swedish_ci',
      'cp1250_czech_cs',
      'latin2_czech_cs',
      'big5_chinese_ci',
    ],
  ];

  it('in any collation and any character set has the same pages', { timeout: 180_000 }, async () => {
    const database = await server.newDatabase();
    const collations = await database.sql(
      `SELECT full_collation_name FROM information_schema.collation_character_set_applicability
        WHERE character_set_name IN ('utf8mb3', 'latin1', 'ascii') AND full_collation_name NOT LIKE '%uca1400%'
        OR full_collation_name IN (${others.map((one) => `'${one}'`).join(', ')})`,
    );
    let tried = 0;
    for (const collation of collations.trim().split('\n')) {
      await database.sql(`DROP TABLE IF EXISTS repositories; ${tableIn(collation)}`);
      const backend = mysqlSearch(database.dsn);
      try {
        if (/_(?:lithuanian|roman)_|^macce_general_/.test(collation)) {
          await assertUnavailable(
            backend.reindex(new NamesBucket(...some)),
            /different names are the same; run ALTER TABLE/,
            server,
          );
          continue;
        }
        await backend.reindex(new NamesBucket(...some));
        if (/^swe7_.*bin$/.test(collation)) {
          const told = /a character set that has not all characters of names; run ALTER TABLE/;
          await assertUnavailable(backend.list({ n: 1, last: '' }), told, server);
          continue;
        }
        await assertAllPages(backend);
        assert.equal((await backend.search('team', { size: 5, number: 1 })).names.length, 5, collation);
        tried += 1;
      } catch (error) {
        throw new Error(`in ${collation}`, { cause: error });
      } finally {
        await backend.close();
      }
    }
    console.log(`${tried} collations`);
    assert.ok(tried > 40);
  });

  it('whose names are of bytes has the same pages', async () => {
    const database = await server.newDatabase();
    await database.sql(
      'CREATE TABLE repositories (name VARBINARY(255) PRIMARY KEY, createTime BIGINT NOT NULL DEFAULT 0)',
    );
    const backend = connect(database);
    await backend.reindex(new NamesBucket(...some));
    await assertAllPages(backend);
  });

  it('that gets another collation meanwhile has the same pages', async () => {
    const database = await server.newDatabase();
    const backend = connect(database);
    await backend.reindex(new NamesBucket(...some));
    for (const collation of ['utf8_bin', 'utf8_unicode_ci', 'utf8_general_ci']) {
      await assertAllPages(backend);
      await database.sql(`ALTER TABLE repositories CONVERT TO CHARACTER SET utf8 COLLATE ${collation}`);
    }
    await assertAllPages(backend);
  });

  it('in whose collation different names are the same is 503 until it has another one', async () => {
    const database = await server.newDatabase();
    await database.sql(tableIn('utf8_lithuanian_ci'));
    const bucket = new NamesBucket('li', 'ly');
    const backend = connect(database);
    const told =
      /to the collation utf8(?:mb3)?_lithuanian_ci .* run ALTER TABLE .* and then npm run reindex$/;
    await database.sql("INSERT INTO repositories (name) VALUES ('li')");
    for (const ask of [
      async () => await backend.list({ n: 10, last: '' }),
      async () => await backend.search('l', { size: 1, number: 1 }),
      async () => {
        await backend.record(parseRepositoryName('ly'));
      },
      async () => await backend.reindex(bucket),
    ])
      await assertUnavailable(ask(), told, server);
    assert.equal(await database.sql('SELECT name FROM repositories'), 'li');
    await database.sql('ALTER TABLE repositories CONVERT TO CHARACTER SET utf8 COLLATE utf8_general_ci');
    await backend.reindex(bucket);
    await assertAllPages(backend, ['li', 'ly']);
  });

  it('with very many rows that are no names is read in few statements', async () => {
    const database = await server.newDatabase();
    const backend = connect(database);
    await backend.reindex(new NamesBucket('a', 'b'));
    await database.sql(
      "INSERT INTO repositories (name) SELECT CONCAT('a', SUBSTRING(CONCAT('#', seq), 1)) FROM seq_1_to_20000",
    );
    const executed = async () =>
      Number((await database.sql("SHOW GLOBAL STATUS LIKE 'Com_stmt_execute'")).split('\t')[1]);
    const before = await executed();
    assert.deepEqual(await backend.list({ n: 1, last: '' }), { names: ['a'], more: true });
    const statements = (await executed()) - before;
    // 2, 4, … 512 rows, and then 1000 at once, once for the key's order and once for what it has later.
    assert.ok(statements > 20 && statements < 70, `${statements} statements`);
  });

  it('with rows that are no ASCII has its pages all the same', async () => {
    const database = await server.newDatabase();
    await database.sql(tableIn('utf8mb4_general_ci'));
    const backend = connect(database);
    await backend.reindex(new NamesBucket(...some));
    // Of the connection's three bytes a character these cannot be read back, and nothing gone on from.
    await database.sql(
      "INSERT INTO repositories (name) SELECT CONCAT('a', CONVERT(0xF09F9880 USING utf8mb4), seq) FROM seq_1_to_3000",
    );
    await assertAllPages(backend);
    assert.equal(
      (await backend.search('a', { size: 1, number: 1 })).total,
      some.filter((one) => one.includes('a')).length,
    );
  });

  for (const [what, table, told] of [
    [
      'no key',
      'name VARCHAR(255), createTime BIGINT NOT NULL DEFAULT 0',
      /no key that is its whole name alone/,
    ],
    [
      'a key of another column',
      'id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(255), createTime BIGINT NOT NULL DEFAULT 0, KEY (name)',
      /no key that is its whole name alone/,
    ],
    [
      'a key of the first letters',
      'name VARCHAR(255), createTime BIGINT NOT NULL DEFAULT 0, PRIMARY KEY (name(10))',
      /no key that is its whole name alone/,
    ],
    [
      'no transactions',
      'name VARCHAR(255) PRIMARY KEY, createTime BIGINT NOT NULL DEFAULT 0) ENGINE=MyISAM COMMENT=(',
      /run ALTER TABLE repositories ENGINE=InnoDB/,
    ],
  ] as const)
    it(`with ${what} is refused by a reindex, which says what to do`, async () => {
      const database = await server.newDatabase();
      const [columns = '', engine = ''] = table.split(') ENGINE');
      await database.sql(`CREATE TABLE repositories (${columns})${engine === '' ? '' : ' ENGINE=MyISAM'}`);
      const reindex = connect(database).reindex(new NamesBucket('team/application', 'team/applications'));
      await assertUnavailable(reindex, told, server);
    });

  it('that cuts names off is refused by a reindex', async () => {
    const database = await server.newDatabase();
    await database.sql(`SET GLOBAL sql_mode = ''; ${tableIn('utf8_general_ci', 20)}`);
    try {
      const bucket = new NamesBucket('team/application-of-many', 'team/b');
      await assertUnavailable(
        connect(database).reindex(bucket),
        /does not keep names as they are, such as/,
        server,
      );
      assert.equal(await database.sql("SELECT COUNT(*) FROM repositories WHERE name NOT LIKE '#%'"), '0');
    } finally {
      await database.sql('SET GLOBAL sql_mode = DEFAULT');
    }
  });

  describe('that somebody empties beneath a running registry', () => {
    const notMade = /not made from the bucket yet/;

    for (const [how, statement] of [
      ['TRUNCATE', 'TRUNCATE repositories'],
      ['DELETE', 'DELETE FROM repositories'],
    ] as const)
      it(`by ${how} is no list, also after pushes, until a reindex`, async () => {
        const database = await server.newDatabase();
        const [one, other] = [connect(database), connect(database)];
        const bucket = new NamesBucket('a', 'b', 'c');
        await one.reindex(bucket);
        for (const backend of [one, other]) {
          await backend.record(parseRepositoryName('a'));
          assert.deepEqual((await backend.list({ n: 1, last: 'a' })).names, ['b']);
          assert.equal((await backend.search('b', { size: 1, number: 1 })).total, 1);
        }
        const assertNone = async () => {
          for (const backend of [one, other, connect(database)])
            for (const ask of [
              async () => await backend.list({ n: 0, last: '' }),
              async () => await backend.list({ n: 10, last: '' }),
              async () => await backend.list({ n: 10, last: 'a' }),
              async () => await backend.list({ n: 10, last: 'z' }),
              async () => await backend.search('b', { size: 1, number: 1 }),
              async () => await backend.search('none', { size: 1, number: 1 }),
            ])
              await assertUnavailable(ask(), notMade, server);
        };
        await database.sql(statement);
        await assertNone();
        // Of those that have recorded before, and have seen the table whole.
        await other.record(parseRepositoryName('b'));
        await assertNone();
        await one.record(parseRepositoryName('c'));
        await assertNone();
        assert.deepEqual(await other.reindex(bucket), { names: 3, added: 1, removed: 0 });
        for (const backend of [one, other])
          assert.deepEqual((await backend.list({ n: 10, last: '' })).names, ['a', 'b', 'c']);
      });

    it('while a push is on its way is no list', async () => {
      for (const isolation of ['REPEATABLE READ', 'READ COMMITTED']) {
        const database = await server.newDatabase();
        const backend = connect(database);
        const bucket = new NamesBucket('a', 'b', 'c');
        await backend.reindex(bucket);
        const emptying = database.sql(
          `SET SESSION TRANSACTION ISOLATION LEVEL ${isolation}; BEGIN; DELETE FROM repositories; SELECT SLEEP(1); COMMIT`,
        );
        await delay(300);
        await Promise.all([
          backend.record(parseRepositoryName('a')),
          backend.record(parseRepositoryName('new')),
          backend.record(parseRepositoryName('0')),
        ]);
        await emptying;
        await assertUnavailable(backend.list({ n: 10, last: '' }), notMade, server);
        assert.deepEqual(await backend.reindex(bucket), { names: 5, added: 2, removed: 0 });
      }
    });

    it('while a reindex is on its way has all that is in the bucket, or is no list', async () => {
      for (const added of [[], ['new']]) {
        const database = await server.newDatabase();
        const backend = connect(database);
        const bucket = new NamesBucket('a', 'b', 'c', 'gone');
        await backend.reindex(bucket);
        await database.sql('UPDATE repositories SET createTime = 0');
        bucket.names.delete('gone');
        for (const one of added) bucket.names.add(one);
        const emptying = database.sql('BEGIN; DELETE FROM repositories; SELECT SLEEP(1); COMMIT');
        await delay(300);
        await backend.reindex(bucket);
        await emptying;
        const { names } = await backend.list({ n: 10, last: '' });
        assert.deepEqual(names, [...bucket.names].sort());
      }
    });

    it('between the steps of a reindex has all that is in the bucket', async () => {
      const database = await server.newDatabase();
      const backend = connect(database);
      const gone = Array.from({ length: 450 }, (_, i) => `gone-${i}`);
      const bucket = new NamesBucket('a', 'b', 'c', ...gone);
      await backend.reindex(bucket);
      await database.sql('UPDATE repositories SET createTime = 0');
      for (const one of gone) bucket.names.delete(one);
      let asked = 0;
      let emptying: Promise<unknown> | undefined;
      const slow = {
        all: () => bucket.all(),
        has: async (one: string) => {
          // Within the first step: it waits for that, and comes before the second.
          if ((asked += 1) === 460) emptying = database.sql('TRUNCATE repositories');
          await delay(asked > 450 && asked < 480 ? 20 : 0);
          return await bucket.has(one);
        },
      };
      await backend.reindex(slow);
      await emptying;
      assert.ok(asked >= 460);
      assert.deepEqual((await backend.list({ n: 10, last: '' })).names, ['a', 'b', 'c']);
    });

    it('beside searches gives none that is empty', async () => {
      const database = await server.newDatabase();
      const [backend, other] = [connect(database), connect(database)];
      const bucket = new NamesBucket(...some);
      const counts = { right: 0, unavailable: 0 };
      const all = some.filter((one) => one.includes('app')).length;
      for (let round = 0; round < 20; round++) {
        await backend.reindex(bucket);
        const stop = new AbortController();
        const searches = (async () => {
          while (!isStopped(stop))
            try {
              const { names, total } = await other.search('app', { size: 5, number: 1 });
              assert.deepEqual([names.length, total], [5, all]);
              counts.right += 1;
            } catch (error) {
              assert.equal((error as { failure?: string }).failure, 'SEARCH_UNAVAILABLE', String(error));
              counts.unavailable += 1;
            }
        })();
        await delay(20);
        await database.sql('TRUNCATE repositories');
        stop.abort();
        await searches;
      }
      assert.ok(counts.right > 20, JSON.stringify(counts));
    });

    it('in the middle of a reindex has all that is in the bucket after it', async () => {
      const database = await server.newDatabase();
      const backend = connect(database);
      const bucket = new NamesBucket('a', 'b', 'gone');
      await backend.reindex(bucket);
      bucket.names.delete('gone');
      await database.sql('UPDATE repositories SET createTime = 0');
      let asked = 0;
      const emptying = {
        all: () => bucket.all(),
        // Asked once the rows have been read.
        has: async (name: string) => {
          if ((asked += 1) === 1) await database.sql('TRUNCATE repositories');
          return await bucket.has(name);
        },
      };
      assert.deepEqual(await backend.reindex(emptying), { names: 2, added: 2, removed: 0 });
      assert.equal(asked, 1);
      assert.deepEqual((await backend.list({ n: 10, last: '' })).names, ['a', 'b']);
    });
  });
});

/** The compiler takes what it knew of it before an await for the truth. */
function isStopped({ signal }: AbortController): boolean {
  return signal.aborted;
}
