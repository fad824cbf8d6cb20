// Not node:fs/promises, which functions would load at their start.
import { constants, promises as fs } from 'node:fs';
import { hasCode } from '../../storage/file-errors.ts';
import { ObjectNotFound, ObjectTooLarge, type ObjectReader } from '../../storage/store.ts';
import { maxPolicySize, sizeFault } from './model.ts';
import { PolicyError } from './policy-error.ts';

/** The content of a policy file, and its version. */
export interface Content {
  readonly bytes: Uint8Array;
  /** Undefined if another content could have the same version. */
  readonly version: string | undefined;
}

/** The location of a policy. */
export interface Origin {
  /** `the file /etc/stowage/policy.yaml` */
  readonly name: string;
  /** Milliseconds between checks for changes. */
  readonly refreshMs: number;
  /**
   * Reads the policy.
   * @returns undefined if its version is still the known one
   * @throws NoPolicy; PolicyError if it is too large; other errors if it cannot be read
   */
  read(known: string | undefined): Promise<Content | undefined>;
}

/** The policy does not exist. */
export class NoPolicy extends Error {
  override readonly name = 'NoPolicy';
}

/**
 * A file. Symbolic links are followed at each read, since Kubernetes changes them. A read of a file system that hangs keeps one of
 * the few threads of the process, so there is one at a time.
 */
export function fileOrigin(path: string, readAt = readFile): Origin {
  let isReading = false;
  return {
    name: `the file ${path}`,
    refreshMs: 1000,
    async read(known) {
      if (isReading) throw new Error('an earlier read has not ended');
      isReading = true;
      try {
        return await readAt(path, known);
      } catch (error) {
        if (hasCode(error, ['ENOENT', 'ENOTDIR']))
          throw new NoPolicy(`there is no file ${path}`, { cause: error });
        throw error;
      } finally {
        isReading = false;
      }
    },
  };
}

async function readFile(path: string, known: string | undefined): Promise<Content | undefined> {
  // O_NONBLOCK: a pipe would otherwise wait for its writer.
  const handle = await fs.open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stats = await handle.stat({ bigint: true });
    if (!stats.isFile()) throw new Error(`${path} is not a file`);
    const { dev, ino, size, mtimeNs, ctimeNs } = stats;
    const version = [dev, ino, size, mtimeNs, ctimeNs].join(' ');
    if (version === known) return undefined;
    if (size > maxPolicySize) throw tooLarge();
    const bytes = await handle.readFile();
    // A second write within the same tick of the file system's clock would keep the version.
    const isStable = Date.now() - Number(mtimeNs / 1_000_000n) > tickMs;
    return { bytes, version: isStable ? version : undefined };
  } finally {
    await handle.close();
  }
}

/** Milliseconds. FAT has the longest ticks. */
const tickMs = 2000;

/** An object in the registry's bucket. */
export function objectOrigin(store: Pick<ObjectReader, 'head' | 'read'>, key: string): Origin {
  return {
    name: `the object ${key}`,
    refreshMs: 30_000,
    async read(known) {
      try {
        if (known !== undefined && (await store.head(key)).etag === known) return undefined;
        const { bytes, etag } = await store.read(key, maxPolicySize);
        return { bytes, version: etag };
      } catch (error) {
        if (error instanceof ObjectTooLarge) throw tooLarge();
        if (error instanceof ObjectNotFound)
          throw new NoPolicy(`there is no object ${key}`, { cause: error });
        throw error;
      }
    },
  };
}

function tooLarge(): PolicyError {
  return new PolicyError([{ line: 1, message: sizeFault }]);
}
