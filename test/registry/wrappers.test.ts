import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { beforeEach, describe, it } from 'node:test';
import { parseDigest } from '../../lib/protocol/digests.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { parseReference } from '../../lib/protocol/references.ts';
import type { EventContext } from '../../lib/registry/events.ts';
import { methodRoles, type Part, type Registry, type Role } from '../../lib/registry/interface.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { readOnly, withoutDeletes } from '../../lib/registry/wrappers/read-only.ts';
import { withEvents } from '../../lib/registry/wrappers/with-events.ts';
import { descriptor, digestOf, imageType, manifest } from '../functions/client.ts';
import { MemoryStore } from './memory-store.ts';

const name = parseRepositoryName('team/app');
const other = parseRepositoryName('team/other');
const tag = parseReference('v1');
const layer = randomBytes(20);
const digest = parseDigest(digestOf(layer));
const image = manifest({ config: descriptor(layer), layers: [descriptor(layer)] });

async function* body(bytes: Uint8Array): AsyncGenerator<Uint8Array, void> {
  yield await Promise.resolve(bytes);
}

const nobody: EventContext = {
  actor: undefined,
  request: {
    id: '',
    method: 'GET',
    path: '/',
    host: '',
    protocol: 'http',
    userAgent: '',
    address: undefined,
  },
};

/** Each wrapper with the roles that it refuses. */
const wrappers: readonly (readonly [string, (registry: Registry) => Registry, readonly Role[]])[] = [
  ['read-only', readOnly, ['write', 'delete', 'repair']],
  ['without deletes', withoutDeletes, ['delete']],
  ['with events', (registry) => withEvents(registry, nobody, () => undefined), []],
];

let store: MemoryStore;
let registry: Registry;
let upload: string;

beforeEach(async () => {
  store = new MemoryStore();
  registry = createRegistry(store);
  await registry.uploads.put(name, digest, { body: body(layer), length: layer.byteLength });
  await registry.manifests.put(name, tag, image, imageType);
  upload = await registry.uploads.start(name);
});

/** A call of each method that succeeds on a registry without a wrapper. */
const calls: Readonly<Record<string, (registry: Registry) => unknown>> = {
  'blobs.stat': async ({ blobs }) => await blobs.stat(name, digest),
  'blobs.has': async ({ blobs }) => await blobs.has(name, digest),
  'blobs.url': async ({ blobs }) => await blobs.url(name, { digest, size: 20 }),
  'blobs.open': async ({ blobs }) => await blobs.open(name, { digest, size: 20 }),
  'blobs.mount': async ({ blobs }) => await blobs.mount(other, digest, name),
  'blobs.mountFromAnywhere': async ({ blobs }) => await blobs.mountFromAnywhere(name, digest),
  'blobs.delete': async ({ blobs }) => {
    await blobs.delete(name, digest);
  },
  'manifests.get': async ({ manifests }) => await manifests.get(name, tag),
  'manifests.has': async ({ manifests }) => await manifests.has(name, parseDigest(digestOf(image))),
  'manifests.put': async ({ manifests }) => await manifests.put(name, parseReference('v2'), image, imageType),
  'manifests.delete': async ({ manifests }) => {
    await manifests.delete(name, tag);
  },
  'uploads.status': async ({ uploads }) => await uploads.status(name, upload),
  'uploads.start': async ({ uploads }) => await uploads.start(name),
  'uploads.append': async ({ uploads }) =>
    await uploads.append(name, upload, { body: body(layer), start: 0, length: 20, partial: true }),
  'uploads.finish': async ({ uploads }) => {
    await uploads.finish(name, upload, digest, { body: body(layer), start: 0, length: 20, partial: false });
  },
  'uploads.put': async ({ uploads }) => {
    await uploads.put(name, digest, { body: body(layer), length: 20 });
  },
  'uploads.cancel': async ({ uploads }) => {
    await uploads.cancel(name, upload);
  },
  'tags.list': async ({ tags }) => await tags.list(name, { n: 10, last: '' }),
  'referrers.list': async ({ referrers }) =>
    await referrers.list(name, digest, { n: 10, last: undefined }, undefined),
  'referrers.repair': async ({ referrers }) => await referrers.repair(name),
  'catalog.list': async ({ catalog }) => await catalog.list({ n: 10, last: '' }),
  'catalog.all': async ({ catalog }) => await Array.fromAsync(catalog.all()),
  'catalog.has': async ({ catalog }) => await catalog.has(name),
};

const methods = Object.entries(methodRoles).flatMap(([part, roles]) =>
  Object.entries(roles).map(([method, role]) => [`${part}.${method}`, role] as const),
);

for (const [what, wrap, refused] of wrappers)
  describe(`a registry ${what}`, () => {
    for (const [method, role] of methods)
      if (refused.includes(role))
        it(`refuses ${method}, and changes nothing`, async () => {
          const before = [...store.objects.keys()];
          await assert.rejects(async () => await calls[method]?.(wrap(registry)), {
            failure: 'UNSUPPORTED',
            message: wrap(registry).refusal?.message,
          });
          assert.deepEqual([...store.objects.keys()], before);
        });
      else
        it(`takes ${method} as the registry itself does`, async () => {
          await calls[method]?.(wrap(registry));
        });

    it(`a registry ${what} refuses every method without a role`, async () => {
      Object.assign(registry.blobs, { erase: () => 'erased' });
      Object.assign(registry, { trash: { empty: () => 'emptied' } });
      const wrapped: object = wrap(registry);
      assert.equal('trash' in wrapped, false);
      for (const part of Object.keys(methodRoles) as Part[]) {
        const its: object = wrap(registry)[part];
        assert.deepEqual(Object.keys(its).sort(), Object.keys(methodRoles[part]).sort());
      }
      // Also through a second wrapper, and what the classes have for one another.
      for (const { blobs } of [wrap(registry), withEvents(wrap(registry), nobody, () => undefined)])
        for (const method of ['erase', 'place'])
          await assert.rejects(async () => await call(blobs, method), { failure: 'UNSUPPORTED' });
    });
  });

for (const [what, wrap] of wrappers.slice(0, 2))
  it(`a registry ${what} refuses a method with a role that it does not know`, async () => {
    const roles: Record<string, string> = methodRoles.blobs;
    roles['quarantine'] = 'quarantine';
    Object.assign(registry.blobs, { quarantine: () => 'done' });
    try {
      const { blobs, refusal } = wrap(registry);
      await assert.rejects(async () => await call(blobs, 'quarantine'), {
        failure: 'UNSUPPORTED',
        message: refusal?.message,
      });
    } finally {
      delete roles['quarantine'];
    }
  });

/** Calls a method that the interface does not have. */
async function call(part: object, method: string): Promise<unknown> {
  return await (part as Record<string, () => unknown>)[method]?.();
}

it('a test calls every method that a wrapper can pass on', () => {
  assert.deepEqual(Object.keys(calls).sort(), methods.map(([method]) => method).sort());
});

it('a read-only registry stores nothing for a query for referrers', async () => {
  const before = [...store.objects.keys()];
  const reader = readOnly(createRegistry(store, { readOnly: true }));
  await reader.referrers.list(name, digest, { n: 10, last: undefined }, undefined);
  assert.deepEqual([...store.objects.keys()], before);
  await registry.referrers.list(name, digest, { n: 10, last: undefined }, undefined);
  assert.notDeepEqual([...store.objects.keys()], before);
});
