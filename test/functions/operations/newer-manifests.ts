import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { descriptor, digestOf, imageType, indexType, manifest, someName } from '../client.ts';
import type { Case } from './case.ts';
import { created, onImage, parts, push, unknown } from './manifest-steps.ts';

/** end-7b */
const tagging: readonly Case[] = [
  push('PUT by digest moves the tags that it names', async (client, name) => {
    const bytes = manifest(await parts(client, name));
    const { headers, ...expect } = created(bytes);
    const named = Array.from({ length: 10 }, (_, i) => `tag=v${i}`).join('&');
    return {
      bytes,
      type: imageType,
      reference: `${digestOf(bytes)}?${named}&tag=v0`,
      expect: { ...expect, headers: { ...headers, 'oci-tag': 'v0, v1, v2, v3, v4, v5, v6, v7, v8, v9' } },
    };
  }),
  ...['v1', 'latest'].map((tag) =>
    onImage(`has each tag of a push by digest, such as ${tag}`, async ({ client, name }) => {
      const bytes = manifest(await parts(client, name));
      await client.pushManifest(name, `${digestOf(bytes)}?tag=v1&tag=latest`, bytes);
      return { method: 'GET', reference: tag, expect: { status: 200, bytes } };
    }),
  ),
  ...(['GET', 'HEAD'] as const).map((method) =>
    onImage(`${method} by a tag tells the SHA-512 that it was pushed by`, async ({ client, name, bytes }) => {
      const digest = digestOf(bytes, 'sha512');
      await client.pushManifest(name, `${digest}?tag=v1`, bytes);
      const found = { status: 200, headers: { 'docker-content-digest': digest } };
      return { method, reference: 'v1', expect: method === 'GET' ? { ...found, bytes } : found };
    }),
  ),
  onImage('GET sends a manifest by its SHA-512', async ({ client, name, bytes }) => {
    const digest = digestOf(bytes, 'sha512');
    await client.pushManifest(name, digest, bytes);
    return { method: 'GET', reference: digest, expect: { status: 200, bytes } };
  }),
  onImage(
    'has no SHA-512 of what was pushed without one',
    async ({ bytes }) =>
      await Promise.resolve({ method: 'GET', reference: digestOf(bytes, 'sha512'), expect: unknown }),
  ),
  push('PUT refuses another SHA-512 than that of the bytes', async (client, name) => ({
    bytes: manifest(await parts(client, name)),
    type: imageType,
    reference: digestOf(Buffer.from('other'), 'sha512'),
    expect: { status: 400, errors: ['DIGEST_INVALID'] },
  })),
  push('PUT refuses a tag out of grammar beside a digest, and stores nothing', async (client, name) => {
    const bytes = manifest(await parts(client, name));
    const expect = { status: 400, errors: ['TAG_INVALID'] };
    return { bytes, type: imageType, reference: `${digestOf(bytes)}?tag=good&tag=-bad`, expect };
  }),
  push('PUT refuses 51 tags with 414', async (client, name) => {
    const bytes = manifest(await parts(client, name));
    const tags = Array.from({ length: 51 }, (_, i) => `tag=v${i}`).join('&');
    const expect = { status: 414, errors: ['TAG_INVALID'] };
    return { bytes, type: imageType, reference: `${digestOf(bytes)}?${tags}`, expect };
  }),
  push('PUT by a tag takes no others', async (client, name) => ({
    bytes: manifest(await parts(client, name)),
    type: imageType,
    reference: 'v1?tag=v2',
    expect: { status: 400, errors: ['UNSUPPORTED'] },
  })),
  ...[imageType, indexType].map((type) =>
    push(`PUT says that it has seen the subject of a manifest of type ${type}`, async (client, name) => {
      const subject = descriptor(randomBytes(9), imageType);
      const rest = type === imageType ? await parts(client, name) : { manifests: [] };
      const bytes = manifest({ ...rest, subject }, type);
      const headers = { 'oci-subject': String(subject['digest']) };
      return { bytes, type, expect: { status: 201, headers } };
    }),
  ),
  push('PUT of a manifest without a subject says nothing of one', async (client, name) => ({
    bytes: manifest(await parts(client, name)),
    type: imageType,
    expect: { status: 201, headers: { 'oci-subject': undefined, 'oci-tag': undefined } },
  })),
];

/** RFC 9110, section 13 */
const conditional: readonly Case[] = [
  ...['GET', 'HEAD'].flatMap((method) =>
    (['v1', 'digest'] as const).map((by) =>
      onImage(
        `${method} by ${by} is 304 for who has the manifest`,
        async ({ digest }) =>
          await Promise.resolve({
            method,
            reference: by === 'v1' ? 'v1' : digest,
            headers: { 'if-none-match': `"other", W/"${digest}"` },
            expect: { status: 304, headers: { etag: `"${digest}"`, 'docker-content-digest': digest } },
          }),
      ),
    ),
  ),
  onImage(
    'GET sends a manifest to who has another',
    async ({ digest, bytes }) =>
      await Promise.resolve({
        method: 'GET',
        reference: 'v1',
        headers: { 'if-none-match': '"other"' },
        expect: { status: 200, headers: { etag: `"${digest}"` }, bytes },
      }),
  ),
  onImage(
    'GET of an unknown tag is 404 for who has any',
    async () =>
      await Promise.resolve({
        method: 'GET',
        reference: 'v2',
        headers: { 'if-none-match': '*' },
        expect: unknown,
      }),
  ),
  ...(
    [
      ['If-None-Match: * where the tag is there', 'v1', { 'if-none-match': '*' }, 412],
      ['If-None-Match: * where it is not', 'new', { 'if-none-match': '*' }, 201],
      ['If-Match with what the tag points at', 'v1', { 'if-match': 'digest' }, 201],
      ['If-Match with something else', 'v1', { 'if-match': '"other"' }, 412],
      ['If-Match with a weak tag, which matches nothing', 'v1', { 'if-match': 'weak' }, 412],
      ['If-Match: * where the tag is not there', 'new', { 'if-match': '*' }, 412],
      ['If-Match: * where it is', 'v1', { 'if-match': '*' }, 201],
      ['If-None-Match with something else', 'v1', { 'if-none-match': '"other"' }, 201],
    ] as const
  ).map(([what, reference, conditions, status]): Case => ({
    title: `PUT is ${status} for ${what}`,
    async act({ client }) {
      const name = someName();
      const { digest, bytes: old } = await client.pushImage(name, 'v1');
      const bytes = manifest(await parts(client, name));
      const tags: Readonly<Record<string, string>> = { digest: `"${digest}"`, weak: `W/"${digest}"` };
      const asked = Object.entries<string>(conditions).map(
        ([header, tag]) => [header, tags[tag] ?? tag] as const,
      );
      const path = `/v2/${name}/manifests/${reference}`;
      const headers = { 'content-type': imageType, ...Object.fromEntries<string>(asked) };
      const { body } = await client.must(status, { method: 'PUT', path, headers, body: bytes });
      if (status === 412) assert.match(body.toString(), /"code":"DENIED".*If-Match/);
      // What was refused has changed nothing.
      const there = status === 201 ? bytes : reference === 'v1' ? old : undefined;
      return {
        ask: { method: 'GET', path },
        expect: there === undefined ? unknown : { status: 200, bytes: there },
      };
    },
  })),
];

/** What OCI Distribution 1.1 and HTTP's conditions add. */
export const newerManifestCases: readonly Case[] = [...tagging, ...conditional];
