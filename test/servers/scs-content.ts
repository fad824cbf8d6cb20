import { createHash } from 'node:crypto';
import { createReadStream, openSync } from 'node:fs';
import { appendFile, copyFile, open, readFile, unlink } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { ScsRefusal } from './scs-refusal.ts';

/**
 * The bytes of an object: a file, so that layers of any size fit. Few bytes are kept here: most objects are links and
 * manifests, of which a file would cost more than all else that is done with them.
 */
export type Content = { readonly bytes: Buffer } | { readonly path: string };

/** Bytes up to which no file is made. */
const FEW = 64 * 1024;

/** What came as the body of a request. */
export interface Received {
  readonly content: Content;
  readonly size: number;
  /** MD5, in hexadecimal. */
  readonly etag: string;
}

/**
 * Keeps the body of a request.
 * @param size bytes that were promised
 * @param md5 in hexadecimal, where one was sent
 * @param newPath of a file that may be made
 * @throws ScsRefusal IncompleteBody, BadDigest
 */
export async function receive(
  body: Readable,
  size: number,
  md5: string | undefined,
  newPath: () => string,
): Promise<Received> {
  const hash = createHash('md5');
  const kept = size <= FEW ? new InMemory() : await InFile.create(newPath());
  let received = 0;
  try {
    for await (const bytes of body as AsyncIterable<Buffer>) {
      hash.update(bytes);
      received += bytes.byteLength;
      await kept.write(bytes);
    }
    const etag = hash.digest('hex');
    if (received !== size) throw new ScsRefusal(400, 'IncompleteBody', `${received} bytes came`);
    if (md5 !== undefined && md5 !== etag)
      throw new ScsRefusal(400, 'BadDigest', `Content-MD5 is not ${etag}`);
    return { content: await kept.end(), size, etag };
  } catch (error) {
    await remove(await kept.end());
    throw error;
  }
}

class InMemory {
  readonly #pieces: Buffer[] = [];

  write(bytes: Buffer): void {
    this.#pieces.push(bytes);
  }

  end(): Content {
    return { bytes: Buffer.concat(this.#pieces) };
  }
}

class InFile {
  readonly #path: string;
  readonly #file: Awaited<ReturnType<typeof open>>;

  private constructor(path: string, file: Awaited<ReturnType<typeof open>>) {
    this.#path = path;
    this.#file = file;
  }

  static async create(path: string): Promise<InFile> {
    return new InFile(path, await open(path, 'w'));
  }

  async write(bytes: Buffer): Promise<void> {
    await this.#file.writeFile(bytes);
  }

  async end(): Promise<Content> {
    await this.#file.close();
    return { path: this.#path };
  }
}

export async function remove(content: Content): Promise<void> {
  if ('path' in content) await unlink(content.path);
}

export async function copy(content: Content, newPath: () => string): Promise<Content> {
  if ('bytes' in content) return content;
  const path = newPath();
  await copyFile(content.path, path);
  return { path };
}

/** The bytes of several, one after another. */
export async function join(parts: readonly Content[], newPath: () => string): Promise<Content> {
  const path = newPath();
  for (const part of parts) await appendFile(path, 'bytes' in part ? part.bytes : await readFile(part.path));
  return { path };
}

/**
 * The bytes from `start` to before `end`. A file is opened at once: the object may be replaced before all of it is
 * read.
 */
export function read(content: Content, start: number, end: number): Buffer | Readable {
  if ('bytes' in content) return content.bytes.subarray(start, end);
  if (end <= start) return Buffer.alloc(0);
  return createReadStream('', { fd: openSync(content.path, 'r'), start, end: end - 1 });
}
