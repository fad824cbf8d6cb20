import { createHash } from 'node:crypto';
import type { ObjectStore } from '../../../lib/storage/store.ts';

/*
 * A bucket whose keys are written out here, and not made by the code under test. Each blob and manifest has a name by which tests
 * expect it.
 */

const root = 'docker/registry/v2';

const oci = 'application/vnd.oci.image';
const docker = 'application/vnd.docker.distribution.manifest';

export interface Thing {
  readonly name: string;
  readonly hex: string;
  readonly digest: string;
  readonly bytes: Buffer;
  readonly mediaType: string;
}

/** Puts objects into a store, and remembers what their digests are called. */
export class FilledBucket {
  readonly #store: ObjectStore;
  readonly #algorithm: 'sha256' | 'sha512';
  readonly #names = new Map<string, string>();
  readonly #things = new Map<string, Thing>();

  constructor(store: ObjectStore, algorithm: 'sha256' | 'sha512' = 'sha256') {
    this.#store = store;
    this.#algorithm = algorithm;
  }

  nameOf(digest: string): string {
    return this.#names.get(digest) ?? digest;
  }

  sizeOf(...names: readonly string[]): number {
    return names.reduce((sum, name) => sum + (this.#things.get(name)?.bytes.length ?? Number.NaN), 0);
  }

  thing(name: string, bytes: Buffer, mediaType = `${oci}.layer.v1.tar+gzip`): Thing {
    const hex = createHash(this.#algorithm).update(bytes).digest('hex');
    const thing = { name, hex, digest: `${this.#algorithm}:${hex}`, bytes, mediaType };
    this.#names.set(thing.digest, name);
    this.#things.set(name, thing);
    return thing;
  }

  /** A blob with some bytes, without anything in the bucket. */
  some(name: string, mediaType?: string): Thing {
    // Of sizes that differ, so that no sum of some is that of others by accident.
    return this.thing(name, Buffer.from(name.repeat(1 + name.length)), mediaType);
  }

  async put(key: string, bytes: Buffer | string): Promise<void> {
    await this.#store.put(`${root}/${key}`, Buffer.from(bytes));
  }

  async bytes({ hex, bytes }: Thing): Promise<void> {
    await this.put(`blobs/${this.#algorithm}/${hex.slice(0, 2)}/${hex}/data`, bytes);
  }

  async layerLink(repository: string, { hex, digest }: Thing): Promise<void> {
    await this.put(`repositories/${repository}/_layers/${this.#algorithm}/${hex}/link`, digest);
  }

  async revisionLink(repository: string, { hex, digest }: Thing): Promise<void> {
    await this.put(`repositories/${repository}/_manifests/revisions/${this.#algorithm}/${hex}/link`, digest);
  }

  async layer(repository: string, name: string, mediaType?: string): Promise<Thing> {
    const thing = this.some(name, mediaType);
    await this.bytes(thing);
    await this.layerLink(repository, thing);
    return thing;
  }

  async manifest(repository: string, name: string, mediaType: string, content: object): Promise<Thing> {
    const thing = this.thing(name, Buffer.from(JSON.stringify(content)), mediaType);
    await this.bytes(thing);
    await this.revisionLink(repository, thing);
    return thing;
  }

  async image(
    repository: string,
    name: string,
    layers: readonly Thing[],
    more: object = {},
    type = `${oci}.manifest.v1+json`,
  ): Promise<Thing> {
    const config = await this.layer(repository, `${name}-config`, `${oci}.config.v1+json`);
    const content = { schemaVersion: 2, mediaType: type, config: entry(config), layers: layers.map(entry) };
    return await this.manifest(repository, name, type, { ...content, ...more });
  }

  async index(
    repository: string,
    name: string,
    children: readonly Thing[],
    more: object = {},
  ): Promise<Thing> {
    const type = `${oci}.index.v1+json`;
    const content = { schemaVersion: 2, mediaType: type, manifests: children.map(entry), ...more };
    return await this.manifest(repository, name, type, content);
  }

  /** With its history: all that it has pointed at, and what it points at now. */
  async tag(repository: string, tag: string, thing: Thing, ...before: readonly Thing[]): Promise<void> {
    await this.history(repository, tag, ...before, thing);
    await this.put(`repositories/${repository}/_manifests/tags/${tag}/current/link`, thing.digest);
  }

  /** What a tag has pointed at. */
  async history(repository: string, tag: string, ...things: readonly Thing[]): Promise<void> {
    const index = `repositories/${repository}/_manifests/tags/${tag}/index/${this.#algorithm}`;
    for (const { hex, digest } of things) await this.put(`${index}/${hex}/link`, digest);
  }

  async referrer(repository: string, subject: Thing, { hex }: Thing): Promise<void> {
    await this.put(
      `repositories/${repository}/_referrers/${this.#algorithm}/${subject.hex}/${this.#algorithm}/${hex}`,
      '{}',
    );
  }
}

export function entry({ mediaType, digest, bytes }: Thing): object {
  return { mediaType, digest, size: bytes.length };
}

export const about = (subject: Thing): object => ({ subject: entry(subject) });

/** What one look is to find. */
export interface Expected {
  readonly freed: readonly string[];
  /** By repository: manifests, links, names of what it has a link to and that goes, and whether nothing is left. */
  readonly repositories: Readonly<Record<string, readonly [number, number, readonly string[], boolean?]>>;
}

export interface Filled {
  readonly bucket: FilledBucket;
  /** Without, and with untagged manifests. */
  readonly kept: Expected;
  readonly untagged: Expected;
  readonly unlinked: readonly string[];
  readonly damaged: readonly string[];
  readonly repositories: number;
}

/** Fills a bucket with something of each kind. */
export async function fill(store: ObjectStore): Promise<Filled> {
  const bucket = new FilledBucket(store);
  await multiPlatform(bucket);
  await referrers(bucket);
  await otherKinds(bucket);
  await sharedBlobs(bucket);
  await damage(bucket);
  await bucket.bytes(bucket.some('lost'));
  await bucket.put('uploads/6f4c1d6e-8a0b-4b5e-9a63-0d2d35a7b3c1/session', '{}');
  await bucket.put('uploads/6f4c1d6e-8a0b-4b5e-9a63-0d2d35a7b3c1/data-0badcafe', 'bytes of an upload');
  await bucket.put('repositories/only/an-upload/_uploads/1e4a5a5e-0000-4000-8000-000000000000/data', 'bytes');
  return {
    bucket,
    kept: {
      freed: ['deleted-layer', 'late', 'lost', 'never-named'],
      repositories: {
        'also/has-it': [0, 1, [], true],
        // The layer of an image whose manifest was deleted, with the entry of the tag's history.
        'app/multi': [0, 2, ['deleted-layer']],
        late: [0, 1, ['late'], true],
        'shared/b': [0, 1, []],
        'uploaded/only': [0, 1, ['never-named'], true],
      },
    },
    untagged: {
      freed: [
        ...['cosign-of-old', 'cosign-of-old-config', 'deleted-layer', 'late', 'lost', 'never-named'],
        ...[
          'of-the-past',
          'old',
          'old-config',
          'old-layer',
          'on-old',
          'on-old-config',
          'past',
          'past-config',
        ],
      ],
      repositories: {
        'also/has-it': [0, 1, [], true],
        // Beside those: a manifest, its config and layer, and an entry of history.
        'app/multi': [1, 6, ['deleted-layer', 'of-the-past', 'past', 'past-config']],
        // Three manifests with three configs, a layer, an entry of the index, and a tag with its history.
        'app/refs': [
          3,
          3 + 3 + 1 + 1 + 2,
          [
            'cosign-of-old',
            'cosign-of-old-config',
            'old',
            'old-config',
            'old-layer',
            'on-old',
            'on-old-config',
          ],
        ],
        late: [0, 1, ['late'], true],
        'shared/b': [0, 1, []],
        'uploaded/only': [0, 1, ['never-named'], true],
      },
    },
    unlinked: ['lost'],
    damaged: ['broken'],
    repositories: 14,
  };
}

/** An index with two images, one that was never pushed, and an attestation; and two images of the past. */
async function multiPlatform(bucket: FilledBucket): Promise<void> {
  const at = 'app/multi';
  const base = await bucket.layer(at, 'base');
  const amd64 = await bucket.image(at, 'amd64', [base, await bucket.layer(at, 'amd64-layer')]);
  const arm64 = await bucket.image(at, 'arm64', [base]);
  const attestation = await bucket.image(at, 'attestation', [await bucket.layer(at, 'provenance')]);
  const windows = bucket.some('windows', `${oci}.manifest.v1+json`);
  const index = await bucket.index(at, 'index', [amd64, arm64, windows, attestation]);
  const past = await bucket.image(at, 'past', [base, await bucket.layer(at, 'of-the-past')]);
  // Its manifest and config are gone.
  await bucket.layer(at, 'deleted-layer');
  await bucket.tag(at, 'latest', index, past, bucket.some('deleted'));
}

/** A chain of referrers, tags of cosign, and an old image with all of that. */
async function referrers(bucket: FilledBucket): Promise<void> {
  const at = 'app/refs';
  const current = await bucket.image(at, 'current', [await bucket.layer(at, 'current-layer')]);
  await bucket.tag(at, 'v2', current);
  const sbom = await bucket.image(at, 'sbom', [await bucket.layer(at, 'sbom-layer')], about(current));
  await bucket.referrer(at, current, sbom);
  // Pushed through another registry, so it is not in the index.
  const onSbom = await bucket.image(at, 'signature-of-sbom', [], about(sbom));
  // A manifest without a tag that is about nothing here goes; about a kept one it stays.
  await bucket.image(at, 'about-it', [], about(onSbom));
  const cosign = await bucket.image(at, 'cosign', [await bucket.layer(at, 'cosign-layer')]);
  await bucket.tag(at, `sha256-${current.hex}.sig`, cosign);
  // Its image is in another repository.
  const elsewhere = await bucket.image(at, 'cosign-of-another', []);
  await bucket.tag(at, `sha256-${bucket.some('another').hex}.att`, elsewhere);

  const old = await bucket.image(at, 'old', [await bucket.layer(at, 'old-layer')]);
  const onOld = await bucket.image(at, 'on-old', [], about(old));
  await bucket.referrer(at, old, onOld);
  const cosignOfOld = await bucket.image(at, 'cosign-of-old', []);
  await bucket.tag(at, `sha256-${old.hex}.sig`, cosignOfOld);
}

async function otherKinds(bucket: FilledBucket): Promise<void> {
  const cache = [await bucket.layer('cache', 'cached-layer'), await bucket.layer('cache', 'cache-config')];
  await bucket.tag('cache', 'main', await bucket.index('cache', 'buildkit', cache));

  const legacyLayer = await bucket.layer('legacy', 'legacy-layer');
  const schema1 = await bucket.manifest('legacy', 'schema1', `${docker}.v1+json`, {
    schemaVersion: 1,
    fsLayers: [{ blobSum: legacyLayer.digest }],
    history: [{ v1Compatibility: '{}' }],
  });
  const signature = bucket.some('libtrust-signature');
  await bucket.bytes(signature);
  const signatures = `repositories/legacy/_manifests/revisions/sha256/${schema1.hex}/signatures`;
  await bucket.put(`${signatures}/sha256/${signature.hex}/link`, signature.digest);
  await bucket.tag('legacy', 'v1', schema1);

  const chart = await bucket.layer(
    'charts/app',
    'chart',
    'application/vnd.cncf.helm.chart.content.v1.tar+gzip',
  );
  await bucket.tag('charts/app', '1.0.0', await bucket.image('charts/app', 'helm', [chart]));

  const foreign = bucket.some('foreign', 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip');
  await bucket.bytes(foreign);
  await bucket.layerLink('windows', foreign);
  await bucket.tag('windows', 'v1', await bucket.image('windows', 'nanoserver', [foreign]));

  const capital = await bucket.layer('go', 'capital-layer');
  const spelled = await bucket.manifest('go', 'spelled', `${docker}.v2+json`, {
    schemaVersion: 2,
    mediaType: `${docker}.v2+json`,
    Layers: [{ Digest: capital.digest }],
  });
  await bucket.tag('go', 'v1', spelled);

  // Without a link of its manifest, as while it is deleted: a push may be about to write that again.
  const unlinkedLayer = await bucket.layer('racing', 'racing-layer');
  const racing = bucket.thing('racing', Buffer.from(JSON.stringify({ layers: [entry(unlinkedLayer)] })));
  await bucket.bytes(racing);
  await bucket.tag('racing', 'v1', racing);
  await bucket.tag('racing', 'dangling', bucket.some('gone'));

  await bucket.layer('uploaded/only', 'never-named');
  await bucket.layer('late', 'late');
}

/** Of the same blob, one repository needs its link, and one does not. */
async function sharedBlobs(bucket: FilledBucket): Promise<void> {
  const shared = await bucket.layer('shared/a', 'shared');
  await bucket.tag('shared/a', 'v1', await bucket.image('shared/a', 'sharing', [shared]));
  await bucket.layerLink('shared/b', shared);
  await bucket.tag('shared/b', 'v1', await bucket.image('shared/b', 'not-sharing', []));
}

/** A repository with a manifest that was altered. Another one has a link to one of its blobs, which it does not need. */
async function damage(bucket: FilledBucket): Promise<void> {
  const at = 'broken';
  const perhaps = await bucket.layer(at, 'perhaps-needed');
  const altered = bucket.thing('altered', Buffer.from('{"layers":[]}'));
  await bucket.bytes({ ...altered, bytes: Buffer.from('{"layers":[}') });
  await bucket.revisionLink(at, altered);
  await bucket.tag(at, 'v1', await bucket.image(at, 'whole', []));
  await bucket.tag(at, 'v2', altered);
  await bucket.layerLink('also/has-it', perhaps);
}
