/** Tables whose keys are sorted otherwise than those of the registry before this one. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
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

  /** The last ones are the same to some collations, which take `i` for `y` or `j`, or `m` for `n`. */
  const some = [...new Set([...awkwardNames, ...manyNames(60), 'li', 'ly', 'lj', 'om', 'on'])];
  const notApart =
    /alters names or equates different ones, such as .* run ALTER TABLE .* and then npm run reindex$/;

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

  it('a table in any collation and character set has the same pages', { timeout: 180_000 }, async () => {
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
        if (/_(?:lithuanian|roman)_(?!as_cs)|^macce_general_/.test(collation)) {
          await assertUnavailable(backend.reindex(new NamesBucket(...some)), notApart, server);
          continue;
        }
        await backend.reindex(new NamesBucket(...some));
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

  it('a table with binary names has the same pages', async () => {
    const database = await server.newDatabase();
    await database.sql(
      'CREATE TABLE repositories (name VARBINARY(255) PRIMARY KEY, createTime BIGINT NOT NULL DEFAULT 0)',
    );
    const backend = connect(database);
    await backend.reindex(new NamesBucket(...some));
    await assertAllPages(backend);
  });

  it('a table whose collation changes has the same pages', async () => {
    const database = await server.newDatabase();
    const backend = connect(database);
    await backend.reindex(new NamesBucket(...some));
    for (const collation of ['utf8_bin', 'utf8_unicode_ci', 'utf8_general_ci']) {
      await assertAllPages(backend);
      await database.sql(`ALTER TABLE repositories CONVERT TO CHARACTER SET utf8 COLLATE ${collation}`);
    }
    await assertAllPages(backend);
  });

  it('reindex refuses a table whose collation treats different names as equal', async () => {
    const database = await server.newDatabase();
    await database.sql(tableIn('utf8_lithuanian_ci'));
    const bucket = new NamesBucket('li', 'ly');
    const backend = connect(database);
    await database.sql("INSERT INTO repositories (name) VALUES ('li')");
    for (let times = 0; times < 2; times++)
      await assertUnavailable(backend.reindex(bucket), notApart, server);
    assert.equal(await database.sql('SELECT name FROM repositories'), 'li');
    await database.sql('ALTER TABLE repositories CONVERT TO CHARACTER SET utf8 COLLATE utf8_general_ci');
    await backend.reindex(bucket);
    await assertAllPages(backend, ['li', 'ly']);
  });

  it('a table with many invalid rows is read in few statements', async () => {
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
    // 2 rows, and then each time twice as many and 1000.
    assert.ok(statements > 1 && statements < 8, `${statements} statements`);
  });

  it('a table with rows outside ASCII has the same pages', async () => {
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
      /no unique key on the whole name alone/,
    ],
    [
      'a key of another column',
      'id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(255), createTime BIGINT NOT NULL DEFAULT 0, KEY (name)',
      /no unique key on the whole name alone/,
    ],
    [
      'a key of the first letters',
      'name VARCHAR(255), createTime BIGINT NOT NULL DEFAULT 0, PRIMARY KEY (name(10))',
      /no unique key on the whole name alone/,
    ],
    [
      'no transactions',
      'name VARCHAR(255) PRIMARY KEY, createTime BIGINT NOT NULL DEFAULT 0) ENGINE=MyISAM COMMENT=(',
      /run ALTER TABLE repositories ENGINE=InnoDB/,
    ],
  ] as const)
    it(`reindex refuses a table with ${what} and says what to do`, async () => {
      const database = await server.newDatabase();
      const [columns = '', engine = ''] = table.split(') ENGINE');
      await database.sql(`CREATE TABLE repositories (${columns})${engine === '' ? '' : ' ENGINE=MyISAM'}`);
      const reindex = connect(database).reindex(new NamesBucket('team/application', 'team/applications'));
      await assertUnavailable(reindex, told, server);
    });

  it('reindex refuses a table that truncates names', async () => {
    const database = await server.newDatabase();
    await database.sql(`SET GLOBAL sql_mode = ''; ${tableIn('utf8_general_ci', 20)}`);
    try {
      const bucket = new NamesBucket('team/application-of-many', 'team/b');
      await assertUnavailable(connect(database).reindex(bucket), notApart, server);
      assert.equal(await database.sql('SELECT COUNT(*) FROM repositories'), '0');
    } finally {
      await database.sql('SET GLOBAL sql_mode = DEFAULT');
    }
  });
});
