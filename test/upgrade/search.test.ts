/*
 * While the registry is upgraded, instances of the last release and of this one keep one list of repositories, in which the
 * last release has rows that are no names.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from '../functions/client.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { mariadb } from '../servers/mariadb.ts';
import { cleanEnvironment, command } from '../servers/process.ts';
import { requires, type ServerName } from '../servers/requires.ts';
import { placeSettings, serve, thisVersion, type Stowage } from '../servers/stowage.ts';
import { bundleLastRelease, requiresLastRelease, type Release } from './release.ts';

/** A list of repositories that is running. */
interface List {
  readonly settings: Readonly<Record<string, string>>;
  /** All that is in it, names or not. */
  rows(): Promise<string[]>;
  stop(): Promise<void>;
}

const kinds: readonly { name: string; needs: readonly ServerName[]; start(): Promise<List> }[] = [
  {
    name: 'a table of MySQL',
    needs: ['mariadbd'],
    async start() {
      const server = await mariadb();
      const database = await server.newDatabase();
      return {
        settings: { SEARCH_BACKEND: 'MYSQL', SEARCH_BACKEND_MYSQL: database.dsn },
        rows: async () => (await database.sql('SELECT name FROM repositories')).split('\n'),
        stop: async () => {
          await server.stop();
        },
      };
    },
  },
  {
    name: 'a file',
    needs: [],
    async start() {
      const folder = await temporaryFolder('list');
      const file = join(folder.path, 'repositories');
      return {
        settings: { SEARCH_BACKEND: 'LOCAL', SEARCH_BACKEND_LOCAL: file },
        rows: async () => (await readFile(file, 'utf8')).trimEnd().split('\n'),
        stop: () => {
          folder.remove();
          return Promise.resolve();
        },
      };
    },
  },
];

describe(
  'one list of repositories while this release takes the place of the last',
  requiresLastRelease(),
  () => {
    let last: Release;

    before(async () => {
      last = await bundleLastRelease();
    });

    after(() => {
      last.remove();
    });

    for (const kind of kinds)
      describe(`in ${kind.name}`, requires(...kind.needs), () => {
        let list: List;
        let images: Awaited<ReturnType<typeof temporaryFolder>>;
        let instances: Stowage[] = [];
        const pushed: string[] = [];

        const clients = () => instances.map(({ address }) => new Client(`http://${address}`));
        const assertListed = async () => {
          for (const client of clients()) {
            const { body } = await client.must(200, { method: 'GET', path: '/v2/_catalog' });
            assert.deepEqual(JSON.parse(body.toString()), { repositories: pushed.toSorted() });
            const found = await client.must(200, { method: 'GET', path: '/v1/search?q=e' });
            assert.equal(
              (JSON.parse(found.body.toString()) as { num_results: number }).num_results,
              pushed.length,
            );
          }
        };
        let env: Record<string, string>;

        before(async () => {
          list = await kind.start();
          images = await temporaryFolder('images');
          env = { ...list.settings, REGISTRY_HTTP_SECRET: randomBytes(32).toString('hex') };
          // The last release has created the list with a name: it treats an empty list as lost.
          const before = await serve(images.path, env, last);
          for (let i = 0; i < 200 && !before.output().includes('is that of the bucket'); i++) await delay(50);
          assert.match(before.output(), /is that of the bucket/);
          await new Client(`http://${before.address}`).pushImage('team/first', 'v1');
          pushed.push('team/first');
          instances = [before, await serve(images.path, env)];
        });

        after(async () => {
          for (const instance of instances) await instance.stop();
          images.remove();
          await list.stop();
        });

        it(`pushes of either release are listed and found by both in ${kind.name}`, async () => {
          for (const round of ['one', 'three', 'five'])
            for (const [index, client] of clients().entries()) {
              const repository = `team/${round}/${index}`;
              await client.pushImage(repository, 'v1');
              pushed.push(repository);
              await assertListed();
            }
        });

        it('a reindex of this release keeps names only, which the last release still lists', async () => {
          const [program] = thisVersion().server;
          const settings = cleanEnvironment({ ...placeSettings(images.path), ...env });
          await command(process.execPath, [program, 'reindex'], { env: settings });
          assert.deepEqual((await rows(list)).toSorted(), pushed.toSorted());
          await assertListed();
        });
      });
  },
);

async function rows(list: List): Promise<string[]> {
  return (await list.rows().catch(() => [])).filter((row) => row !== '');
}
