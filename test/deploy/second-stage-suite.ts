import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { mariadb, type Database } from '../servers/mariadb.ts';
import { requires } from '../servers/requires.ts';
import { startScs } from '../servers/scs.ts';
import { UserClient } from './client.ts';
import { clientsSuite } from './clients-suite.ts';
import { secretsSuite } from './rights/secrets-suite.ts';
import { newStage, type Place, type Stage } from './stage.ts';

/** Another stage beside the first: on SCS, with MySQL and a password file, and without a data plane. */
export function secondStageSuite(deployed: () => { place: Place; first: Stage }): void {
  describe('a second stage, on SCS with MySQL and a password file', requires('mariadbd'), () => {
    let database: Database;
    let stage: Stage;
    const started: { stop(): Promise<void> }[] = [];

    before(async () => {
      const [scs, server] = [await startScs(), await mariadb()];
      started.push(scs, server);
      await scs.createBucket('images');
      database = await server.newDatabase();
      stage = await newStage(deployed().place, 'two', {
        storage: 'scs',
        scsBucket: 'images',
        scsEndpoint: scs.endpoint,
        search: 'mysql',
        auth: 'htpasswd',
      });
      started.push(stage);
      await stage.deploy({
        REGISTRY_STORAGE_SCS_ACCESSKEY: scs.accessKey,
        REGISTRY_STORAGE_SCS_SECRETKEY: scs.secretKey,
        SEARCH_BACKEND_MYSQL: database.dsn,
      });
    });

    after(async () => {
      for (const one of started.reverse()) await one.stop();
    });

    // Functions take 4 MiB.
    clientsSuite(() => stage, 3 * 1024 ** 2);

    it('has images of its own', async () => {
      const name = `second/${randomBytes(6).toString('hex')}`;
      const { first } = deployed();
      const client = new UserClient(`http://${stage.address}`, stage.user);
      await client.pushImage(name, 'v1');
      assert.match(
        (await client.must(200, { method: 'GET', path: '/v2/_catalog' })).body.toString(),
        new RegExp(name),
      );
      assert.match(await database.sql('SELECT * FROM repositories'), new RegExp(name));
      const other = new UserClient(`http://${first.address}`, first.user);
      await other.must(404, { method: 'HEAD', path: `/v2/${name}/manifests/v1` });
    });

    secretsSuite(() => ({ place: deployed().place, stage }));
  });
}
