import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { parseDigest } from '../../../lib/protocol/digests.ts';
import { parseRepositoryName } from '../../../lib/protocol/names.ts';
import { layerLink, pendingIntent } from '../../../lib/registry/layout.ts';
import type { Change } from '../../../lib/registry/outbox/change.ts';
import { serializeIntent } from '../../../lib/registry/outbox/intent-object.ts';
import { RepositoryRecords } from '../../../lib/registry/undo/repository-records.ts';
import { descriptor, digestOf, imageType, manifest, someName } from '../../functions/client.ts';
import { intentOf } from '../../notifications/samples.ts';
import { MemoryStore } from '../../registry/memory-store.ts';
import { newImage, type Operation, type Site } from '../rights/site.ts';
import { isSigned, type EndpointName, type Told } from './targets.ts';
import type { QuietStage } from './telling-stage.ts';

/** A site whose endpoints are told of repositories below `told`. */
export type TellingSite = Site & Omit<QuietStage, 'bucket'>;

type Tell = (site: TellingSite) => Promise<void>;

const hourMs = 3_600_000;

const newName = () => someName('told');

/** Names of so many segments go to the function `all`. */
const longName = () => `told/name/of/five/${newName().replace('/', '-')}`;

/** Older than the events of writes that the function waits for. */
const notYoungMs = 20_000;

/** Runs the function `events` at a time when all in the bucket is older than it is. */
async function runLater(site: TellingSite, agedMs: number): Promise<void> {
  site.agedMs = agedMs;
  try {
    await site.invoke('events');
  } finally {
    site.agedMs = 0;
  }
}

/** Runs the function `events` until an endpoint is told of something. Repeated: an endpoint that failed before must wait. */
async function isTold(
  site: TellingSite,
  endpoint: EndpointName,
  isIt: (one: Told) => boolean,
): Promise<void> {
  for (let attempt = 0; attempt < 3; attempt++) {
    await runLater(site, notYoungMs);
    if ((await site.targets.told(endpoint)).some(isIt)) return;
    await delay(200);
  }
  assert.fail(`${endpoint} was not told`);
}

/** Tells an endpoint of a push, one request. */
async function tellsOfBlob(site: TellingSite, endpoint: EndpointName): Promise<void> {
  const digest = await site.client.pushBlob(newName(), randomBytes(40));
  await isTold(site, endpoint, ({ target }) => target.digest === digest);
}

/** Runs the function `events` some hours after the intent of a change that nobody makes. @returns whether it is left */
async function isLeft(site: TellingSite, change: Change, hours: number): Promise<boolean> {
  const key = pendingIntent(new Date(), randomUUID().slice(0, 8));
  await site.bucket.put(key, serializeIntent(intentOf(change)));
  try {
    await runLater(site, hours * hourMs);
    return (await site.bucket.keys(key)).length > 0;
  } finally {
    await site.bucket.delete(key);
  }
}

/** What the function `events` does. */
export const tells = {
  'a webhook': async (site) => {
    await tellsOfBlob(site, 'builds');
  },
  'a webhook, signed': async (site) => {
    await tellsOfBlob(site, 'builds');
    const { REGISTRY_NOTIFICATIONS_ENDPOINTS_BUILDS_SECRET: secret = '' } = await site.stage.secret('events');
    const last = site.targets.webhook.received.at(-1);
    assert.ok(last !== undefined && isSigned(last, secret));
  },
  'a queue': async (site) => {
    await tellsOfBlob(site, 'audit');
  },
  'an event bus': async (site) => {
    await tellsOfBlob(site, 'rules');
  },
  'of a tag that was moved since': async (site) => {
    const images = [await newImage(site, newName()), await newImage(site, newName())] as const;
    const [first, second] = images;
    await site.direct.pushBlob(first.name, second.layer);
    const { config } = JSON.parse(second.bytes.toString()) as { config: { digest: string } };
    const path = `/v2/${first.name}/blobs/uploads/?mount=${config.digest}&from=${second.name}`;
    await site.direct.must(201, { method: 'POST', path });
    for (const { bytes } of images) await site.client.pushManifest(first.name, 'v1', bytes);
    await isTold(site, 'builds', ({ target }) => target.digest === first.digest && target.tag === 'v1');
  },
  'of the bytes of a mounted blob': async (site) => {
    const [name, from] = [newName(), newName()];
    const digest = await site.direct.pushBlob(from, randomBytes(40));
    const path = `/v2/${name}/blobs/uploads/?mount=${digest}&from=${from}`;
    await site.client.must(201, { method: 'POST', path });
    await isTold(site, 'builds', ({ action, target }) => action === 'mount' && target.size === 40);
  },
  'of a repository whose delete was interrupted': async (site) => {
    const repository = parseRepositoryName(newName());
    const records = new MemoryStore();
    const deletions = new RepositoryRecords(records, repository);
    const record = await deletions.begin(undefined);
    const key = layerLink(repository, parseDigest(digestOf(randomBytes(40))));
    const part = deletions.part(record, 'layers', 0, [{ key, bytes: Buffer.from('gone') }]);
    for (const [key, { bytes }] of records.objects) await site.bucket.put(key, bytes);
    await site.bucket.put(part.key, part.bytes);
    assert.ok(!(await isLeft(site, { action: 'deleted', content: 'repository', repository }, 25)));
    await isTold(site, 'builds', ({ target }) => target.repository === repository);
  },
  'nobody of a write that was never made': async (site) => {
    const repository = parseRepositoryName(newName());
    const digest = parseDigest(digestOf(randomBytes(40)));
    const change = { action: 'pushed', content: 'blob', repository, digest, size: 40 } as const;
    assert.ok(!(await isLeft(site, change, 2)));
    const told = await site.targets.told('builds');
    assert.ok(!told.some(({ target }) => target.repository === repository));
  },
} satisfies Readonly<Record<string, Tell>>;

/** Functions whose changes are told of. */
export type Writer = 'manifests' | 'blobs' | 'uploads' | 'all';

interface Writes {
  readonly changes: Operation;
  /** What is refused, or makes no change, after its event was kept. */
  readonly refuses?: Operation;
}

const pushesManifest: Operation = async (site) => {
  const image = await newImage(site, newName());
  await site.client.pushManifest(image.name, 'v1', image.bytes);
};

const refusesManifest =
  (name: () => string): Operation =>
  async ({ client }) => {
    const body = manifest({ config: descriptor(randomBytes(20)), layers: [] });
    const path = `/v2/${name()}/manifests/v1`;
    await client.must(404, { method: 'PUT', path, headers: { 'content-type': imageType }, body });
  };

/** What the writers do. */
export const changes: Readonly<Record<Writer, Writes>> = {
  manifests: { changes: pushesManifest, refuses: refusesManifest(newName) },
  blobs: {
    changes: async ({ client, direct }) => {
      const name = newName();
      const digest = await direct.pushBlob(name, randomBytes(40));
      await client.must(202, { method: 'DELETE', path: `/v2/${name}/blobs/${digest}` });
    },
  },
  uploads: {
    changes: async ({ client }) => {
      await client.pushBlob(newName(), randomBytes(40));
    },
    refuses: async ({ client }) => {
      const path = `/v2/${newName()}/blobs/uploads/?mount=${digestOf(randomBytes(40))}&from=${newName()}`;
      await client.must(202, { method: 'POST', path });
    },
  },
  all: {
    changes: async ({ client }) => {
      await client.pushBlob(longName(), randomBytes(40));
    },
    refuses: refusesManifest(longName),
  },
};
