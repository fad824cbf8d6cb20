import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { InvokeCommand } from '@aws-sdk/client-lambda';
import { functionNames, type FunctionName } from '../../../infra/gateway.ts';
import { rightsOf } from '../../../infra/stack/rights.ts';
import { secretName } from '../../../infra/stack/secrets.ts';
import { digestOf, someName } from '../../functions/client.ts';
import { UserClient } from '../client.ts';
import type { Place, Stage } from '../stage.ts';
import { DeployedFunction } from './take-away.ts';

/**
 * Takes the right to read each secret away from each function of a stage, one at a time: what the function does must fail.
 * For stages whose rights are those on secrets alone.
 */
export function secretsSuite(deployed: () => { place: Place; stage: Stage }): void {
  describe('the rights of each function on secrets', { concurrency: 4 }, () => {
    let client: UserClient;
    let digest = '';
    const name = someName('secrets');
    const longName = `long/name/of/five/${name.replace('/', '-')}`;

    before(async () => {
      const { stage } = deployed();
      client = new UserClient(`http://${stage.address}`, stage.user);
      for (const one of [name, longName]) ({ digest } = await client.pushImage(one, 'v1'));
    });

    const get = (path: () => string) => async () => {
      await client.must(200, { method: 'GET', path: path() });
    };
    const invoke = (job: FunctionName) => async () => {
      const { place, stage } = deployed();
      const request = new InvokeCommand({ FunctionName: stage.functionName(job) });
      const { FunctionError, Payload } = await place.emulator.aws.lambda.send(request);
      assert.equal(FunctionError, undefined, Payload?.transformToString());
    };

    const operations: Readonly<Record<FunctionName, () => Promise<void>>> = {
      base: get(() => '/v2/'),
      // A password file needs no tokens.
      token: async () => {
        await client.must(404, { method: 'GET', path: '/token' });
      },
      extensions: get(() => '/v2/_oci/ext/discover'),
      catalog: get(() => '/v2/_catalog'),
      search: get(() => `/v1/search?q=${name}`),
      tags: get(() => `/v2/${name}/tags/list`),
      manifests: get(() => `/v2/${name}/manifests/v1`),
      referrers: get(() => `/v2/${name}/referrers/${digest}`),
      blobs: async () => {
        await client.must(404, { method: 'HEAD', path: `/v2/${name}/blobs/${digestOf(Buffer.from(name))}` });
      },
      uploads: async () => {
        await client.startUpload(name);
      },
      all: get(() => `/v2/${longName}/tags/list`),
      'purge-uploads': invoke('purge-uploads'),
      reindex: invoke('reindex'),
      gc: invoke('gc'),
      events: invoke('events'),
      copy: invoke('copy'),
    };

    for (const one of functionNames)
      it(`${one} needs the secrets that it may read`, async () => {
        const { place, stage } = deployed();
        const opened = await DeployedFunction.open(place.emulator.aws, stage.functionName(one));
        const works = operations[one];
        await works();
        const needless: string[] = [];
        for (const [index, { on, actions, source }] of rightsOf(one, stage.parameters).entries()) {
          if (source !== undefined) continue;
          assert.ok(typeof on === 'object' && 'secret' in on, `a right on ${JSON.stringify(on)}`);
          for (const action of actions) await opened.takeAway(index, action);
          await opened.restart({ without: secretName(stage.parameters, on.secret) });
          const failed = await works().then(
            () => false,
            () => true,
          );
          if (!failed) needless.push(on.secret);
          await opened.giveBack();
        }
        assert.deepEqual(needless, []);
        await opened.restart();
        await works();
      });
  });
}
