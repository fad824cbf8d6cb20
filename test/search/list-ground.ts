import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { join } from 'node:path';
import { createConnection } from 'mysql2/promise';
import { LocalFile } from '../../lib/search/file/local-file.ts';
import { parseMysqlDsn } from '../../lib/search/mysql/dsn.ts';
import { MysqlSearch } from '../../lib/search/mysql/search.ts';
import type { BucketNames, SearchBackend } from '../../lib/search/search-backend.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { mariadb, type Database, type MariaDb } from '../servers/mariadb.ts';
import type { Ground, Subject } from './backend-suite.ts';

/** A bucket as lists see it. Each of its calls may take some time. */
export class NamesBucket implements BucketNames {
  readonly names: Set<string>;
  /** Resolves after the time that a call of the bucket takes. */
  pause: () => Promise<void> = async () => {
    await Promise.resolve();
  };

  constructor(...names: readonly string[]) {
    this.names = new Set(names);
  }

  async add(name: string): Promise<void> {
    await this.pause();
    this.names.add(name);
    await this.pause();
  }

  async delete(name: string): Promise<void> {
    await this.pause();
    this.names.delete(name);
    await this.pause();
  }

  async *all(): AsyncGenerator<string> {
    await this.pause();
    const listed = [...this.names].sort();
    await this.pause();
    yield* listed;
  }

  async has(name: string): Promise<boolean> {
    await this.pause();
    const has = this.names.has(name);
    await this.pause();
    return has;
  }
}

/** A list that several processes share, each with a backend of its own. */
export interface SharedList {
  connect(): Promise<SearchBackend>;
  /** Does as if all that is in the list had been there for long. */
  age(): Promise<void>;
  remove(): void;
}

export interface SharedGround {
  newList(): Promise<SharedList>;
  stop(): Promise<void>;
}

/**
 * As the registry before this one made its table, or in another collation.
 * @param length of names in characters: a key has at most 3072 bytes
 */
export function tableIn(collation: string, length = 255): string {
  return `CREATE TABLE \`repositories\` (
    \`name\` VARCHAR(${length}) NOT NULL, \`createTime\` BIGINT(20) NOT NULL DEFAULT '0', PRIMARY KEY (\`name\`)
  ) COLLATE='${collation}' ENGINE=InnoDB;`;
}

export const originalTable = tableIn('utf8_general_ci', 1024);

/** @throws when the DSN is not right */
export function mysqlSearch(dsn: string): MysqlSearch {
  const { config, faults } = parseMysqlDsn(dsn);
  if (config === undefined) throw new Error(faults.join('\n'));
  return new MysqlSearch(config);
}

export async function tableOf(database: Database): Promise<SharedList> {
  const { config } = parseMysqlDsn(database.dsn);
  assert.ok(config !== undefined && 'port' in config.address);
  const { user, password, database: name, address } = config;
  const connection = await createConnection({ user, password, database: name, ...address });
  return {
    connect: async () => await Promise.resolve(mysqlSearch(database.dsn)),
    age: async () => {
      await connection.query('UPDATE repositories SET createTime = 0');
    },
    remove: () => {
      connection.destroy();
    },
  };
}

/** @param table a statement that makes one; the backend makes it unless given */
export async function onMariadb(server?: MariaDb, table?: string): Promise<SharedGround> {
  const own = server ?? (await mariadb());
  return {
    newList: async () => {
      const database = await own.newDatabase();
      if (table !== undefined) await database.sql(table);
      return await tableOf(database);
    },
    stop: async () => {
      if (server === undefined) await own.stop();
    },
  };
}

export async function onFiles(): Promise<SharedGround> {
  return await Promise.resolve({
    newList: async () => {
      const folder = await temporaryFolder('list');
      return {
        connect: async () => await LocalFile.open(join(folder.path, 'repositories')),
        age: async () => {
          await delay(0);
        },
        remove: () => {
          folder.remove();
        },
      };
    },
    stop: async () => {
      await Promise.resolve();
    },
  });
}

/** For the suite: each list with a bucket of its own. */
export async function groundOf(start: () => Promise<SharedGround>): Promise<Ground> {
  const shared = await start();
  return {
    open: async () => await subjectOn(await shared.newList()),
    stop: async () => {
      await shared.stop();
    },
  };
}

async function subjectOn(list: SharedList): Promise<Subject> {
  const bucket = new NamesBucket();
  const backend = await list.connect();
  // Until then the list is unavailable.
  await backend.reindex(bucket);
  return {
    backend,
    fill: async (names) => {
      for (const name of names) await bucket.add(name);
    },
    remove: async (name) => {
      await bucket.delete(name);
      await list.age();
    },
    reindex: async () => await backend.reindex(bucket),
    close: async () => {
      await backend.close();
      list.remove();
    },
  };
}
