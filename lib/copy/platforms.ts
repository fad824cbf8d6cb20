import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import type { Digest } from '../protocol/digests.ts';
import { readNeeds } from '../protocol/manifest-needs.ts';
import type { BlobInfo } from '../registry/interface.ts';
import { maxConfigSize, platformOfConfig } from '../registry/manifests/config-platform.ts';

/** A platform as it is written: `linux/amd64`, or `linux/arm/v7`. Without a variant, any. */
export interface WantedPlatform {
  readonly text: string;
  readonly os: string;
  readonly architecture: string;
  readonly variant: string | undefined;
}

/** @returns undefined if the text is none */
export function parsePlatform(text: string): WantedPlatform | undefined {
  const [, os, architecture, variant] = /^([a-z0-9]+)\/([a-z0-9_]+)(?:\/([a-z0-9.]+))?$/.exec(text) ?? [];
  if (os === undefined || architecture === undefined) return undefined;
  return { text, os, architecture, variant };
}

/**
 * The entries of an index for platforms, in the order of those.
 * @param bytes of an index that was validated
 * @returns undefined in place of a platform that it does not have
 */
export function entriesFor(
  bytes: Uint8Array,
  platforms: readonly WantedPlatform[],
): readonly (Digest | undefined)[] {
  const { manifests } = JSON.parse(Buffer.from(bytes).toString()) as {
    readonly manifests: readonly {
      readonly digest: Digest;
      readonly platform?: {
        readonly os?: string;
        readonly architecture?: string;
        readonly variant?: string;
      } | null;
    }[];
  };
  return platforms.map(
    ({ os, architecture, variant }) =>
      manifests.find(
        ({ platform }) =>
          platform?.os === os &&
          platform.architecture === architecture &&
          (variant === undefined || platform.variant === variant),
      )?.digest,
  );
}

/** Whether an image for one platform is what is wanted. */
export function isFor(wanted: WantedPlatform, { os, architecture, variant }: WantedPlatform): boolean {
  const isVariant = wanted.variant === undefined || wanted.variant === variant;
  return wanted.os === os && wanted.architecture === architecture && isVariant;
}

/**
 * The platform of an image, as its config says.
 * @param bytes of its manifest
 * @param open opens the config
 * @returns undefined if it says none, as that of an artifact
 */
export async function platformOf(
  bytes: Uint8Array,
  open: (config: BlobInfo) => Promise<Readable | Buffer>,
): Promise<WantedPlatform | undefined> {
  const [config] = readNeeds(bytes).blobs;
  if (config?.size === undefined || config.size > maxConfigSize) return undefined;
  const body = await open({ digest: config.digest, size: config.size });
  const platform = platformOfConfig(Buffer.isBuffer(body) ? body : await buffer(body));
  if (platform === undefined) return undefined;
  const { os, architecture, variant } = platform;
  const text = [os, architecture, ...(variant === undefined ? [] : [variant])].join('/');
  return { text, ...platform };
}
