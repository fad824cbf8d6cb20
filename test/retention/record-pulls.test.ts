import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { createServices } from '../../lib/compose.ts';
import { loadConfig } from '../../lib/config/config.ts';
import { all } from '../../lib/http/all.ts';
import { createApp } from '../../lib/http/app.ts';
import { parseDigest } from '../../lib/protocol/digests.ts';
import { parseReference } from '../../lib/protocol/references.ts';
import type { RepositoryName } from '../../lib/protocol/names.ts';
import { pulledPrefix, pullRecord } from '../../lib/registry/layout.ts';
import { listObjects } from '../../lib/registry/list-objects.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { createPublisher } from '../../lib/registry/publisher.ts';
import { applyRetention } from '../../lib/retention/apply.ts';
import { Plan } from '../../lib/retention/plan.ts';
import { recordPulls } from '../../lib/retention/record-pulls.ts';
import { StoreUnavailable, type ObjectStore } from '../../lib/storage/store.ts';
import { Client } from '../functions/client.ts';
import { onStores } from '../registry/on-stores.ts';
import { freshName, pushImage } from '../registry/undo/images.ts';
import { folderStorage } from '../servers/storage.ts';
import { day, retentionRules } from './rules.ts';

const asking =
  '{ repositories: team/**, tags: ["*", "!latest"], keep: { pulledWithin: 10d }, otherwise: delete }';

/** The records of pulls in a store, and no notes. */
async function records(store: ObjectStore, name: RepositoryName): Promise<string[]> {
  const objects = await Array.fromAsync(listObjects(store, `${pulledPrefix}${name}/`));
  return objects.map(({ key }) => key).sort();
}

/** A registry on a folder with rules in a file. */
async function served(context: TestContext, rules: string) {
  const storage = await folderStorage();
  const path = join(storage.settings['REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY'] ?? '', 'rules.yaml');
  writeFileSync(path, rules);
  // A function waits for its records.
  const services = await createServices(
    'functions',
    loadConfig('functions', {
      ...storage.settings,
      REGISTRY_RETENTION_PATH: path,
      REGISTRY_HTTP_SECRET: 'a'.repeat(32),
      REGISTRY_HTTP_DATAPLANE: 'http://127.0.0.1:1',
      REGISTRY_LOG_LEVEL: 'error',
    }),
  );
  const app = createApp(all, services);
  const server = createServer((request, response) => void app(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => {
    server.closeAllConnections();
    server.close();
    storage.remove();
  });
  const client = new Client(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const ask = async (method: string, name: string, reference: string) => {
    await client.must(200, { method, path: `/v2/${name}/manifests/${reference}` });
  };
  return { store: await storage.open(), ask };
}

describe('pulls from a registry', () => {
  it('are recorded by tag with GET and HEAD, and by digest with GET', async (context) => {
    const { store, ask } = await served(context, `retention: [${asking}]`);
    const name = freshName();
    const { digest } = await pushImage(store, name, 'v1', 'v2', 'v3', 'latest');
    const key = (reference: string) => pullRecord(name, parseReference(reference));
    await ask('HEAD', name, digest);
    assert.deepEqual(await records(store, name), []);
    await ask('GET', name, 'v1');
    await ask('HEAD', name, 'v2');
    // The rule is not about it.
    await ask('GET', name, 'latest');
    assert.deepEqual(await records(store, name), [key('v1'), key('v2')].sort());
    await ask('GET', name, digest);
    assert.deepEqual(await records(store, name), [key('v1'), key('v2'), key(digest)].sort());
  });

  it('are not recorded where no rule asks for it', async (context) => {
    const { store, ask } = await served(context, 'retention: [{ repositories: team/**, expires: label }]');
    const name = freshName();
    await pushImage(store, name, 'v1');
    await ask('GET', name, 'v1');
    assert.deepEqual(await Array.fromAsync(listObjects(store, pulledPrefix)), []);
  });
});

/** A process that serves pulls. */
function recorder(store: ObjectStore, waits = true) {
  const warnings: string[] = [];
  const clock = { wallMs: Date.now(), monotonicMs: 0 };
  const rules = { retention: retentionRules(asking), quotas: [] };
  const subscriber = recordPulls(store, {
    rules: { current: async () => await Promise.resolve(rules) },
    waits,
    timeoutMs: 5000,
    warn: (_, message) => {
      warnings.push(message);
    },
    clock: () => ({ ...clock }),
  });
  const pull = async (repository: RepositoryName, reference: string) => {
    const request = {
      id: '',
      method: 'GET',
      path: '/',
      host: '',
      protocol: 'http',
      userAgent: '',
      address: undefined,
    } as const;
    const publish = createPublisher([subscriber], { address: '', instance: '' }, (_, error) => {
      throw error;
    });
    await publish([
      {
        action: 'pulled',
        content: 'manifest',
        repository,
        reference: parseReference(reference),
        descriptor: { digest: parseDigest(`sha256:${'a'.repeat(64)}`), mediaType: 'x/y', size: 1 },
        actor: undefined,
        request,
      },
    ]);
  };
  return {
    pull,
    warnings,
    rules: rules.retention,
    pass: (ms: number) => {
      clock.wallMs += ms;
      clock.monotonicMs += ms;
    },
  };
}

/** Counts requests, and fails those that write. */
function counted(store: ObjectStore, fails: () => boolean = () => false) {
  const asked: Record<string, number> = {};
  const counting = new Proxy(store, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property, target);
      if (typeof value !== 'function') return value;
      const method = value.bind(target) as (...args: readonly unknown[]) => unknown;
      return (...args: readonly unknown[]) => {
        asked[String(property)] = (asked[String(property)] ?? 0) + 1;
        if (property === 'put' && fails()) throw new StoreUnavailable(String(args[0]), 'denied');
        return method(...args);
      };
    },
  });
  return { asked, store: counting };
}

onStores('the record of pulls', (store) => {
  it('keeps a tag from retention, and a note from when on pulls are recorded keeps all others', async () => {
    const name = freshName();
    await pushImage(store(), name, 'pulled', 'unused');
    const { pull, rules } = recorder(store());
    const [rule] = rules;
    assert.ok(rule !== undefined);
    const reasons = async (days: number) => {
      const now = () => Date.now() + (store().clockOffsetMs ?? 0) + days * day;
      const plan = await Plan.open({ store: store(), rules, immutable: () => undefined, keeps: true, now });
      return (await plan.of(name, rule)).map(({ tag, removes, reason }) => `${tag} ${removes} ${reason}`);
    };
    const unknown = 'false pulls are not recorded yet';
    assert.deepEqual(await reasons(10.5), [`pulled ${unknown}`, `unused ${unknown}`]);
    await pull(name, 'pulled');
    const [pulled, unused] = await reasons(10.5);
    assert.equal(pulled, 'pulled false pulled within 10d');
    assert.match(unused ?? '', /^unused false pulls are recorded since \d{4}-\d\d-\d\d only/);
    const last = 'true nothing keeps it (otherwise: delete)';
    assert.deepEqual(await reasons(12), [`pulled ${last}`, `unused ${last}`]);
    // Once the rule is gone, pulls are no longer recorded for it.
    await applyRetention({
      store: store(),
      registry: createRegistry(store()),
      rules: [],
      immutable: () => undefined,
      keeps: true,
    });
    assert.deepEqual(await reasons(12), [`pulled ${unknown}`, `unused ${unknown}`]);
  });

  it('is written once a day, whatever the number of pulls and processes', async () => {
    const name = freshName();
    const { asked, store: counting } = counted(store());
    const first = recorder(counting);
    await first.pull(name, 'v1');
    const writes = asked['put'] ?? 0;
    for (let i = 0; i < 20; i++) await first.pull(name, 'v1');
    assert.deepEqual([asked['put'], asked['head']], [writes, 2]);
    await recorder(counting).pull(name, 'v1');
    assert.deepEqual([asked['put'], asked['head']], [writes, 4]);
    first.pass(day + 1000);
    await first.pull(name, 'v1');
    assert.equal(asked['put'], writes + 1);
  });

  it('may fail, and then is tried again after a minute, and told once', async () => {
    const name = freshName();
    let fails = true;
    const { asked, store: failing } = counted(store(), () => fails);
    const { pull, warnings, pass } = recorder(failing);
    for (let i = 0; i < 5; i++) await pull(name, 'v1');
    assert.match(
      warnings.join('\n'),
      /^pulls are not recorded, so retention may take an image for unused[^\n]+$/,
    );
    assert.ok((asked['head'] ?? 0) <= 2);
    fails = false;
    await pull(name, 'v1');
    assert.deepEqual(await records(store(), name), []);
    pass(61_000);
    await pull(name, 'v1');
    assert.equal((await records(store(), name)).length, 1);
  });
});
