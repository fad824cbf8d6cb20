import { existsSync } from 'node:fs';
import type { Settings } from './settings.ts';
import { isImage, type Environment } from './variables.ts';

/** What holds where no setting says otherwise. */
export interface Defaults {
  readonly address: { readonly host: string; readonly port: number };
  /** Of images in a folder; relative to the current one. */
  readonly rootDirectory: string;
}

/**
 * The image takes the command line of the original's image, with its port and its volume. These are no settings in its
 * Dockerfile, since they would override the configuration file.
 */
export function defaultsOf({ inImage }: Pick<Settings, 'inImage'>): Defaults {
  return inImage
    ? { address: { host: '::', port: 5000 }, rootDirectory: '/var/lib/registry' }
    : { address: { host: '127.0.0.1', port: 5000 }, rootDirectory: '.registry' };
}

/** Where users of distribution's images mount their own: of the original and version 2, and of version 3. */
const filesOfImage = ['/etc/docker/registry/config.yml', '/etc/distribution/config.yml'];

/** The configuration file where none is named. */
export function defaultFile(environment: Environment): string | undefined {
  return isImage(environment) ? filesOfImage.find((file) => existsSync(file)) : undefined;
}
