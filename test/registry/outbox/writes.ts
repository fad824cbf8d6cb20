/** Every kind of write that is announced, with what can be seen of it. */
import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { digestFrom, type Digest } from '../../../lib/protocol/digests.ts';
import { parseRepositoryName, type RepositoryName } from '../../../lib/protocol/names.ts';
import { parseReference } from '../../../lib/protocol/references.ts';
import { parseTag } from '../../../lib/protocol/tags.ts';
import { layerLink, revisionLink, tagLink } from '../../../lib/registry/layout.ts';
import { exists, readLink } from '../../../lib/registry/links.ts';
import type { Announce } from '../../../lib/registry/outbox/announcement.ts';
import { deleteRepository } from '../../../lib/registry/undo/delete-repository.ts';
import { restoreRepository } from '../../../lib/registry/undo/restore-repository.ts';
import { restoreTag } from '../../../lib/registry/undo/restore-tag.ts';
import { rollback } from '../../../lib/registry/undo/rollback.ts';
import type { ObjectStore } from '../../../lib/storage/store.ts';
import { announcing, context, outboxOn, registryOn } from './deliveries.ts';

/** A write that is ready to be made. */
export interface Write {
  /** @param store of the process that makes it */
  readonly make: (store: ObjectStore) => Promise<unknown>;
  /** The events of what can be seen of it now, in no order. */
  readonly seen: () => Promise<readonly string[]>;
}

export type Prepare = (store: ObjectStore) => Promise<Write>;

/** Longer than the time between two ticks of the clock that dates files: what is prepared is older than the write. */
export const tick = 25;

const type = 'application/vnd.oci.image.manifest.v1+json';

const digestOf = (bytes: Uint8Array): Digest =>
  digestFrom('sha256', createHash('sha256').update(bytes).digest('hex'));

export const short = (digest: Digest): string => digest.slice(7, 13);

async function* body(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield await Promise.resolve(bytes);
}

/** A blob that can be sent once. */
export function blobOf(bytes: Buffer): {
  digest: Digest;
  blob: { body: AsyncIterable<Uint8Array>; length: number };
} {
  return { digest: digestOf(bytes), blob: { body: body(bytes), length: bytes.length } };
}

/** Steps on a store, in a repository of their own. Nothing that is prepared is announced. */
export class Place {
  readonly name: RepositoryName = parseRepositoryName(`team/${randomBytes(6).toString('hex')}`);
  readonly store: ObjectStore;

  constructor(store: ObjectStore) {
    this.store = store;
  }

  async blob(name = this.name): Promise<Digest> {
    const bytes = randomBytes(20);
    await registryOn(this.store).uploads.put(name, digestOf(bytes), {
      body: body(bytes),
      length: bytes.length,
    });
    return digestOf(bytes);
  }

  /** An image whose blobs are there, and which is not. */
  async image(): Promise<{ bytes: Buffer; digest: Digest }> {
    const descriptor = (digest: Digest) => ({ mediaType: 'application/octet-stream', digest, size: 20 });
    const [config, layer] = [await this.blob(), await this.blob()];
    const document = {
      schemaVersion: 2,
      mediaType: type,
      config: descriptor(config),
      layers: [descriptor(layer)],
    };
    const bytes = Buffer.from(JSON.stringify(document));
    return { bytes, digest: digestOf(bytes) };
  }

  async push(bytes: Buffer, ...tags: readonly string[]): Promise<void> {
    const options = { tags: tags.map(parseTag) };
    const reference = parseReference(digestOf(bytes));
    await registryOn(this.store).manifests.put(this.name, reference, bytes, type, options);
  }

  async pushed(...tags: readonly string[]): Promise<Digest> {
    const { bytes, digest } = await this.image();
    await this.push(bytes, ...tags);
    return digest;
  }

  async hasTag(tag: string, digest?: Digest): Promise<boolean> {
    const link = await readLink(this.store, tagLink(this.name, parseTag(tag)));
    return digest === undefined ? link !== undefined : link?.digest === digest;
  }

  async hasManifest(digest: Digest): Promise<boolean> {
    return await exists(this.store, revisionLink(this.name, digest));
  }

  async hasBlob(digest: Digest, name = this.name): Promise<boolean> {
    return await exists(this.store, layerLink(name, digest));
  }

  /** What is seen of a push. */
  async seenPush(digest: Digest, ...tags: readonly string[]): Promise<readonly string[]> {
    const moved: string[] = [];
    for (const tag of tags) if (await this.hasTag(tag, digest)) moved.push(tag);
    if (moved.length === 0 && !(await this.hasManifest(digest))) return [];
    return [['pushed manifest', short(digest), ...moved].join(' ')];
  }
}

const announceOn = (store: ObjectStore): Announce => {
  const outbox = outboxOn(store);
  return (change) => outbox.announce(change, context);
};

async function place(store: ObjectStore): Promise<Place> {
  return await Promise.resolve(new Place(store));
}

/** Each has a write of a repository of its own. */
export const writes: Readonly<Record<string, Prepare>> = {
  'a push by tag': async (store) => {
    const at = await place(store);
    const { bytes, digest } = await at.image();
    return {
      make: async (own) => await announcing(own).manifests.put(at.name, parseReference('v1'), bytes, type),
      seen: async () => await at.seenPush(digest, 'v1'),
    };
  },
  'a push that moves a tag': async (store) => {
    const at = await place(store);
    await at.pushed('v1');
    const { bytes, digest } = await at.image();
    return {
      make: async (own) => await announcing(own).manifests.put(at.name, parseReference('v1'), bytes, type),
      seen: async () => await at.seenPush(digest, 'v1'),
    };
  },
  'a push by digest': async (store) => {
    const at = await place(store);
    const { bytes, digest } = await at.image();
    return {
      make: async (own) => await announcing(own).manifests.put(at.name, parseReference(digest), bytes, type),
      seen: async () => await at.seenPush(digest),
    };
  },
  'a push by digest with tags': async (store) => {
    const at = await place(store);
    const { bytes, digest } = await at.image();
    const tags = ['a', 'b'].map(parseTag);
    return {
      make: async (own) =>
        await announcing(own).manifests.put(at.name, parseReference(digest), bytes, type, { tags }),
      seen: async () => await at.seenPush(digest, 'a', 'b'),
    };
  },
  'a blob in one request': async (store) => {
    const at = await place(store);
    const bytes = randomBytes(100);
    const digest = digestOf(bytes);
    return {
      make: async (own) =>
        await announcing(own).uploads.put(at.name, digest, { body: body(bytes), length: bytes.length }),
      seen: async () => ((await at.hasBlob(digest)) ? [`pushed blob ${short(digest)}`] : []),
    };
  },
  'the end of an upload': async (store) => {
    const at = await place(store);
    const bytes = randomBytes(100);
    const digest = digestOf(bytes);
    const { uploads } = registryOn(store);
    const id = await uploads.start(at.name);
    await uploads.append(at.name, id, { body: body(bytes), start: 0, length: undefined, partial: false });
    return {
      make: async (own) => await announcing(own).uploads.finish(at.name, id, digest, undefined),
      seen: async () => ((await at.hasBlob(digest)) ? [`pushed blob ${short(digest)}`] : []),
    };
  },
  'the end of an upload with parts': async (store) => {
    const at = await place(store);
    const bytes = randomBytes(6 * 1024 * 1024);
    const digest = digestOf(bytes);
    const { uploads } = registryOn(store);
    const id = await uploads.start(at.name);
    await uploads.append(at.name, id, { body: body(bytes), start: 0, length: undefined, partial: false });
    return {
      make: async (own) => await announcing(own).uploads.finish(at.name, id, digest, undefined),
      seen: async () => ((await at.hasBlob(digest)) ? [`pushed blob ${short(digest)}`] : []),
    };
  },
  'a mount': async (store) => {
    const [at, from] = [await place(store), await place(store)];
    const digest = await from.blob();
    return {
      make: async (own) => await announcing(own).blobs.mount(at.name, digest, from.name),
      seen: async () => ((await at.hasBlob(digest)) ? [`mounted blob ${short(digest)}`] : []),
    };
  },
  'a mount from anywhere': async (store) => {
    const [at, from] = [await place(store), await place(store)];
    const digest = await from.blob();
    return {
      make: async (own) => await announcing(own).blobs.mountFromAnywhere(at.name, digest),
      seen: async () => ((await at.hasBlob(digest)) ? [`mounted blob ${short(digest)}`] : []),
    };
  },
  'a delete of a tag': async (store) => {
    const at = await place(store);
    await at.pushed('v1', 'v2');
    return {
      make: async (own) => {
        await announcing(own).manifests.delete(at.name, parseReference('v1'));
      },
      seen: async () => ((await at.hasTag('v1')) ? [] : ['deleted tag v1']),
    };
  },
  'a delete of a manifest': async (store) => {
    const at = await place(store);
    const digest = await at.pushed('a', 'b');
    return {
      make: async (own) => {
        await announcing(own).manifests.delete(at.name, parseReference(digest));
      },
      seen: async () => {
        if (!(await at.hasManifest(digest))) return [`deleted manifest ${short(digest)} a b`];
        const gone: string[] = [];
        for (const tag of ['a', 'b']) if (!(await at.hasTag(tag))) gone.push(`deleted tag ${tag}`);
        return gone;
      },
    };
  },
  'a delete of a blob': async (store) => {
    const at = await place(store);
    const digest = await at.blob();
    return {
      make: async (own) => {
        await announcing(own).blobs.delete(at.name, digest);
      },
      seen: async () => ((await at.hasBlob(digest)) ? [] : [`deleted blob ${short(digest)}`]),
    };
  },
  'a rollback': async (store) => {
    const at = await place(store);
    const digest = await at.pushed('v1');
    await at.pushed('v1');
    return {
      make: async (own) =>
        await rollback(own, at.name, parseTag('v1'), { digest }, { announce: announceOn(own) }),
      seen: async () => ((await at.hasTag('v1', digest)) ? [`pushed manifest ${short(digest)} v1`] : []),
    };
  },
  'a restore of a tag': async (store) => {
    const at = await place(store);
    const digest = await at.pushed('v1');
    await registryOn(store).manifests.delete(at.name, parseReference(digest));
    return {
      make: async (own) => await restoreTag(own, at.name, parseTag('v1'), { announce: announceOn(own) }),
      seen: async () => await at.seenPush(digest, 'v1'),
    };
  },
  'a delete of a repository': async (store) => {
    const at = await place(store);
    const digest = await at.pushed('v1');
    return {
      make: async (own) => await deleteRepository(own, at.name, { announce: announceOn(own) }),
      seen: async () =>
        (await at.hasTag('v1')) && (await at.hasManifest(digest)) ? [] : ['deleted repository'],
    };
  },
  'a restore of a repository': async (store) => {
    const at = await place(store);
    const digest = await at.pushed('v1');
    await deleteRepository(store, at.name);
    return {
      make: async (own) => await restoreRepository(own, at.name, { announce: announceOn(own) }),
      seen: async () => [
        ...((await at.hasManifest(digest)) ? [`pushed manifest ${short(digest)}`] : []),
        ...((await at.hasTag('v1', digest)) ? [`pushed manifest ${short(digest)} v1`] : []),
      ],
    };
  },
};

/** Prepares a write, and waits until that is older. */
export async function prepared(prepare: Prepare, store: ObjectStore): Promise<Write> {
  const write = await prepare(store);
  await sleep(tick);
  return write;
}
