/** Whether an error has one of these codes, such as `ENOENT`. */
export function hasCode(error: unknown, codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}

/** What the promise resolves to, or undefined when it fails in one of these ways. */
export async function ignoring<T>(codes: readonly string[], promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (error) {
    if (hasCode(error, codes)) return undefined;
    throw error;
  }
}

/** What a call says when no regular file is at a path. `ELOOP` and `ENXIO` come of opening links and sockets. */
export const notFoundCodes: readonly string[] = ['ENOENT', 'ENOTDIR', 'EISDIR', 'ELOOP', 'ENXIO'];

/** What a file or folder says that is there and cannot be read, for want of a right or for a fault of its place on the disk. */
export const unreadableCodes: readonly string[] = [
  'EACCES',
  'EPERM',
  'EIO',
  'EUCLEAN',
  'Unknown system error -117',
];

/** What a call says that could not write, where what is there can be read all the same. */
export const unwritableCodes: readonly string[] = ['EROFS', 'EACCES', 'EPERM', 'ENOSPC', 'EDQUOT'];
