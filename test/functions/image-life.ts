import { randomBytes } from 'node:crypto';
import type { Client } from './client.ts';
import { descriptor, digestOf, imageType, manifest, someName, withDigest } from './client.ts';

/** A step in the life of an image, whose requests to the bucket are counted. */
interface LifeStep {
  readonly title: string;
  /** Its requests to the registry, in a row. */
  readonly act: (client: Client) => Promise<unknown>;
  /** Is not counted. */
  readonly isPreparation?: boolean;
}

/**
 * What becomes of a small image: pushed as docker does, read, mounted, tagged, listed and deleted. On any registry.
 * @param mounted statuses of a mount: with 202 a registry begins an upload instead
 */
export function lifeOfImage(mounted: readonly number[] = [201]): readonly LifeStep[] {
  const [name, other] = [someName(), someName()];
  const blobs = [randomBytes(40), randomBytes(900), randomBytes(1000)] as const;
  const [config, ...layers] = blobs;
  const layer = digestOf(layers[1]);
  const bytes = manifest({
    config: descriptor(config, 'application/vnd.oci.image.config.v1+json'),
    layers: layers.map((one) => descriptor(one, 'application/vnd.oci.image.layer.v1.tar+gzip')),
  });
  const tag = async (client: Client, reference: string) => {
    await client.pushManifest(name, reference, bytes);
  };
  const read = (method: string, path: string) => async (client: Client) => {
    const reply = await client.send({ method, path: `/v2/${path}`, headers: { accept: imageType } });
    // A blob may be in the bucket.
    if (![200, 307].includes(reply.status)) throw new Error(`${method} ${path} answered ${reply.status}`);
  };
  return [
    ...blobs.flatMap((blob, i) => pushSteps(name, blob, `blob ${i + 1}`)),
    {
      title: 'PUT of a manifest by tag',
      act: async (client) => {
        await tag(client, 'v0');
      },
    },
    { title: 'HEAD of a manifest by tag', act: read('HEAD', `${name}/manifests/v0`) },
    { title: 'GET of a manifest by tag', act: read('GET', `${name}/manifests/v0`) },
    { title: 'HEAD of a blob', act: read('HEAD', `${name}/blobs/${layer}`) },
    { title: 'GET of a blob', act: read('GET', `${name}/blobs/${layer}`) },
    {
      title: 'mount of a blob',
      act: async (client) => {
        const path = `/v2/${other}/blobs/uploads/?mount=${layer}&from=${name}`;
        const { status } = await client.send({ method: 'POST', path });
        if (!mounted.includes(status)) throw new Error(`POST ${path} answered ${status}`);
      },
    },
    {
      title: 'PUT by ten other tags',
      isPreparation: true,
      act: async (client) => {
        for (let i = 1; i < 11; i++) await tag(client, `v${i}`);
      },
    },
    { title: 'list of 11 tags', act: read('GET', `${name}/tags/list`) },
    { title: 'page of the catalog', act: read('GET', '_catalog') },
    {
      title: 'DELETE of a manifest with 11 tags',
      act: async (client) =>
        await client.must(202, { method: 'DELETE', path: `/v2/${name}/manifests/${digestOf(bytes)}` }),
    },
  ];
}

/** As docker pushes a blob. */
export function pushSteps(name: string, bytes: Buffer, what: string): LifeStep[] {
  let location = '';
  return [
    {
      title: `HEAD of ${what}, which is missing`,
      act: async (client) =>
        await client.must(404, { method: 'HEAD', path: `/v2/${name}/blobs/${digestOf(bytes)}` }),
    },
    {
      title: `POST of ${what}`,
      act: async (client) => {
        location = await client.startUpload(name);
      },
    },
    {
      title: `PATCH of ${what}`,
      act: async (client) => {
        location = client.location(
          await client.must(202, { method: 'PATCH', path: location, body: bytes, chunked: true }),
        );
      },
    },
    {
      title: `PUT of ${what}`,
      act: async (client) =>
        await client.must(201, { method: 'PUT', path: withDigest(location, digestOf(bytes)) }),
    },
  ];
}
