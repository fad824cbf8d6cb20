import { resolve } from 'node:path';

/**
 * Whether a path of a function is on a file system that outlives it. They are mounted below /mnt alone (`LocalMountPath` of
 * Lambda's API); the rest of the disk can only be read, or is lost with the instance.
 * @param path undefined where none is named
 */
export function isMounted(path: string | undefined): boolean {
  return path !== undefined && /^\/mnt\/./.test(resolve(path));
}
