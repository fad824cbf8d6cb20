import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { parseDigest } from '../../../lib/protocol/digests.ts';
import { blobData } from '../../../lib/registry/layout.ts';
import { contentRange, digestOf, someName, withDigest, type Ask, type Client } from '../client.ts';
import type { Case, Expectation } from './case.ts';
import { created, digest, first, goesOn, second, whole } from './upload-case.ts';

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

/** Starts and mounts, and uploads with a SHA-512. */
export const uploadStartCases: readonly Case[] = [
  post(
    'POST starts an upload',
    async (_, name) => await Promise.resolve({ query: '', expect: goesOn(202, name, '0-0') }),
  ),
  {
    title: 'refuses PATCH without an upload and lists the allowed methods',
    async act() {
      return await Promise.resolve({
        ask: { method: 'PATCH', path: `/v2/${someName()}/blobs/uploads/`, body: Buffer.from('x') },
        expect: { status: 405, headers: { allow: 'POST' }, errors: ['UNSUPPORTED'] },
      });
    },
  },
  {
    title: 'refuses POST to an upload and lists the allowed methods',
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
    'POST with a digest and a body uploads a blob in one request',
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
  post('POST mounts a blob without the source repository', async (client, name) => {
    const mounted = await client.pushBlob(someName(), randomBytes(20));
    return { query: `?mount=${mounted}`, expect: created(name, mounted) };
  }),
  post('POST mounts a blob of the same repository', async (client, name) => {
    const mounted = await client.pushBlob(name, randomBytes(20));
    return { query: `?mount=${mounted}`, expect: created(name, mounted) };
  }),
  post('POST mounts a blob that was later pushed as a manifest too', async (client, name) => {
    const from = someName();
    const { bytes } = await client.pushImage(from, 'v1');
    await client.pushBlob(from, bytes);
    await client.pushManifest(from, 'v2', bytes);
    return { query: `?mount=${digestOf(bytes)}`, expect: created(name, digestOf(bytes)) };
  }),
  post('POST starts an upload if the source repository has deleted the blob', async (client, name) => {
    const from = someName();
    const mounted = await client.pushBlob(from, randomBytes(20));
    await client.must(202, { method: 'DELETE', path: `/v2/${from}/blobs/${mounted}` });
    return { query: `?mount=${mounted}`, expect: goesOn(202, name, '0-0') };
  }),
  {
    // That its bytes are in the bucket proves nothing (CVE-2024-39897).
    title: 'POST starts an upload for a blob without a known source repository',
    async act({ store }) {
      const [name, bytes] = [someName(), randomBytes(20)];
      const mounted = digestOf(bytes);
      await store.put(blobData(parseDigest(mounted)), bytes);
      const path = `/v2/${name}/blobs/uploads/?mount=${mounted}`;
      return { ask: { method: 'POST', path }, expect: goesOn(202, name, '0-0') };
    },
  },
  post(
    'POST starts an upload if the blob to mount is unknown',
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
    'POST refuses a SHA-512 that does not match the bytes',
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
    chunked(`PUT finishes chunks with a SHA-512 ${what}`, query, (location) => ({
      method: 'PUT',
      path: withDigest(location, sha512),
    })),
    chunked(`PUT finishes chunks with bytes and a SHA-512 ${what}`, query, (location) => ({
      method: 'PUT',
      path: withDigest(location, digestOf(Buffer.concat([whole, first]), 'sha512')),
      headers: { 'content-type': 'application/octet-stream', ...contentRange(whole.byteLength, first) },
      body: first,
    })),
  ]),
  chunked(
    'PUT finishes an upload announced with SHA-512 by a SHA-256',
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
      `POST starts an upload for a mount with ${what}`,
      async (_client, name) =>
        await Promise.resolve({ query: `?${query}`, expect: goesOn(202, name, '0-0') }),
    ),
  ),
  ...['from=', 'from=&from=FROM', 'from=FROM&from=other', 'from=other&from=FROM'].map((sources) =>
    post(`POST starts an upload for a mount with ${sources}`, async (client, name) => {
      const from = someName();
      const mounted = await client.pushBlob(from, randomBytes(20));
      const query = `?mount=${mounted}&${sources.replaceAll('FROM', from)}`;
      return { query, expect: goesOn(202, name, '0-0') };
    }),
  ),
  post('POST mounts a blob if mount and from are repeated with the same values', async (client, name) => {
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
