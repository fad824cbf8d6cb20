import { randomBytes } from 'node:crypto';
import { digestOf, someName } from '../client.ts';
import { conditionOn, conditions, readConditions, type Bench, type Case, type Expectation } from './case.ts';

const unknownDigest = digestOf(Buffer.from('no registry has this'));
const text = Buffer.from('0123456789');

/** A case on a blob of ten bytes that a repository has. */
function onBlob(
  title: string,
  method: string,
  headers: Record<string, string>,
  expect: (digest: string) => Expectation,
): Case {
  return {
    title,
    async act({ client }) {
      const name = someName();
      const digest = await client.pushBlob(name, text);
      return { ask: { method, path: `/v2/${name}/blobs/${digest}`, headers }, expect: expect(digest) };
    },
  };
}

function range(title: string, header: string, bytes: string, contentRange: string): Case {
  return onBlob(title, 'GET', { range: header }, () => ({
    status: 206,
    headers: { 'content-range': contentRange, 'content-length': String(bytes.length) },
    bytes: Buffer.from(bytes),
  }));
}

async function deletedBlob({ client }: Bench, of: 'deleted' | 'other'): Promise<string> {
  const names = { deleted: someName(), other: someName() };
  const digest = await client.pushBlob(names.deleted, text);
  await client.pushBlob(names.other, text);
  await client.must(202, { method: 'DELETE', path: `/v2/${names.deleted}/blobs/${digest}` });
  return `/v2/${names[of]}/blobs/${digest}`;
}

const unknown = { status: 404, errors: ['BLOB_UNKNOWN'] };

export const blobCases: readonly Case[] = [
  onBlob('HEAD tells size and digest of a blob', 'HEAD', {}, (digest) => ({
    status: 200,
    headers: {
      'content-length': '10',
      'docker-content-digest': digest,
      'content-type': 'application/octet-stream',
    },
  })),
  onBlob('GET sends a blob', 'GET', {}, (digest) => ({
    status: 200,
    headers: { 'content-length': '10', 'docker-content-digest': digest, 'accept-ranges': 'bytes' },
    bytes: text,
  })),
  onBlob(
    'never encodes a blob, whatever a client would accept',
    'GET',
    { 'accept-encoding': 'gzip, zstd' },
    () => ({
      status: 200,
      headers: { 'content-encoding': undefined },
      bytes: text,
    }),
  ),
  range('sends the first bytes', 'bytes=0-3', '0123', 'bytes 0-3/10'),
  range('sends a range in the middle', 'bytes=4-6', '456', 'bytes 4-6/10'),
  range('sends from an offset to the end', 'bytes=7-', '789', 'bytes 7-9/10'),
  range('sends the last bytes', 'bytes=-2', '89', 'bytes 8-9/10'),
  range('cuts a range at the end of the blob', 'bytes=8-500', '89', 'bytes 8-9/10'),
  onBlob('refuses a range beyond the end with 416 and the size', 'GET', { range: 'bytes=10-' }, () => ({
    status: 416,
    headers: { 'content-range': 'bytes */10', 'cache-control': undefined, etag: undefined },
    errors: ['RANGE_INVALID'],
  })),
  onBlob('sends all of it when several ranges are asked for', 'GET', { range: 'bytes=0-1,4-5' }, () => ({
    status: 200,
    bytes: text,
  })),
  onBlob('sends all of it when the range is none', 'GET', { range: 'lines=1-2' }, () => ({
    status: 200,
    bytes: text,
  })),
  onBlob(
    'sends all of it when If-Range names another content',
    'GET',
    { range: 'bytes=0-1', 'if-range': '"x"' },
    () => ({
      status: 200,
      bytes: text,
    }),
  ),
  ...['GET', 'HEAD'].flatMap((method) => [
    onBlob(
      `answers 304 to a ${method} of a client that has any content`,
      method,
      { 'if-none-match': '*' },
      () => ({
        status: 304,
      }),
    ),
    onBlob(
      `sends the blob, or of it, to a ${method} of a client whose tag only has the digest in it`,
      method,
      { 'if-none-match': `"not-${digestOf(text)}-at-all"` },
      () => ({ status: 200, ...(method === 'GET' && { bytes: text }) }),
    ),
  ]),
  onBlob(
    'sends all of it when If-Range is a weak tag',
    'GET',
    { range: 'bytes=0-1', 'if-range': `W/"${digestOf(text)}"` },
    () => ({ status: 200, bytes: text }),
  ),
  {
    title: 'answers 304 to a client that has the blob',
    async act({ client }) {
      const name = someName();
      const digest = await client.pushBlob(name, text);
      const headers = { 'if-none-match': `"sha256:0", W/"${digest}"` };
      return {
        ask: { method: 'GET', path: `/v2/${name}/blobs/${digest}`, headers },
        expect: { status: 304 },
      };
    },
  },
  {
    title: 'has blobs of no bytes',
    async act({ client }) {
      const name = someName();
      const digest = await client.pushBlob(name, Buffer.alloc(0));
      return {
        ask: { method: 'GET', path: `/v2/${name}/blobs/${digest}` },
        expect: { status: 200, headers: { 'content-length': '0' }, bytes: Buffer.alloc(0) },
      };
    },
  },
  ...(
    [
      ['GET', 'bytes=-1', 200],
      ['GET', 'bytes=-500', 200],
      ['GET', 'bytes=-0', 416],
      ['GET', 'bytes=0-', 416],
      ['GET', 'bytes=0-0', 416],
      ['HEAD', 'bytes=-1', 200],
      ['HEAD', 'bytes=0-0', 200],
    ] as const
  ).map(([method, header, status]): Case => ({
    title: `answers ${method} of ${header} of a blob of no bytes with ${status}`,
    async act({ client }) {
      const name = someName();
      const digest = await client.pushBlob(name, Buffer.alloc(0));
      return {
        ask: { method, path: `/v2/${name}/blobs/${digest}`, headers: { range: header } },
        expect:
          status === 200
            ? {
                status,
                headers: { 'content-length': '0', 'content-range': undefined },
                bytes: Buffer.alloc(0),
              }
            : { status, headers: { 'content-range': 'bytes */0' }, errors: ['RANGE_INVALID'] },
      };
    },
  })),
  {
    title: 'takes a digest whose colon is escaped',
    async act({ client }) {
      const name = someName();
      const digest = await client.pushBlob(name, text);
      const path = `/v2/${name}/blobs/${digest.replace(':', '%3A')}`;
      return { ask: { method: 'GET', path }, expect: { status: 200, bytes: text } };
    },
  },
  ...['HEAD', 'GET', 'DELETE'].map((method): Case => ({
    title: `${method} of an unknown blob is 404`,
    async act() {
      return await Promise.resolve({
        ask: { method, path: `/v2/${someName()}/blobs/${unknownDigest}` },
        expect: unknown,
      });
    },
  })),
  {
    title: 'a blob of another repository is unknown',
    async act({ client }) {
      const digest = await client.pushBlob(someName(), randomBytes(20));
      return { ask: { method: 'GET', path: `/v2/${someName()}/blobs/${digest}` }, expect: unknown };
    },
  },
  onBlob('DELETE removes a blob from its repository', 'DELETE', {}, () => ({ status: 202 })),
  {
    title: 'DELETE removes a blob',
    async act(bench) {
      return { ask: { method: 'GET', path: await deletedBlob(bench, 'deleted') }, expect: unknown };
    },
  },
  {
    title: 'keeps a blob that was deleted in another repository',
    async act(bench) {
      return {
        ask: { method: 'GET', path: await deletedBlob(bench, 'other') },
        expect: { status: 200, bytes: text },
      };
    },
  },
  ...['sha256:abc', `sha256:${'A'.repeat(64)}`, `md5:${'a'.repeat(32)}`, 'latest', '..'].map(
    (digest): Case => ({
      title: `refuses ${JSON.stringify(digest)} as a digest`,
      async act() {
        return await Promise.resolve({
          ask: { method: 'GET', path: `/v2/${someName()}/blobs/${digest}` },
          expect: { status: 400, errors: ['DIGEST_INVALID'] },
        });
      },
    }),
  ),
  ...conditions.map(([headers, holds]): Case => ({
    title: `DELETE ${holds ? 'removes' : 'keeps'} a blob on the condition ${JSON.stringify(headers)}`,
    async act({ client }) {
      const name = someName();
      const digest = await client.pushBlob(name, text);
      const path = `/v2/${name}/blobs/${digest}`;
      await client.must(holds ? 202 : 412, { method: 'DELETE', path, headers: conditionOn(digest, headers) });
      return { ask: { method: 'GET', path }, expect: holds ? unknown : { status: 200, bytes: text } };
    },
  })),
  ...['GET', 'HEAD'].flatMap((method) =>
    readConditions.map(([headers, holds]) =>
      onBlob(
        `${method} is answered with ${holds ? 'the blob' : '412'} on the condition ${JSON.stringify(headers)}`,
        method,
        conditionOn(digestOf(text), headers),
        () => (holds ? { status: 200, ...(method === 'GET' && { bytes: text }) } : { status: 412 }),
      ),
    ),
  ),
  {
    title: 'DELETE of an unknown blob is 404 on any condition',
    async act() {
      const path = `/v2/${someName()}/blobs/${unknownDigest}`;
      return await Promise.resolve({
        ask: { method: 'DELETE', path, headers: { 'if-match': '"other"' } },
        expect: unknown,
      });
    },
  },
  onBlob('refuses other methods and names those it takes', 'PUT', {}, () => ({
    status: 405,
    headers: { allow: 'GET, HEAD, DELETE' },
    errors: ['UNSUPPORTED'],
  })),
];
