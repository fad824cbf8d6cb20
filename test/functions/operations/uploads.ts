import { randomBytes } from 'node:crypto';
import { contentRange, digestOf, someName, withDigest, type Client } from '../client.ts';
import type { Bench, Case } from './case.ts';
import { created, digest, first, goesOn, onUpload, put, second, whole } from './upload-case.ts';
import { uploadStartCases } from './upload-starts.ts';

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

async function finishedUpload(client: Client, name: string): Promise<string> {
  const location = await client.startUpload(name);
  await client.must(201, put(location, digest, whole));
  return location;
}

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
    'PATCH refuses a chunk that leaves a gap with 416 and the current offset',
    async (client, name, location) => {
      const next = await client.sendChunk(location, 0, first);
      return {
        ask: { method: 'PATCH', path: next, body: second, headers: contentRange(first.length + 1, second) },
        expect: { ...goesOn(416, name, '0-5'), errors: ['RANGE_INVALID'] },
      };
    },
  ),
  onUpload('PATCH refuses a repeated chunk with 416', async (client, name, location) => {
    await client.sendChunk(location, 0, first);
    return {
      ask: { method: 'PATCH', path: location, body: first, headers: contentRange(0, first) },
      expect: { ...goesOn(416, name, '0-5'), errors: ['RANGE_INVALID'] },
    };
  }),
  onUpload(
    'PATCH recognises a repeated stream by the state in its Location',
    async (client, name, location) => {
      await client.must(202, { method: 'PATCH', path: location, body: whole, chunked: true });
      return {
        ask: { method: 'PATCH', path: location, body: whole, chunked: true },
        expect: { ...goesOn(416, name, `0-${whole.length - 1}`), errors: ['RANGE_INVALID'] },
      };
    },
  ),
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
  onUpload('GET returns the offset of an upload', async (client, name, location) => ({
    ask: { method: 'GET', path: await client.sendChunk(location, 0, first) },
    expect: goesOn(204, name, '0-5'),
  })),
  onUpload('GET accepts an earlier state of the upload', async (client, name, location) => {
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
    'PUT refuses bytes with another digest and names theirs',
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
  pushedBlob('serves a blob uploaded as a stream', async (client, location) => {
    const bytes = randomBytes(3_000_000);
    const next = client.location(
      await client.must(202, { method: 'PATCH', path: location, body: bytes, chunked: true }),
    );
    await client.must(201, put(next, digestOf(bytes)));
    return bytes;
  }),
  pushedBlob('serves a blob uploaded in chunks of many sizes', async (client, start) => {
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
  pushedBlob('serves a blob uploaded as a stream and then in chunks', async (client, location) => {
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
    'an upload without its state is unknown',
    async (_, __, location) =>
      await Promise.resolve({ ask: { method: 'GET', path: location.replace(/\?.*$/, '') }, expect: gone }),
  ),
  {
    title: 'an upload that was never started is unknown',
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
  onUpload('DELETE with If-Match: * cancels an existing upload', async (client, _, location) => {
    await client.must(204, { method: 'DELETE', path: location, headers: { 'if-match': '*' } });
    return { ask: { method: 'GET', path: location }, expect: gone };
  }),
  {
    title: 'an upload in progress adds no repository to the catalog',
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

export const uploadCases: readonly Case[] = [...uploadStartCases, ...sending, ...finishing, ...ending];
