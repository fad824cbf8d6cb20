import type { Digest } from '../protocol/digests.ts';

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
