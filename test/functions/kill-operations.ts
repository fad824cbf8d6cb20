import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { BucketKind } from '../servers/buckets.ts';
import {
  contentRange,
  descriptor,
  digestOf,
  imageType,
  indexType,
  manifest,
  withDigest,
  type Ask,
  type Client,
  type Reply,
} from './client.ts';

/** A request that writes something, and what a client does that got no answer to it. */
export interface Prepared {
  /** Its path has no host. */
  readonly ask: Ask;
  /** Retries the request as clients do, continues to the end, and checks the pushed content. */
  readonly repeat: (client: Client) => Promise<void>;
}

export interface KillOperation {
  readonly title: string;
  /** Does what comes before the request. */
  readonly prepare: (client: Client, name: string) => Promise<Prepared>;
}

const MiB = 1024 ** 2;

/** Bytes of a part, the fewest there may be. */
const part = 5 * MiB;

/** Settings of a registry for which {@link large} bytes are not too few. */
export function smallParts({ prefix }: BucketKind): Record<string, string> {
  return { [`${prefix}CHUNKSIZE`]: String(part) };
}

/** Bytes that need several parts of a multipart upload. */
const large = part + 1000;

/** Bytes of a chunk that fits a function; two of them make a part. */
const chunk = 3 * MiB;

/** Every operation that writes. @param program functions take no bodies above 4 MiB */
export function killOperations(program: 'server' | 'functions'): readonly KillOperation[] {
  const sizes = program === 'server' ? [1000, large] : [1000];
  return [
    starting,
    mounting,
    ...sizes.flatMap((size) => [postingWhole(size), streaming(size), finishing(size), puttingWhole(size)]),
    appending(1),
    appending(2),
    finishingChunks,
    puttingLast,
    cancelling(1),
    cancelling(2),
    tagging,
    retagging,
    ...[pushingByDigest, indexing, deletingManifest, deletingTag, deletingBlob],
  ];
}

const uploads = (name: string) => `/v2/${name}/blobs/uploads/`;

/** Without its host, since the next request goes to another process. */
function path(location: string): string {
  const { pathname, search } = new URL(location);
  return pathname + search;
}

async function mustPull(client: Client, name: string, bytes: Buffer): Promise<void> {
  const blob = await client.must(200, { method: 'GET', path: `/v2/${name}/blobs/${digestOf(bytes)}` });
  assert.ok(blob.body.equals(bytes), 'the bytes are others');
}

async function mustAnswer(client: Client, statuses: readonly number[], ask: Ask): Promise<Reply> {
  const reply = await client.send(ask);
  assert.ok(
    statuses.includes(reply.status),
    `${ask.method} again answered ${reply.status}: ${reply.body.toString()}`,
  );
  return reply;
}

/** A request that succeeds when it is repeated, and after which a blob is there. */
function repeated(ask: Ask, name: string, bytes: Buffer): Prepared {
  return {
    ask,
    async repeat(client) {
      await client.must(201, ask);
      await mustPull(client, name, bytes);
    },
  };
}

const starting: KillOperation = {
  title: 'a POST that starts an upload',
  async prepare(_, name) {
    const ask = { method: 'POST', path: uploads(name) };
    const bytes = randomBytes(1000);
    return await Promise.resolve({
      ask,
      async repeat(client: Client) {
        const location = client.location(await client.must(202, ask));
        await client.must(201, { method: 'PUT', path: withDigest(location, digestOf(bytes)), body: bytes });
        await mustPull(client, name, bytes);
      },
    });
  },
};

const mounting: KillOperation = {
  title: 'a mount',
  async prepare(client, name) {
    const bytes = randomBytes(1000);
    const digest = await client.pushBlob(`${name}-from`, bytes);
    const ask = { method: 'POST', path: `${uploads(name)}?mount=${digest}&from=${name}-from` };
    return repeated(ask, name, bytes);
  },
};

function postingWhole(size: number): KillOperation {
  return {
    title: `a POST of ${size} bytes`,
    async prepare(_, name) {
      const body = randomBytes(size);
      const ask = { method: 'POST', path: `${uploads(name)}?digest=${digestOf(body)}`, body };
      return await Promise.resolve(repeated(ask, name, body));
    },
  };
}

/** A PATCH that is repeated is taken, or the answer says that it was. */
function sending(location: string, ask: Ask, sent: Buffer, name: string): Prepared {
  return {
    ask,
    async repeat(client) {
      const reply = await mustAnswer(client, [202, 416], ask);
      assert.equal(reply.headers.range, `0-${sent.length - 1}`);
      const status = await client.must(204, { method: 'GET', path: location });
      assert.equal(status.headers.range, `0-${sent.length - 1}`);
      const rest = randomBytes(500);
      const whole = Buffer.concat([sent, rest]);
      const next = await client.sendChunk(client.location(status), sent.length, rest);
      await client.must(201, { method: 'PUT', path: withDigest(next, digestOf(whole)) });
      await mustPull(client, name, whole);
    },
  };
}

function streaming(size: number): KillOperation {
  return {
    title: `a PATCH of a stream of ${size} bytes`,
    async prepare(client, name) {
      const location = path(await client.startUpload(name));
      const body = randomBytes(size);
      return sending(location, { method: 'PATCH', path: location, body, chunked: true }, body, name);
    },
  };
}

/** @param count of chunks, the last of which is the request */
function appending(count: number): KillOperation {
  return {
    title: `a PATCH of chunk ${count}`,
    async prepare(client, name) {
      const { location, sent } = await chunks(client, name, count - 1);
      const body = randomBytes(chunk);
      const headers = contentRange(sent.length, body);
      return sending(
        location,
        { method: 'PATCH', path: location, body, headers },
        Buffer.concat([sent, body]),
        name,
      );
    },
  };
}

async function chunks(
  client: Client,
  name: string,
  count: number,
): Promise<{ location: string; sent: Buffer }> {
  const sent = randomBytes(count * chunk);
  let location = await client.startUpload(name);
  for (let offset = 0; offset < sent.length; offset += chunk)
    location = await client.sendChunk(location, offset, sent.subarray(offset, offset + chunk));
  return { location: path(location), sent };
}

/** As docker does. */
function finishing(size: number): KillOperation {
  return {
    title: `a PUT after a stream of ${size} bytes`,
    async prepare(client, name) {
      const body = randomBytes(size);
      const location = await client.startUpload(name);
      const sent = await client.must(202, { method: 'PATCH', path: location, body, chunked: true });
      const next = path(client.location(sent));
      return repeated({ method: 'PUT', path: withDigest(next, digestOf(body)) }, name, body);
    },
  };
}

/** As containerd does. */
function puttingWhole(size: number): KillOperation {
  return {
    title: `a PUT of ${size} bytes`,
    async prepare(client, name) {
      const body = randomBytes(size);
      const location = path(await client.startUpload(name));
      return repeated({ method: 'PUT', path: withDigest(location, digestOf(body)), body }, name, body);
    },
  };
}

const finishingChunks: KillOperation = {
  title: 'a PUT after two chunks',
  async prepare(client, name) {
    const { location, sent } = await chunks(client, name, 2);
    return repeated({ method: 'PUT', path: withDigest(location, digestOf(sent)) }, name, sent);
  },
};

const puttingLast: KillOperation = {
  title: 'a PUT with the last chunk',
  async prepare(client, name) {
    const { location, sent } = await chunks(client, name, 2);
    const body = randomBytes(1000);
    const whole = Buffer.concat([sent, body]);
    const ask = {
      method: 'PUT',
      path: withDigest(location, digestOf(whole)),
      body,
      headers: contentRange(sent.length, body),
    };
    return repeated(ask, name, whole);
  },
};

/** @param count of chunks the upload has */
function cancelling(count: number): KillOperation {
  return {
    title: `a DELETE of an upload of ${count} chunks`,
    async prepare(client, name) {
      const { location } = await chunks(client, name, count);
      const ask = { method: 'DELETE', path: location };
      return {
        ask,
        async repeat(again) {
          await mustAnswer(again, [204, 404], ask);
          await again.must(404, { method: 'GET', path: location });
        },
      };
    },
  };
}

/** A config and a layer in a repository, and a manifest of them. */
async function image(client: Client, name: string): Promise<Buffer> {
  const [config, layer] = [randomBytes(50), randomBytes(60)];
  for (const blob of [config, layer]) await client.pushBlob(name, blob);
  return manifest({ config: descriptor(config), layers: [descriptor(layer)] });
}

function pushing(name: string, reference: string, body: Buffer, type = imageType): Prepared {
  const ask = {
    method: 'PUT',
    path: `/v2/${name}/manifests/${reference}`,
    headers: { 'content-type': type },
    body,
  };
  return {
    ask,
    async repeat(client) {
      await client.must(201, ask);
      for (const by of [reference, digestOf(body)]) {
        const pulled = await client.must(200, { method: 'GET', path: `/v2/${name}/manifests/${by}` });
        assert.ok(pulled.body.equals(body), 'the manifest is another');
      }
    },
  };
}

const tagging: KillOperation = {
  title: 'a PUT of a manifest',
  prepare: async (client, name) => pushing(name, 'v1', await image(client, name)),
};

const retagging: KillOperation = {
  title: 'a PUT that moves a tag',
  async prepare(client, name) {
    const { bytes } = await client.pushImage(name, 'latest');
    const prepared = pushing(name, 'latest', await image(client, name));
    return {
      ask: prepared.ask,
      async repeat(again) {
        // Before it is repeated the tag is where it was, or where it should be.
        const tag = await again.must(200, { method: 'GET', path: `/v2/${name}/manifests/latest` });
        assert.ok([bytes, prepared.ask.body].some((one) => one !== undefined && tag.body.equals(one)));
        await prepared.repeat(again);
      },
    };
  },
};

const pushingByDigest: KillOperation = {
  title: 'a PUT of a manifest by digest',
  async prepare(client, name) {
    const bytes = await image(client, name);
    return pushing(name, digestOf(bytes), bytes);
  },
};

const indexing: KillOperation = {
  title: 'a PUT of an index',
  async prepare(client, name) {
    const { bytes } = await client.pushImage(name, 'child');
    const index = manifest({ manifests: [descriptor(bytes, imageType)] }, indexType);
    return pushing(name, 'all', index, indexType);
  },
};

/** A DELETE that is repeated succeeds, or finds that it has. */
function deleting(target: string, gone: readonly string[]): Prepared {
  const ask = { method: 'DELETE', path: target };
  return {
    ask,
    async repeat(client) {
      await mustAnswer(client, [202, 404], ask);
      for (const one of gone) await client.must(404, { method: 'GET', path: one });
    },
  };
}

const deletingManifest: KillOperation = {
  title: 'a DELETE of a manifest with three tags',
  async prepare(client, name) {
    const { bytes, digest } = await client.pushImage(name, 'v1');
    for (const tag of ['v2', 'v3']) await client.pushManifest(name, tag, bytes);
    const at = (reference: string) => `/v2/${name}/manifests/${reference}`;
    return deleting(at(digest), [digest, 'v1', 'v2', 'v3'].map(at));
  },
};

const deletingTag: KillOperation = {
  title: 'a DELETE of a tag',
  async prepare(client, name) {
    await client.pushImage(name, 'v1');
    await client.pushImage(name, 'v1');
    const target = `/v2/${name}/manifests/v1`;
    return deleting(target, [target]);
  },
};

const deletingBlob: KillOperation = {
  title: 'a DELETE of a blob',
  async prepare(client, name) {
    const target = `/v2/${name}/blobs/${await client.pushBlob(name, randomBytes(100))}`;
    return deleting(target, [target]);
  },
};
