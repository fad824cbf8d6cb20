/** Manifests as tests write them. */
import assert from 'node:assert/strict';
import { parseManifest } from '../../lib/protocol/manifests.ts';

export const types = {
  dockerImage: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  ociImage: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
};

export const digestOf = (number: number): string => `sha256:${number.toString(16).padStart(64, '0')}`;

export const blob = (number: number, more: object = {}) => ({
  mediaType: 'application/octet-stream',
  digest: digestOf(number),
  size: number,
  ...more,
});

export type Json = Readonly<Record<string, unknown>>;

export const image = (more: Json = {}): Json => ({
  schemaVersion: 2,
  mediaType: types.ociImage,
  config: blob(1),
  layers: [blob(2), blob(3)],
  ...more,
});

export const index = (more: Json = {}): Json => ({
  schemaVersion: 2,
  mediaType: types.ociIndex,
  manifests: [blob(4, { platform: { os: 'linux', architecture: 'arm64' } }), blob(5)],
  ...more,
});

export const without = (document: Json, ...fields: string[]): Json =>
  Object.fromEntries(Object.entries(document).filter(([name]) => !fields.includes(name)));

export const bytesOf = (document: unknown): Buffer => Buffer.from(JSON.stringify(document));

export const parse = (document: unknown, contentType?: string) =>
  parseManifest(bytesOf(document), contentType);

export const nonDistributable = 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip';

export const refused = (act: () => unknown, message: RegExp) => {
  assert.throws(act, { failure: 'MANIFEST_INVALID', status: 400, message });
};
