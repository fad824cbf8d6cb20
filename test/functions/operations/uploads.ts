import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { parseDigest } from '../../../lib/protocol/digests.ts';
import { blobData } from '../../../lib/registry/layout.ts';
import { contentRange, digestOf, someName, withDigest, type Ask, type Client } from '../client.ts';
import type { Bench, Case, Expectation } from './case.ts';

const first = Buffer.from('first,');
const second = Buffer.from('second');
const whole = Buffer.concat([first, second]);
const digest = digestOf(whole);

const created = (name: string, blob = digest): Expectation => ({
  status: 201,
  headers: {
    location: new RegExp(`/v2/${name}/blobs/${blob}$`),
    'docker-content-digest': blob,
    'content-length': '0',
  },
});

/** The upload of a repository goes on at a Location, with so many bytes. */
const goesOn = (status: number, name: string, range: string): Expectation => ({
  status,
  headers: {
    location: new RegExp(`/v2/${name}/blobs/uploads/.*_state=`),
    range,
    'docker-upload-uuid': /^[0-9a-f-]{36}$/,
  },
});

function post(
  title: string,
  act: (client: Client, name: string) => Promise<{ query: string; body?: Buffer; expect: Expectation }>,
): Case {
  return {
    title,
    async act({ client }) {
      const name = someName();
      const { query, body, expect } = await act(client, name);
      const ask = { method: 'POST', path: `/v2/${name}/blobs/uploads/${query}` };
      return { ask: body === undefined ? ask : { ...ask, body }, expect };
    },
  };
}

/** A case on an upload that has begun. */
function onUpload(
  title: string,
  act: (client: Client, name: string, location: string) => Promise<{ ask: Ask; expect: Expectation }>,
): Case {
  return {
    title,
    async act({ client }) {
      const name = someName();
      return await act(client, name, await client.startUpload(name));
    },
  };
}

const sha512 = digestOf(whole, 'sha512');

/** Ends an upload of two chunks: the blob is then there under the digest that the request names. */
function chunked(title: string, query: string, end: (location: string) => Ask): Case {
  return {
    title,
    async act({ client }) {
      const name = someName();
      const path = `/v2/${name}/blobs/uploads/${query}`;
      const start = client.location(await client.must(202, { method: 'POST', path }));
      const next = await client.sendChunk(start, 0, first);
      const ask = end(await client.sendChunk(next, first.byteLength, second));
      const named = new URL(ask.path, 'http://any').searchParams.get('digest') ?? '';
      const bytes = Buffer.concat([whole, ask.body ?? Buffer.alloc(0)]);
      const { headers } = await client.must(201, ask);
      assert.equal(headers['docker-content-digest'], named);
      return { ask: { method: 'GET', path: `/v2/${name}/blobs/${named}` }, expect: { status: 200, bytes } };
    },
  };
}

/** Asks for a blob once a case's own steps have pushed it. */
function pushedBlob(title: string, push: (client: Client, location: string) => Promise<Buffer>): Case {
  return onUpload(title, async (client, name, location) => {
    const bytes = await push(client, location);
    return {
      ask: { method: 'GET', path: `/v2/${name}/blobs/${digestOf(bytes)}` },
      expect: { status: 200, bytes },
    };
  });
}

const put = (location: string, blob: string, body?: Uint8Array): Ask => ({
  method: 'PUT',
  path: withDigest(location, blob),
  ...(body === undefined ? {} : { body }),
});

async function finishedUpload(client: Client, name: string): Promise<string> {
  const location = await client.startUpload(name);
  await client.must(201, put(location, digest, whole));
  return location;
}

const starting: readonly Case[] = [
  post(
    'POST starts an upload',
    async (_, name) => await Promise.resolve({ query: '', expect: goesOn(202, name, '0-0') }),
  ),
  {
    title: 'refuses to append where no upload is named, and says what is taken there',
    async act() {
      return await Promise.resolve({
        ask: { method: 'PATCH', path: `/v2/${someName()}/blobs/uploads/`, body: Buffer.from('x') },
        expect: { status: 405, headers: { allow: 'POST' }, errors: ['UNSUPPORTED'] },
      });
    },
  },
  {
    title: 'refuses to start an upload at another, and says what is taken there',
    async act({ client }) {
      // Not where its bytes go: a data plane knows of no uploads to be started.
      const { pathname, search } = new URL(await client.startUpload(someName()));
      return {
        ask: { method: 'POST', path: pathname + search },
        expect: { status: 405, headers: { allow: 'GET, PATCH, PUT, DELETE' }, errors: ['UNSUPPORTED'] },
      };
    },
  },
  {
    title: 'POST starts an upload without the slash as well',
    async act() {
      const name = someName();
      return await Promise.resolve({
        ask: { method: 'POST', path: `/v2/${name}/blobs/uploads` },
        expect: goesOn(202, name, '0-0'),
      });
    },
  },
  post(
    'POST with a digest and a body is the whole upload',
    async (_, name) =>
      await Promise.resolve({ query: `?digest=${digest}`, body: whole, expect: created(name) }),
  ),
  post(
    'POST with a digest and another body is refused',
    async () =>
      await Promise.resolve({
        query: `?digest=${digest}`,
        body: first,
        expect: { status: 400, errors: ['DIGEST_INVALID'] },
      }),
  ),
  post(
    'POST with a digest and no body starts an upload',
    async (_, name) =>
      await Promise.resolve({ query: `?digest=${digest}`, expect: goesOn(202, name, '0-0') }),
  ),
  post('POST mounts a blob of another repository', async (client, name) => {
    const from = someName();
    const mounted = await client.pushBlob(from, randomBytes(20));
    return { query: `?mount=${mounted}&from=${encodeURIComponent(from)}`, expect: created(name, mounted) };
  }),
  post('POST starts an upload when the other repository has no such blob', async (client, name) => {
    const from = someName();
    const mounted = await client.pushBlob(someName(), randomBytes(20));
    return { query: `?mount=${mounted}&from=${from}`, expect: goesOn(202, name, '0-0') };
  }),
  post('POST mounts what was pushed to some repository, without a word of which', async (client, name) => {
    const mounted = await client.pushBlob(someName(), randomBytes(20));
    return { query: `?mount=${mounted}`, expect: created(name, mounted) };
  }),
  post('POST mounts what the repository has itself', async (client, name) => {
    const mounted = await client.pushBlob(name, randomBytes(20));
    return { query: `?mount=${mounted}`, expect: created(name, mounted) };
  }),
  post('POST mounts what was pushed as a manifest as well since', async (client, name) => {
    const from = someName();
    const { bytes } = await client.pushImage(from, 'v1');
    await client.pushBlob(from, bytes);
    await client.pushManifest(from, 'v2', bytes);
    return { query: `?mount=${digestOf(bytes)}`, expect: created(name, digestOf(bytes)) };
  }),
  post('POST starts an upload when the repository it was pushed to has it no more', async (client, name) => {
    const from = someName();
    const mounted = await client.pushBlob(from, randomBytes(20));
    await client.must(202, { method: 'DELETE', path: `/v2/${from}/blobs/${mounted}` });
    return { query: `?mount=${mounted}`, expect: goesOn(202, name, '0-0') };
  }),
  {
    // That its bytes are in the bucket proves nothing (CVE-2024-39897).
    title: 'POST starts an upload when no repository is known to have it',
    async act({ store }) {
      const [name, bytes] = [someName(), randomBytes(20)];
      const mounted = digestOf(bytes);
      await store.put(blobData(parseDigest(mounted)), bytes);
      const path = `/v2/${name}/blobs/uploads/?mount=${mounted}`;
      return { ask: { method: 'POST', path }, expect: goesOn(202, name, '0-0') };
    },
  },
  post(
    'POST starts an upload when nobody has what is to be mounted',
    async (_client, name) =>
      await Promise.resolve({
        query: `?mount=${digestOf(randomBytes(8))}`,
        expect: goesOn(202, name, '0-0'),
      }),
  ),
  // end-4c
  post(
    'POST takes a whole blob by its SHA-512',
    async (_client, name) =>
      await Promise.resolve({ query: `?digest=${sha512}`, body: whole, expect: created(name, sha512) }),
  ),
  post(
    'POST refuses another SHA-512 than that of the bytes',
    async () =>
      await Promise.resolve({
        query: `?digest=${digestOf(first, 'sha512')}`,
        body: whole,
        expect: { status: 400, errors: ['DIGEST_INVALID'] },
      }),
  ),
  post(
    'POST starts an upload that will have a SHA-512',
    async (_client, name) =>
      await Promise.resolve({ query: '?digest-algorithm=sha512', expect: goesOn(202, name, '0-0') }),
  ),
  ...['sha384', 'md5', 'SHA512', ''].map((algorithm) =>
    post(
      `POST refuses the digest algorithm ${JSON.stringify(algorithm)}`,
      async () =>
        await Promise.resolve({
          query: `?digest-algorithm=${algorithm}`,
          expect: { status: 400, errors: ['DIGEST_INVALID'], mentions: ['sha256 or sha512'] },
        }),
    ),
  ),
  post(
    'POST refuses two digest algorithms',
    async () =>
      await Promise.resolve({
        query: '?digest-algorithm=sha512&digest-algorithm=sha256',
        expect: { status: 400, errors: ['DIGEST_INVALID'] },
      }),
  ),
  ...[
    ['that was announced', '?digest-algorithm=sha512'],
    ['that nobody had spoken of', ''],
  ].flatMap(([what = '', query = '']) => [
    chunked(`PUT ends chunks with a SHA-512 ${what}`, query, (location) => ({
      method: 'PUT',
      path: withDigest(location, sha512),
    })),
    chunked(`PUT ends chunks with bytes and a SHA-512 ${what}`, query, (location) => ({
      method: 'PUT',
      path: withDigest(location, digestOf(Buffer.concat([whole, first]), 'sha512')),
      headers: { 'content-type': 'application/octet-stream', ...contentRange(whole.byteLength, first) },
      body: first,
    })),
  ]),
  chunked(
    'PUT ends an upload that was to have a SHA-512 with a SHA-256',
    '?digest-algorithm=sha512',
    (location) => ({
      method: 'PUT',
      path: withDigest(location, digest),
    }),
  ),
  post('POST starts an upload when a mount names no repository', async (client, name) => {
    const mounted = await client.pushBlob(someName(), randomBytes(20));
    return { query: `?mount=${mounted}&from=UPPER`, expect: goesOn(202, name, '0-0') };
  }),
  ...[
    ['an empty digest', 'mount=&from=a'],
    ['an empty digest of no repository', 'mount='],
    ['what is no digest', 'mount=sha256:..&from=a'],
    ['a digest in capitals', `mount=${digest.toUpperCase()}&from=a`],
    ['a digest of an algorithm that is not known', `mount=sha384:${'a'.repeat(96)}&from=a`],
    ['two digests', `mount=${digest}&mount=${sha512}&from=a`],
    ['a digest and an empty one', `mount=${digest}&mount=&from=a`],
    ['nothing from a repository', 'from=a'],
  ].map(([what = '', query = '']) =>
    post(
      `POST starts an upload when it is to mount ${what}`,
      async (_client, name) =>
        await Promise.resolve({ query: `?${query}`, expect: goesOn(202, name, '0-0') }),
    ),
  ),
  ...['from=', 'from=&from=FROM', 'from=FROM&from=other', 'from=other&from=FROM'].map((sources) =>
    post(`POST starts an upload when it is to mount a blob ${sources}`, async (client, name) => {
      const from = someName();
      const mounted = await client.pushBlob(from, randomBytes(20));
      const query = `?mount=${mounted}&${sources.replaceAll('FROM', from)}`;
      return { query, expect: goesOn(202, name, '0-0') };
    }),
  ),
  post('POST mounts what it is told to twice in the same words', async (client, name) => {
    const from = someName();
    const mounted = await client.pushBlob(from, randomBytes(20));
    const query = `?mount=${mounted}&mount=${mounted}&from=${from}&from=${from}`;
    return { query, expect: created(name, mounted) };
  }),
  {
    title: 'refuses a repository name in capitals',
    async act() {
      return await Promise.resolve({
        ask: { method: 'POST', path: '/v2/Team/App/blobs/uploads/' },
        expect: { status: 400, errors: ['NAME_INVALID'] },
      });
    },
  },
];

const sending: readonly Case[] = [
  onUpload(
    'PATCH takes a stream without length or range',
    async (_, name, location) =>
      await Promise.resolve({
        ask: { method: 'PATCH', path: location, body: whole, chunked: true },
        expect: goesOn(202, name, `0-${whole.length - 1}`),
      }),
  ),
  onUpload(
    'PATCH takes a body with its length alone',
    async (_, name, location) =>
      await Promise.resolve({
        ask: { method: 'PATCH', path: location, body: first },
        expect: goesOn(202, name, '0-5'),
      }),
  ),
  onUpload('PATCH takes the next chunk', async (client, name, location) => {
    const next = await client.sendChunk(location, 0, first);
    return {
      ask: { method: 'PATCH', path: next, body: second, headers: contentRange(first.length, second) },
      expect: goesOn(202, name, `0-${whole.length - 1}`),
    };
  }),
  onUpload(
    'PATCH refuses a chunk that leaves a gap with 416 and where the upload stands',
    async (client, name, location) => {
      const next = await client.sendChunk(location, 0, first);
      return {
        ask: { method: 'PATCH', path: next, body: second, headers: contentRange(first.length + 1, second) },
        expect: { ...goesOn(416, name, '0-5'), errors: ['RANGE_INVALID'] },
      };
    },
  ),
  onUpload('PATCH refuses a chunk it has taken already with 416', async (client, name, location) => {
    await client.sendChunk(location, 0, first);
    return {
      ask: { method: 'PATCH', path: location, body: first, headers: contentRange(0, first) },
      expect: { ...goesOn(416, name, '0-5'), errors: ['RANGE_INVALID'] },
    };
  }),
  onUpload('PATCH tells a repeated stream by the state in its Location', async (client, name, location) => {
    await client.must(202, { method: 'PATCH', path: location, body: whole, chunked: true });
    return {
      ask: { method: 'PATCH', path: location, body: whole, chunked: true },
      expect: { ...goesOn(416, name, `0-${whole.length - 1}`), errors: ['RANGE_INVALID'] },
    };
  }),
  onUpload(
    'PATCH refuses a range that is not as long as the body',
    async (_, __, location) =>
      await Promise.resolve({
        ask: { method: 'PATCH', path: location, body: first, headers: { 'content-range': '0-99' } },
        expect: { status: 400, errors: ['SIZE_INVALID'] },
      }),
  ),
  onUpload(
    'PATCH refuses a stream that is not as long as its range',
    async (_, __, location) =>
      await Promise.resolve({
        ask: {
          method: 'PATCH',
          path: location,
          body: first,
          chunked: true,
          headers: { 'content-range': '0-2' },
        },
        expect: { status: 400, errors: ['SIZE_INVALID'] },
      }),
  ),
  onUpload(
    'PATCH refuses a range it cannot read',
    async (_, __, location) =>
      await Promise.resolve({
        ask: { method: 'PATCH', path: location, body: first, headers: { 'content-range': 'bytes' } },
        expect: { status: 400, errors: ['BLOB_UPLOAD_INVALID'] },
      }),
  ),
  onUpload('GET tells where an upload stands', async (client, name, location) => ({
    ask: { method: 'GET', path: await client.sendChunk(location, 0, first) },
    expect: goesOn(204, name, '0-5'),
  })),
  onUpload('GET takes an earlier state of the upload', async (client, name, location) => {
    await client.sendChunk(location, 0, first);
    return { ask: { method: 'GET', path: location }, expect: goesOn(204, name, '0-5') };
  }),
];

const finishing: readonly Case[] = [
  onUpload(
    'PUT with the whole body finishes an upload',
    async (_, name, location) =>
      await Promise.resolve({ ask: put(location, digest, whole), expect: created(name) }),
  ),
  onUpload('PUT without a body finishes an upload', async (client, name, location) => ({
    ask: put(await client.sendChunk(location, 0, whole), digest),
    expect: created(name),
  })),
  onUpload('PUT with the last chunk finishes an upload', async (client, name, location) => ({
    ask: put(await client.sendChunk(location, 0, first), digest, second),
    expect: created(name),
  })),
  onUpload('PUT with the last chunk and its range finishes an upload', async (client, name, location) => ({
    ask: {
      ...put(await client.sendChunk(location, 0, first), digest, second),
      headers: contentRange(first.length, second),
    },
    expect: created(name),
  })),
  onUpload('PUT refuses a last chunk out of order with 416', async (client, name, location) => ({
    ask: {
      ...put(await client.sendChunk(location, 0, first), digest, second),
      headers: contentRange(0, second),
    },
    expect: { ...goesOn(416, name, '0-5'), errors: ['RANGE_INVALID'] },
  })),
  onUpload(
    'PUT of the whole blob at the first Location replaces a partial attempt',
    async (client, name, location) => {
      await client.sendChunk(location, 0, Buffer.from('half of somethi'));
      return { ask: put(location, digest, whole), expect: created(name) };
    },
  ),
  onUpload(
    'PUT may carry the same digest twice',
    async (_, name, location) =>
      await Promise.resolve({ ask: put(withDigest(location, digest), digest, whole), expect: created(name) }),
  ),
  onUpload(
    'PUT refuses two digests',
    async (_, __, location) =>
      await Promise.resolve({
        ask: put(withDigest(location, digestOf(first)), digest, whole),
        expect: { status: 400, errors: ['DIGEST_INVALID'] },
      }),
  ),
  onUpload(
    'PUT refuses to finish without a digest',
    async (_, __, location) =>
      await Promise.resolve({
        ask: { method: 'PUT', path: location, body: whole },
        expect: { status: 400, errors: ['DIGEST_INVALID'] },
      }),
  ),
  onUpload(
    'PUT refuses bytes of another digest and names theirs',
    async (_, __, location) =>
      await Promise.resolve({
        ask: put(location, digest, first),
        expect: { status: 400, errors: ['DIGEST_INVALID'], mentions: [digestOf(first)] },
      }),
  ),
  onUpload(
    'PUT with the right digest succeeds after one with a wrong one',
    async (client, name, location) => {
      const next = await client.sendChunk(location, 0, whole);
      await client.must(400, put(next, digestOf(first)));
      return { ask: put(next, digest), expect: created(name) };
    },
  ),
  onUpload('PUT may be repeated', async (client, name, location) => {
    await client.must(201, put(location, digest, whole));
    return { ask: put(location, digest, whole), expect: created(name) };
  }),
  onUpload('PUT cannot finish a finished upload as another blob', async (client, _, location) => {
    await client.must(201, put(location, digest, whole));
    return {
      ask: put(location, digestOf(first), first),
      expect: { status: 404, errors: ['BLOB_UPLOAD_UNKNOWN'] },
    };
  }),
  pushedBlob('has a blob that came in a stream', async (client, location) => {
    const bytes = randomBytes(3_000_000);
    const next = client.location(
      await client.must(202, { method: 'PATCH', path: location, body: bytes, chunked: true }),
    );
    await client.must(201, put(next, digestOf(bytes)));
    return bytes;
  }),
  pushedBlob('has a blob that came in chunks of many sizes', async (client, start) => {
    const bytes = randomBytes(11_000_000);
    let location = start;
    let offset = 0;
    for (const size of [1, 3_999_999, 2_000_000, 1_000_000, 4_000_000]) {
      location = await client.sendChunk(location, offset, bytes.subarray(offset, offset + size));
      offset += size;
    }
    await client.must(201, put(location, digestOf(bytes)));
    return bytes;
  }),
  pushedBlob('has a blob that came in a stream and then in chunks', async (client, location) => {
    const bytes = randomBytes(9_000_000);
    const [stream, chunk, rest] = [bytes.subarray(0, 4e6), bytes.subarray(4e6, 8e6), bytes.subarray(8e6)];
    const ask = { method: 'PATCH', path: location, body: stream, chunked: true };
    const next = client.location(await client.must(202, ask));
    await client.must(201, put(await client.sendChunk(next, stream.length, chunk), digestOf(bytes), rest));
    return bytes;
  }),
];

const gone = { status: 404, errors: ['BLOB_UPLOAD_UNKNOWN'] };
const altered = { status: 400, errors: ['BLOB_UPLOAD_INVALID'] };

const ending: readonly Case[] = [
  onUpload(
    'DELETE cancels an upload',
    async (_, __, location) =>
      await Promise.resolve({ ask: { method: 'DELETE', path: location }, expect: { status: 204 } }),
  ),
  ...(['GET', 'PATCH', 'PUT', 'DELETE'] as const).map((method) =>
    onUpload(`${method} after a cancel is 404`, async (client, _, location) => {
      await client.must(204, { method: 'DELETE', path: location });
      return { ask: { ...put(location, digest, whole), method }, expect: gone };
    }),
  ),
  ...(['GET', 'PATCH', 'DELETE'] as const).map((method): Case => ({
    title: `${method} after an upload was finished is 404`,
    async act({ client }) {
      return { ask: { method, path: await finishedUpload(client, someName()) }, expect: gone };
    },
  })),
  onUpload(
    'refuses a state that was altered',
    async (_, __, location) =>
      await Promise.resolve({
        ask: { method: 'GET', path: location.replace(/_state=1\.0/, '_state=1.1') },
        expect: altered,
      }),
  ),
  onUpload('refuses the state of another upload', async (client, name, location) => {
    const state = new URL(await client.startUpload(name)).search;
    return { ask: { method: 'GET', path: location.replace(/\?.*$/, state) }, expect: altered };
  }),
  onUpload('refuses to finish an upload in another repository', async (client, name, location) => {
    const next = await client.sendChunk(location, 0, whole);
    return { ask: put(next.replace(name, someName()), digest), expect: altered };
  }),
  onUpload(
    'does not know an upload without its state',
    async (_, __, location) =>
      await Promise.resolve({ ask: { method: 'GET', path: location.replace(/\?.*$/, '') }, expect: gone }),
  ),
  {
    title: 'does not know an upload it has not started',
    async act() {
      const path = `/v2/${someName()}/blobs/uploads/8c0d5c0b-9c0a-4c0e-8c0b-1c0d2c0e3c0f`;
      return await Promise.resolve({ ask: { method: 'PATCH', path, body: first }, expect: gone });
    },
  },
  // It has no entity tag, so none is its.
  ...(['GET', 'PATCH', 'PUT', 'DELETE'] as const).flatMap((method) =>
    [{ 'if-match': '"other"' }, { 'if-none-match': '*' }]
      .filter((headers) => method !== 'GET' || 'if-match' in headers)
      .map((headers) =>
        onUpload(
          `${method} leaves an upload as it was on the condition ${JSON.stringify(headers)}`,
          async (client, name, location) => {
            const path = method === 'PUT' ? withDigest(location, digest) : location;
            const body = method === 'PATCH' || method === 'PUT' ? { body: whole } : {};
            await client.must(412, { method, path, headers, ...body });
            return { ask: { method: 'GET', path: location }, expect: goesOn(204, name, '0-0') };
          },
        ),
      ),
  ),
  onUpload('DELETE ends an upload on the condition that there is one', async (client, _, location) => {
    await client.must(204, { method: 'DELETE', path: location, headers: { 'if-match': '*' } });
    return { ask: { method: 'GET', path: location }, expect: gone };
  }),
  {
    title: 'an upload under way adds no repository to the catalog',
    async act({ client, store }: Bench) {
      const name = someName('aaa-upload');
      await client.sendChunk(await client.startUpload(name), 0, first);
      const listed = await store.list({ prefix: `docker/registry/v2/repositories/${name}` });
      return {
        ask: { method: 'GET', path: `/v2/${name}/tags/list` },
        expect: { status: 404, errors: listed.objects.length === 0 ? ['NAME_UNKNOWN'] : ['LISTED'] },
      };
    },
  },
];

export const uploadCases: readonly Case[] = [...starting, ...sending, ...finishing, ...ending];
