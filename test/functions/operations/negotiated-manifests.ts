import {
  descriptor,
  digestOf,
  dockerImageType,
  dockerListType,
  imageType,
  manifest,
  someName,
} from '../client.ts';
import type { Case } from './case.ts';
import { onImage, parts } from './manifest-steps.ts';

/** content-negotiation.md of the spec: clients without any notion of platforms, and those with. */
const negotiated: readonly Case[] = (
  [
    ['to who takes images alone', dockerImageType, 'amd64'],
    ['to who takes images alone, on several lines', [dockerImageType, 'text/plain'], 'amd64'],
    ['to who takes lists as well', `${dockerImageType}, ${dockerListType}`, 'list'],
    ['to who takes images rather than lists', `${dockerImageType}, ${dockerListType};q=0.1`, 'list'],
    ['to who takes no lists', `${dockerImageType}, ${dockerListType};q=0`, 'amd64'],
    ['to who takes anything', '*/*', 'list'],
    ['to who says nothing', undefined, 'list'],
    ['to who takes images of another kind alone', imageType, 'list'],
  ] as const
).flatMap(([what, accept, which]) =>
  (['GET', 'HEAD', 'GET by digest'] as const).map((how): Case => {
    const given = how === 'GET by digest' ? 'list' : which;
    return {
      title: `${how} gives ${given === 'list' ? 'a list' : 'its image for linux/amd64'} ${what}`,
      async act({ client }) {
        const name = someName();
        const images: { bytes: Buffer; platform: Record<string, string> }[] = [];
        for (const architecture of ['arm64', 'amd64']) {
          const bytes = manifest(await parts(client, name), dockerImageType);
          await client.pushManifest(name, digestOf(bytes), bytes, dockerImageType);
          images.push({ bytes, platform: { os: 'linux', architecture } });
        }
        const manifests = images.map(({ bytes, platform }) => ({
          ...descriptor(bytes, dockerImageType),
          platform,
        }));
        const list = manifest({ manifests }, dockerListType);
        await client.pushManifest(name, 'v1', list, dockerListType);
        const [bytes, type] =
          given === 'list' ? [list, dockerListType] : [images[1]?.bytes ?? list, dockerImageType];
        const [method = ''] = how.split(' ');
        const reference = how === 'GET by digest' ? digestOf(list) : 'v1';
        const headers = accept === undefined ? {} : { accept };
        const described = {
          'content-type': type,
          'docker-content-digest': digestOf(bytes),
          'content-length': String(bytes.byteLength),
          vary: reference === 'v1' ? 'Accept' : undefined,
        };
        return {
          ask: { method, path: `/v2/${name}/manifests/${reference}`, headers },
          expect: { status: 200, headers: described, ...(method === 'GET' ? { bytes } : {}) },
        };
      },
    };
  }),
);

/** "Registry Proxying": a client may name the host of the repository. */
const namespaces: readonly Case[] = (
  [
    ['docker.io', 'docker.io'],
    ['localhost:5000', 'localhost:5000'],
    ['[2001:db8::1]:443', '[2001:db8::1]:443'],
    ['a b', undefined],
    ['a\r\nx: y', undefined],
    ['', undefined],
  ] as const
).map(([ns, told]) =>
  onImage(
    `GET ${told === undefined ? 'passes over' : 'repeats'} the namespace ${JSON.stringify(ns)}`,
    async ({ bytes }) =>
      await Promise.resolve({
        method: 'GET',
        reference: `v1?ns=${encodeURIComponent(ns)}`,
        expect: { status: 200, headers: { 'oci-namespace': told }, bytes },
      }),
  ),
);

/** What depends on the request alone, and is the same on every store. */
export const wireCases: readonly Case[] = [...negotiated, ...namespaces];
