import { resolve } from 'node:path';

/** Whether a path is on a mounted file system, always below /mnt in Lambda (`LocalMountPath` of its API). */
export function isMounted(path: string | undefined): boolean {
  return path !== undefined && /^\/mnt\/./.test(resolve(path));
}
