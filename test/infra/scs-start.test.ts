import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Client, someName } from '../functions/client.ts';
import { freePort } from '../servers/ports.ts';
import { startScs, type ScsServer } from '../servers/scs.ts';
import { scsSettings } from '../servers/storage.ts';
import { serve } from '../servers/stowage.ts';
import { runServer } from './run-node.ts';

type Settings = Readonly<Record<string, string>>;

const scs = (settings: Settings): Settings =>
  Object.fromEntries(
    Object.entries(settings).map(([name, value]) => [`REGISTRY_STORAGE_SCS_${name}`, value]),
  );

describe('npm run serve on SCS', () => {
  let server: ScsServer;

  before(async () => {
    server = await startScs();
    await server.createBucket('images');
  });

  after(async () => {
    await server.stop();
  });

  const right = () => scsSettings(server, 'images');

  it('serve starts with only the settings of SCS and stores images there', async () => {
    server.reset();
    const registry = await serve({ ...right(), ...scs({ BUCKET: 'Images', ROOTDIRECTORY: '/team/' }) });
    const client = new Client(`http://${registry.address}`);
    const name = someName();
    const { bytes } = await client.pushImage(name, 'v1');
    const reply = await client.must(200, { method: 'GET', path: `/v2/${name}/manifests/v1` });
    await registry.stop();
    assert.ok(reply.body.equals(bytes));
    const [first, ...others] = server.requests;
    assert.deepEqual([first?.operation, first?.query.get('max-keys')], ['ListObjects', '1']);
    for (const { bucket, key, operation } of others) {
      assert.equal(bucket, 'images');
      assert.ok(operation.endsWith('Objects') || key.startsWith('team/docker/registry/v2/'), key);
    }
  });

  /** Wrong settings and the expected message. */
  const cases: Readonly<Record<string, readonly [() => Settings | Promise<Settings>, RegExp]>> = {
    'a bucket that does not exist': [
      () => ({ ...right(), ...scs({ BUCKET: 'no-such-bucket' }) }),
      /bucket no-such-bucket .* has no bucket of this name; check REGISTRY_STORAGE_SCS_BUCKET/,
    ],
    'a wrong secret key': [
      () => ({ ...right(), ...scs({ SECRETKEY: 'foreign' }) }),
      /check REGISTRY_STORAGE_SCS_SECRETKEY and REGISTRY_STORAGE_SCS_ACCESSKEY/,
    ],
    'a wrong access key': [
      () => ({ ...right(), ...scs({ ACCESSKEY: 'foreign' }) }),
      /does not know the access key; check REGISTRY_STORAGE_SCS_ACCESSKEY/,
    ],
    'an endpoint where nothing listens': [
      async () => ({ ...right(), ...scs({ REGIONENDPOINT: `127.0.0.1:${await freePort()}` }) }),
      /nothing listens at http:\/\/127\.0\.0\.1:\d+; check REGISTRY_STORAGE_SCS_REGIONENDPOINT/,
    ],
    'https where there is none': [
      () => ({ ...right(), ...scs({ REGIONENDPOINT: server.endpoint.slice(7), SECURE: 'true' }) }),
      /https:\S+ does not speak TLS; check REGISTRY_STORAGE_SCS_REGIONENDPOINT/,
    ],
    'a region that does not exist': [
      () => scs({ ACCESSKEY: 'a', SECRETKEY: 'b', BUCKET: 'images', REGION: 'mars' }),
      /_REGION: "mars" is not one of bjcnc, bjctc, shctc, gzctc, bjcnc-internal, bjctc-internal, shctc-internal, gzctc-internal\n/,
    ],
  };
  for (const [name, [settings, told]] of Object.entries(cases))
    it(`serve on SCS exits with one message that names the setting: ${name}`, async () => {
      const { code, output, errors } = await runServer(await settings());
      assert.equal(code, 1, `it did not end with 1: ${errors}${output}`);
      assert.match(errors, told);
      // Nothing after the first line of the log.
      assert.match(output, /^(?:\{[^\n]*"msg":"stowage starts"\}\n)?$/);
      assert.doesNotMatch(errors, /foreign|StringToSign|Signature|TESTACCESSKEY|test\/secret/);
    });

  for (const missing of ['ACCESSKEY', 'SECRETKEY', 'REGION', 'BUCKET'])
    it(`serve on SCS exits with a message that names the missing ${missing}`, async () => {
      const all: Record<string, string> = {
        ACCESSKEY: 'a',
        SECRETKEY: 'b',
        REGION: 'bjcnc',
        BUCKET: 'images',
      };
      all[missing] = '';
      const { code, errors } = await runServer(scs(all));
      assert.equal(code, 1);
      assert.match(
        errors,
        new RegExp(`^[^\\n]+:\\n {2}- REGISTRY_STORAGE_SCS_${missing}: missing[^\\n]*\\n$`),
      );
    });
});
