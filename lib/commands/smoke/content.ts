import { createCipheriv, createHash } from 'node:crypto';

/** A blob to push. */
export interface Blob {
  readonly bytes: Buffer;
  readonly digest: string;
}

export const manifestType = 'application/vnd.oci.image.manifest.v1+json';

/**
 * Bytes that nothing may take for text: all values, and the beginning of a gzip file. They are the same in each run, so that
 * repeated runs take the room of one.
 * @param seed makes it another blob
 */
export function blobOf(seed: string, size: number): Blob {
  const key = createHash('sha256').update(`stowage smoke ${seed}`).digest();
  const random = createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(size));
  const bytes = Buffer.concat([
    Buffer.from([0x1f, 0x8b, 0x08, 0x00, 0x0d, 0x0a, 0xff, 0xfe]),
    random,
  ]).subarray(0, size);
  return { bytes, digest: digestOf(bytes) };
}

export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** @param run makes the manifest that of one run, which removes it */
export function manifestOf(config: Blob, layers: readonly Blob[], run: string): Blob {
  const descriptor = ({ bytes, digest }: Blob, mediaType: string) => ({
    mediaType,
    digest,
    size: bytes.length,
  });
  const manifest = {
    schemaVersion: 2,
    mediaType: manifestType,
    artifactType: 'application/vnd.stowage.smoke',
    config: descriptor(config, 'application/vnd.stowage.smoke.config'),
    layers: layers.map((layer) => descriptor(layer, 'application/octet-stream')),
    annotations: { 'stowage.smoke.run': run },
  };
  const bytes = Buffer.from(`${JSON.stringify(manifest, undefined, 3)}\n`);
  return { bytes, digest: digestOf(bytes) };
}
