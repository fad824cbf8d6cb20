import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryFolder, type Folder } from './folder.ts';
import { freePort } from './ports.ts';
import { command, launch, type Server } from './process.ts';

const HOST = '127.0.0.1';

const USER = 'registry';

/** With all that separates the parts of a DSN, and with nothing that a log may have by chance. */
const PASSWORD = `p@:/${randomBytes(8).toString('hex')}`;

/** A database of a test's own. */
export interface Database {
  readonly name: string;
  readonly user: string;
  /** As a user of the original registry wrote it. */
  readonly dsn: string;
  /** Runs statements in it as root. @returns the rows, columns apart by tabs */
  sql(statements: string): Promise<string>;
}

export interface MariaDb {
  readonly port: number;
  readonly password: string;
  /** Makes a database that is empty. @param rights of its user: all unless given */
  newDatabase(rights?: string): Promise<Database>;
  /** Ends it in order. */
  shutDown(): Promise<void>;
  /** Ends it as a power cut does. */
  kill(): Promise<void>;
  /** Starts it again, at the same port and with all it had. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts MariaDB with a data folder, a socket and a port of its own. @param options of the server, beside those it needs */
export async function mariadb(options: readonly string[] = []): Promise<MariaDb> {
  const folder = await temporaryFolder('mariadb');
  const port = await freePort();
  try {
    await install(folder);
    let server = await launchServer(folder, port, options);
    let databases = 0;
    const stop = async () => {
      await server.stop();
    };
    return {
      port,
      password: PASSWORD,
      newDatabase: async (rights = 'ALL') => {
        const name = `registry${(databases += 1)}`;
        const user = `${USER}${databases}`;
        await run(folder, `CREATE DATABASE ${name};`);
        await run(
          folder,
          `CREATE USER '${user}'@'%' IDENTIFIED BY '${PASSWORD}'; GRANT ${rights} ON ${name}.* TO '${user}'@'%';`,
        );
        return {
          name,
          user,
          dsn: `${user}:${PASSWORD}@tcp(${HOST}:${port})/${name}?loc=Local&parseTime=true`,
          sql: async (statements) => await run(folder, statements, name),
        };
      },
      shutDown: stop,
      kill: async () => {
        process.kill(server.pid, 'SIGKILL');
        await stop();
      },
      restart: async () => {
        server = await launchServer(folder, port, options);
      },
      stop: async () => {
        await stop();
        folder.remove();
      },
    };
  } catch (error) {
    folder.remove();
    throw error;
  }
}

/** It runs as whoever runs the tests, and refuses root where that is not said. */
const asRoot = process.getuid?.() === 0 ? ['--user=root'] : [];

const dataOf = ({ path }: Folder) => join(path, 'data');
const socketOf = ({ path }: Folder) => join(path, 'socket');

async function install(folder: Folder): Promise<void> {
  await mkdir(dataOf(folder));
  await command('mariadb-install-db', [
    '--no-defaults',
    `--datadir=${dataOf(folder)}`,
    // Several concurrent ones would share /tmp.
    `--tmpdir=${folder.path}`,
    '--auth-root-authentication-method=normal',
    '--skip-test-db',
    ...asRoot,
  ]);
}

async function launchServer(folder: Folder, port: number, options: readonly string[]): Promise<Server> {
  const args = [
    '--no-defaults',
    ...asRoot,
    `--datadir=${dataOf(folder)}`,
    `--tmpdir=${folder.path}`,
    `--socket=${socketOf(folder)}`,
    `--pid-file=${join(folder.path, 'pid')}`,
    `--bind-address=${HOST}`,
    `--port=${port}`,
    '--skip-name-resolve',
    '--innodb-flush-log-at-trx-commit=2',
    '--innodb-use-native-aio=0',
    ...options,
  ];
  return await launch('mariadbd', args, async () => Boolean(await run(folder, 'SELECT 1')));
}

async function run(folder: Folder, statements: string, database = ''): Promise<string> {
  const options = [
    '--no-defaults',
    `--socket=${socketOf(folder)}`,
    '--user=root',
    '--batch',
    '--skip-column-names',
  ];
  const { text } = await command(
    'mariadb',
    [...options, '--raw', `--execute=${statements}`, database].filter(Boolean),
  );
  return text;
}
