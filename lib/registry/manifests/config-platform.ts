import { fieldsOf } from '../json-fields.ts';

/** Bytes of a config that is read to learn its platform. The largest known have some hundred kilobytes. */
export const maxConfigSize = 4 * 1024 * 1024;

export interface ConfigPlatform {
  readonly os: string;
  readonly architecture: string;
  readonly variant: string | undefined;
}

/** The platform that the config of an image names; undefined if it names none, as that of an artifact. */
export function platformOfConfig(config: Buffer): ConfigPlatform | undefined {
  const { os, architecture, variant } = fieldsOf(config) ?? {};
  if (typeof os !== 'string' || typeof architecture !== 'string') return undefined;
  return { os, architecture, variant: typeof variant === 'string' && variant !== '' ? variant : undefined };
}
