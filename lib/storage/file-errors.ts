/** Whether an error has one of these codes, such as `ENOENT`. */
export function hasCode(error: unknown, codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}

/** The result of a promise, or undefined if it rejects with one of these codes. */
export async function ignoring<T>(codes: readonly string[], promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (error) {
    if (hasCode(error, codes)) return undefined;
    throw error;
  }
}

/** No regular file at a path. `ELOOP` and `ENXIO` come from opening links and sockets. */
export const notFoundCodes: readonly string[] = ['ENOENT', 'ENOTDIR', 'EISDIR', 'ELOOP', 'ENXIO'];

/** A folder that is not empty, or is a mount. */
export const occupiedCodes: readonly string[] = ['ENOTEMPTY', 'EEXIST', 'EBUSY'];

/** A file or folder that exists but cannot be read, for lack of permission or because of a disk fault. */
export const unreadableCodes: readonly string[] = [
  'EACCES',
  'EPERM',
  'EIO',
  'EUCLEAN',
  'Unknown system error -117',
];

/** A file cannot have a second link. */
export const noHardLinkCodes: readonly string[] = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'];

/** A place that cannot be written to but may be readable. */
export const unwritableCodes: readonly string[] = ['EROFS', 'EACCES', 'EPERM', 'ENOSPC', 'EDQUOT'];
