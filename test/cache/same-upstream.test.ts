import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, it } from 'node:test';
import { pino } from 'pino';
import { withUpstreams } from '../../lib/compose-cache.ts';
import type { UpstreamConfig } from '../../lib/config/upstreams.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { Collections } from '../../lib/registry/collection/collections.ts';
import type { Registry } from '../../lib/registry/interface.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { listen, type Listening } from '../servers/listen.ts';

let upstream: Listening;
let folder: Folder;
let registry: Registry;

const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;

before(async () => {
  upstream = await listen(
    createServer(({ headers }, response) => {
      if (headers.authorization === basic('robot:right')) response.end('{"tags":["v1"]}');
      else response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end();
    }),
  );
  folder = await temporaryFolder('same-upstream');
  const store = await FilesystemStore.open(folder.path);
  const collections = new Collections(store);
  const right: UpstreamConfig = {
    prefix: 'right/',
    url: upstream.url,
    stripPrefix: true,
    credentials: { user: 'robot', password: 'right' },
    repositories: [],
    platforms: [],
    freshnessMs: 600_000,
    ttlMs: undefined,
    namespace: '',
    privateAddresses: true,
    setting: '',
  };
  const others = [
    { prefix: 'public/', privateAddresses: false },
    { prefix: 'wrong/', credentials: { user: 'robot', password: 'wrong' } },
  ];
  registry = withUpstreams(
    createRegistry(store, { collections }),
    [right, ...others.map((other) => ({ ...right, ...other }))],
    {
      store,
      collections,
      log: pino({ enabled: false }),
      observe: () => undefined,
      isWorker: false,
      workers: 1,
      secret: 'of a test',
    },
  );
});

after(async () => {
  await upstream.stop();
  folder.remove();
});

it('an entry that its upstream refuses, or may not reach, leaves another one with the same URL alone', async () => {
  const list = async (name: string) =>
    await registry.tags.list(parseRepositoryName(name), { n: 10, last: '' });
  await assert.rejects(list('public/app'), { status: 503 });
  await assert.rejects(list('wrong/app'), { status: 403 });
  assert.deepEqual((await list('right/app')).names, ['v1']);
});
