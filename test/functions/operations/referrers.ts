import { randomBytes } from 'node:crypto';
import { descriptor, digestOf, imageType, indexType, manifest, someName, type Client } from '../client.ts';
import type { Case, Expectation } from './case.ts';

const sbom = 'application/vnd.example.sbom.v1';
const configType = 'application/vnd.example.config.v1+json';

interface Pushed {
  readonly digest: string;
  readonly listed: Readonly<Record<string, unknown>>;
}

/** Pushes a manifest about another one. @returns it, as the spec says that it is listed */
async function pushReferrer(
  client: Client,
  name: string,
  subject: Record<string, unknown>,
  fields: Readonly<Record<string, unknown>> = {},
): Promise<Pushed> {
  const isIndex = 'manifests' in fields;
  const config = randomBytes(12);
  if (!isIndex) await client.pushBlob(name, config);
  const image = isIndex ? {} : { config: descriptor(config, configType), layers: [] };
  const mediaType = isIndex ? indexType : imageType;
  const bytes = manifest({ ...image, ...fields, subject }, mediaType);
  const digest = digestOf(bytes);
  await client.pushManifest(name, digest, bytes, mediaType);
  const { artifactType = isIndex ? undefined : configType, annotations } = fields;
  const listed = {
    mediaType,
    digest,
    size: bytes.byteLength,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations }),
  };
  return { digest, listed };
}

function lists(referrers: readonly Pushed[], headers: Expectation['headers'] = {}): Expectation {
  const manifests = referrers.toSorted((a, b) => (a.digest < b.digest ? -1 : 1)).map(({ listed }) => listed);
  return {
    status: 200,
    headers: { 'content-type': indexType, link: undefined, 'oci-filters-applied': undefined, ...headers },
    json: { schemaVersion: 2, mediaType: indexType, manifests },
  };
}

/** Asks for the referrers of an image, once a case's own steps have pushed some. */
function onSubject(
  title: string,
  act: (
    client: Client,
    name: string,
    subject: Record<string, unknown>,
  ) => Promise<{ readonly query?: string; readonly expect: Expectation }>,
): Case {
  return {
    title,
    async act({ client }) {
      const name = someName();
      const { bytes, digest } = await client.pushImage(name, 'v1');
      const { query = '', expect } = await act(client, name, descriptor(bytes, imageType));
      return { ask: { method: 'GET', path: `/v2/${name}/referrers/${digest}${query}` }, expect };
    },
  };
}

const annotations = { 'org.example.a': 'b', __proto__x: '"quoted"' };

/** end-12a, end-12b */
export const referrerCases: readonly Case[] = [
  onSubject(
    'GET lists nothing where there are none',
    async () => await Promise.resolve({ expect: lists([]) }),
  ),
  onSubject(
    'GET lists images and indexes with their types and annotations',
    async (client, name, subject) => {
      const referrers = [
        await pushReferrer(client, name, subject),
        await pushReferrer(client, name, subject, { artifactType: sbom, annotations }),
        await pushReferrer(client, name, subject, { artifactType: '', annotations: { '': '' } }),
        await pushReferrer(client, name, subject, { manifests: [] }),
        await pushReferrer(client, name, subject, { manifests: [], artifactType: sbom, annotations }),
      ].map((one) => (one.listed['artifactType'] === '' ? withType(one, configType) : one));
      return { expect: lists(referrers) };
    },
  ),
  onSubject('GET lists none of another subject', async (client, name) => {
    await pushReferrer(client, name, descriptor(randomBytes(5), imageType));
    return { expect: lists([]) };
  }),
  onSubject('GET lists those of a type alone, and says so', async (client, name, subject) => {
    await pushReferrer(client, name, subject);
    const wanted = await pushReferrer(client, name, subject, { artifactType: sbom });
    const headers = { 'oci-filters-applied': 'artifactType' };
    return { query: `?artifactType=${encodeURIComponent(sbom)}`, expect: lists([wanted], headers) };
  }),
  onSubject('GET finds an image by the type of its config', async (client, name, subject) => {
    const wanted = await pushReferrer(client, name, subject);
    const headers = { 'oci-filters-applied': 'artifactType' };
    return { query: `?artifactType=${encodeURIComponent(configType)}`, expect: lists([wanted], headers) };
  }),
  onSubject('GET lists nothing of a type that none has, and says so', async (client, name, subject) => {
    await pushReferrer(client, name, subject);
    return { query: '?artifactType=a/b', expect: lists([], { 'oci-filters-applied': 'artifactType' }) };
  }),
  onSubject('GET takes an empty type for none', async (client, name, subject) => {
    const one = await pushReferrer(client, name, subject);
    return { query: '?artifactType=', expect: lists([one]) };
  }),
  onSubject('GET lists a page, and where the next one is', async (client, name, subject) => {
    const [first, second] = [
      await pushReferrer(client, name, subject),
      await pushReferrer(client, name, subject),
    ];
    const earlier = first.digest < second.digest ? first : second;
    const path = `/v2/${name}/referrers/${String(subject['digest'])}`;
    const last = encodeURIComponent(earlier.digest);
    const link = `<${path}?artifactType=${encodeURIComponent(configType)}&last=${last}&n=1>; rel="next"`;
    const expect = lists([earlier], { link, 'oci-filters-applied': 'artifactType' });
    return { query: `?n=1&artifactType=${encodeURIComponent(configType)}`, expect };
  }),
  onSubject('GET lists the page after another', async (client, name, subject) => {
    const [first, second] = [
      await pushReferrer(client, name, subject),
      await pushReferrer(client, name, subject),
    ];
    const [earlier, later] = first.digest < second.digest ? [first, second] : [second, first];
    return { query: `?n=1&last=${earlier.digest}`, expect: lists([later]) };
  }),
  onSubject('GET lists nothing on a page of none', async (client, name, subject) => {
    await pushReferrer(client, name, subject);
    return { query: '?n=0', expect: lists([]) };
  }),
  onSubject('GET lists no deleted one', async (client, name, subject) => {
    const kept = await pushReferrer(client, name, subject);
    const { digest } = await pushReferrer(client, name, subject);
    await client.must(202, { method: 'DELETE', path: `/v2/${name}/manifests/${digest}` });
    return { expect: lists([kept]) };
  }),
  onSubject('GET lists those of a subject that was deleted', async (client, name, subject) => {
    const kept = await pushReferrer(client, name, subject);
    await client.must(202, { method: 'DELETE', path: `/v2/${name}/manifests/${String(subject['digest'])}` });
    return { expect: lists([kept]) };
  }),
  ...['sha256', 'sha512'].map((algorithm): Case => ({
    title: `GET lists those of a subject that is not there, by its ${algorithm}`,
    async act({ client }) {
      const name = someName();
      const absent = randomBytes(9);
      const digest = digestOf(absent, algorithm as 'sha256');
      const referrer = await pushReferrer(client, name, { ...descriptor(absent, imageType), digest });
      return { ask: { method: 'GET', path: `/v2/${name}/referrers/${digest}` }, expect: lists([referrer]) };
    },
  })),
  {
    // oras asks so whether there is such an endpoint: 404 would say that there is none.
    title: 'GET lists no referrers in an unknown repository',
    async act() {
      const path = `/v2/${someName()}/referrers/sha256:${'0'.repeat(64)}`;
      return await Promise.resolve({ ask: { method: 'GET', path }, expect: lists([]) });
    },
  },
  {
    title: 'a query for referrers creates no repository',
    async act({ client }) {
      const name = someName();
      await client.must(200, { method: 'GET', path: `/v2/${name}/referrers/sha256:${'0'.repeat(64)}` });
      const expect = { status: 404, errors: ['NAME_UNKNOWN'] };
      return { ask: { method: 'GET', path: `/v2/${name}/tags/list` }, expect };
    },
  },
  ...[
    ['no digest', 'v1', 'DIGEST_INVALID'],
    ['a digest of another algorithm', `sha384:${'a'.repeat(96)}`, 'DIGEST_INVALID'],
    ['a page after what is no digest', `sha256:${'0'.repeat(64)}?last=v1`, 'DIGEST_INVALID'],
    ['a page of no number', `sha256:${'0'.repeat(64)}?n=x`, 'PAGINATION_NUMBER_INVALID'],
    ['two types', `sha256:${'0'.repeat(64)}?artifactType=a&artifactType=b`, 'UNSUPPORTED'],
  ].map(([what = '', rest = '', code = '']): Case => ({
    title: `GET refuses ${what}`,
    act: async () =>
      await Promise.resolve({
        ask: { method: 'GET', path: `/v2/${someName()}/referrers/${rest}` },
        expect: { status: 400, errors: [code] },
      }),
  })),
  {
    title: 'PUT is refused',
    act: async () =>
      await Promise.resolve({
        ask: { method: 'PUT', path: `/v2/${someName()}/referrers/sha256:${'0'.repeat(64)}` },
        expect: { status: 405, headers: { allow: 'GET, HEAD' }, errors: ['UNSUPPORTED'] },
      }),
  },
];

function withType({ digest, listed }: Pushed, artifactType: string): Pushed {
  return { digest, listed: { ...listed, artifactType } };
}
