/**
 * Images made of random bytes, so that no registry has seen them before, written as OCI image layouts
 * (https://github.com/opencontainers/image-spec/blob/main/image-layout.md).
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

export const IMAGE_TYPE = 'application/vnd.oci.image.manifest.v1+json';
export const INDEX_TYPE = 'application/vnd.oci.image.index.v1+json';
const CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json';
const LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar+gzip';

/** Names content by type, digest and size in bytes. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly platform?: { readonly os: string; readonly architecture: string };
  readonly annotations?: Record<string, string>;
}

/** A layout in a folder, with one image or one index under the tag `TAG`. */
export interface Layout {
  readonly folder: string;
  /** Of the image's manifest, or of the index. */
  readonly digest: string;
}

/** The tag of what a layout holds. */
export const TAG = 'image';

/** Writes a layout of one image, with a layer of about each of the sizes given, in bytes. */
export async function writeImage(folder: string, layerSizes: readonly number[]): Promise<Layout> {
  const image = await writeManifest(folder, layerSizes, 'amd64');
  return await writeLayout(folder, image);
}

/** Writes a layout of an index with an image of two small layers for each architecture. */
export async function writeIndex(folder: string, architectures: readonly string[]): Promise<Layout> {
  const manifests: Descriptor[] = [];
  for (const architecture of architectures) {
    const image = await writeManifest(folder, [1000, 50_000], architecture);
    manifests.push({ ...image, platform: { os: 'linux', architecture } });
  }
  const index = { schemaVersion: 2, mediaType: INDEX_TYPE, manifests };
  return await writeLayout(folder, await writeBlob(folder, INDEX_TYPE, json(index)));
}

async function writeManifest(
  folder: string,
  layerSizes: readonly number[],
  architecture: string,
): Promise<Descriptor> {
  const tars = layerSizes.map((size, index) => tar([{ name: `file-${index}`, content: randomBytes(size) }]));
  const rootfs = { type: 'layers', diff_ids: tars.map(digestOf) };
  const config = await writeBlob(
    folder,
    CONFIG_TYPE,
    json({ architecture, os: 'linux', config: {}, rootfs }),
  );
  const layers: Descriptor[] = [];
  for (const content of tars) {
    layers.push(await writeBlob(folder, LAYER_TYPE, gzipSync(content, { level: 1 })));
  }
  const manifest = { schemaVersion: 2, mediaType: IMAGE_TYPE, config, layers };
  return await writeBlob(folder, IMAGE_TYPE, json(manifest));
}

async function writeLayout(folder: string, top: Descriptor): Promise<Layout> {
  const annotations = { 'org.opencontainers.image.ref.name': TAG };
  const index = { schemaVersion: 2, mediaType: INDEX_TYPE, manifests: [{ ...top, annotations }] };
  await writeFile(join(folder, 'oci-layout'), json({ imageLayoutVersion: '1.0.0' }));
  await writeFile(join(folder, 'index.json'), json(index));
  return { folder, digest: top.digest };
}

async function writeBlob(folder: string, mediaType: string, content: Buffer): Promise<Descriptor> {
  const digest = digestOf(content);
  await mkdir(join(folder, 'blobs/sha256'), { recursive: true });
  await writeFile(join(folder, 'blobs', digest.replace(':', '/')), content);
  return { mediaType, digest, size: content.length };
}

/** The digests of a layout's blobs, in order. Throws if one does not hold the bytes it is named by. */
export async function readBlobs(folder: string): Promise<string[]> {
  const names = await readdir(join(folder, 'blobs/sha256'));
  for (const name of names) {
    const digest = digestOf(await readFile(join(folder, 'blobs/sha256', name)));
    if (digest !== `sha256:${name}`) throw new Error(`sha256:${name} has the bytes of ${digest}`);
  }
  return names.map((name) => `sha256:${name}`).sort();
}

/** A layout as one tar file, for clients that read no folders. */
export async function archive(folder: string): Promise<Buffer> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const read = async (file: string) => ({
    name: file.slice(folder.length + 1),
    content: await readFile(file),
  });
  return tar(await Promise.all(files.map(read)));
}

/** A tar file (ustar) of plain files; names of up to 100 bytes. */
export function tar(files: readonly { name: string; content: Buffer }[]): Buffer {
  const blocks = files.flatMap(({ name, content }) => [
    tarHeader(name, content.length),
    content,
    Buffer.alloc(-content.length & 511),
  ]);
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

/** See "ustar Interchange Format" of POSIX pax: mode, owner, group, size, time, checksum, type, magic. */
function tarHeader(name: string, size: number): Buffer {
  const header = Buffer.alloc(512);
  const octal = (value: number, digits: number) => `${value.toString(8).padStart(digits, '0')}\0`;
  header.write(name, 0);
  header.write(octal(0o644, 7) + octal(0, 7) + octal(0, 7) + octal(size, 11) + octal(0, 11), 100);
  header.write(`${' '.repeat(8)}0`, 148);
  header.write('ustar\x0000', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${octal(sum, 6)} `, 148);
  return header;
}

export function digestOf(content: Buffer): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`;
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
