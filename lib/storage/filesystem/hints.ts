import { statSync } from 'node:fs';
import { hasCode } from '../file-errors.ts';

/**
 * How to fix a failure.
 * @param folder the store's, or the top of a mount below it
 */
export function hintFor(error: unknown, folder: string): string {
  if (hasCode(error, ['EROFS'])) return 'it is read-only: mount it writable, or push elsewhere';
  if (hasCode(error, ['ENOSPC', 'EDQUOT'])) return 'make room there';
  if (hasCode(error, ['EACCES', 'EPERM']))
    return `give the registry's user the right to it${ownershipHint(folder)}`;
  return 'check REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY';
}

/** For a folder of another user, such as a volume that a registry wrote as root. */
function ownershipHint(folder: string): string {
  const [user, group] = [process.geteuid?.(), process.getegid?.()];
  const owner = statSync(folder, { throwIfNoEntry: false });
  if (user === undefined || group === undefined || owner === undefined || owner.uid === user) return '';
  return (
    `: it belongs to user ${owner.uid} and the registry runs as user ${user}, so run chown -R ${user}:${group} on ` +
    `the folder or volume that is ${folder} here, or start the registry as its owner (docker run --user ${owner.uid}:${owner.gid})`
  );
}
