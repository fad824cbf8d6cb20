import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, it } from 'node:test';
import { Client, someName } from '../functions/client.ts';
import { listen, type Listening } from '../servers/listen.ts';
import { serve, type Stowage } from '../servers/stowage.ts';
import { folderStorage, type TestStorage } from '../servers/storage.ts';

let storage: TestStorage;
let upstream: Listening;
let registry: Stowage;

before(async () => {
  storage = await folderStorage();
  upstream = await listen(createServer((_, response) => response.writeHead(502).end()));
  const entry = { prefix: 'mirror/**', url: upstream.url, insecure: true, privateaddresses: true };
  registry = await serve(storage.settings, { REGISTRY_PROXY_UPSTREAMS: JSON.stringify([entry]) });
});

after(async () => {
  await registry.stop();
  await upstream.stop();
  storage.remove();
});

it('pulls of what is not cached from an upstream that is down are one warning, with its prefix, host and the reason', async () => {
  const client = new Client(`http://${registry.address}`);
  const digest = `sha256:${'0'.repeat(64)}`;
  for (const what of ['manifests/v1', 'manifests/v2', `manifests/${digest}`, `blobs/${digest}`, 'tags/list'])
    await client.must(503, { method: 'GET', path: `/v2/mirror/${someName()}/${what}` });
  const lines = registry
    .output()
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>)
    .filter(({ level }) => level === 'warn' || level === 'error');
  const { host } = new URL(upstream.url);
  assert.deepEqual(
    lines.map(({ level, msg, prefix, upstream: named, reason, err }) => ({
      level,
      msg,
      prefix,
      named,
      reason,
      err,
    })),
    [
      {
        level: 'warn',
        msg: 'an upstream cannot be asked: what is cached is answered as it was, and the rest refused',
        prefix: 'mirror/',
        named: host,
        reason: lines[0]?.['reason'],
        err: undefined,
      },
    ],
  );
  assert.match(
    String(lines[0]?.['reason']),
    new RegExp(`^${host} answered 502 when asked for manifest v1 of `),
  );
});
