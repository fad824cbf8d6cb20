import { createHash, randomBytes } from 'node:crypto';
import { appendFile, copyFile, open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { ScsRefusal } from './scs-answers.ts';

/** What is kept of an object; its bytes are a file, so that layers of any size fit. */
export interface StoredObject {
  readonly path: string;
  readonly size: number;
  readonly etag: string;
  readonly modified: Date;
  /** Content-Type and `x-scs-meta-*`. */
  readonly headers: Readonly<Record<string, string>>;
}

interface StoredUpload {
  readonly key: string;
  readonly started: Date;
  readonly headers: Readonly<Record<string, string>>;
  readonly parts: Map<number, StoredObject>;
}

const minPart = 5 * 1024 ** 2;

/** A bucket: objects and uploads in progress, changed in one step each. */
export class ScsObjects {
  readonly #folder: string;
  readonly objects = new Map<string, StoredObject>();
  readonly uploads = new Map<string, StoredUpload>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** @throws ScsRefusal NoSuchKey */
  get(key: string): StoredObject {
    const object = this.objects.get(key);
    if (object === undefined) throw new ScsRefusal(404, 'NoSuchKey', 'The specified key does not exist.');
    return object;
  }

  async put(
    key: string,
    object: Pick<StoredObject, 'path' | 'size' | 'etag'>,
    headers: Readonly<Record<string, string>>,
  ): Promise<StoredObject> {
    const stored = { ...object, headers, modified: new Date() };
    await this.#replace(key, stored);
    return stored;
  }

  async copy(from: StoredObject, to: string): Promise<StoredObject> {
    const path = this.#newPath();
    await copyFile(from.path, path);
    return await this.put(to, { ...from, path }, from.headers);
  }

  async rename(from: string, to: string): Promise<void> {
    const object = this.get(from);
    if (from === to) throw new ScsRefusal(400, 'InvalidArgument', 'newObjectName is the name it has');
    this.objects.delete(from);
    await this.#replace(to, object);
  }

  async delete(key: string): Promise<void> {
    const object = this.objects.get(key);
    this.objects.delete(key);
    if (object !== undefined) await rm(object.path);
  }

  startUpload(key: string, headers: Readonly<Record<string, string>>): string {
    const id = randomBytes(12).toString('hex');
    this.uploads.set(id, { key, started: new Date(), headers, parts: new Map() });
    return id;
  }

  /** @throws ScsRefusal NoSuchUpload */
  upload(key: string, id: string): StoredUpload {
    const upload = this.uploads.get(id);
    if (upload?.key !== key) throw new ScsRefusal(404, 'NoSuchUpload', 'no such upload');
    return upload;
  }

  async complete(
    key: string,
    id: string,
    list: readonly { readonly number: number; readonly etag: string }[],
  ): Promise<StoredObject> {
    const { parts, headers } = this.upload(key, id);
    const chosen = list.map(({ number, etag }, i) => {
      if (number <= (list[i - 1]?.number ?? 0)) throw new ScsRefusal(400, 'InvalidPartOrder', 'not in order');
      const part = parts.get(number);
      if (part?.etag !== etag) throw new ScsRefusal(400, 'InvalidPart', `no part ${number} with ${etag}`);
      return part;
    });
    if (chosen.length === 0) throw new ScsRefusal(400, 'MalformedXML', 'no parts');
    if (chosen.slice(0, -1).some(({ size }) => size < minPart))
      throw new ScsRefusal(400, 'EntityTooSmall', 'a part is under 5 MiB and not the last');
    this.uploads.delete(id);
    const path = this.#newPath();
    const hash = createHash('md5');
    for (const part of chosen) {
      await appendFile(path, await readFile(part.path));
      hash.update(Buffer.from(part.etag, 'hex'));
    }
    for (const part of parts.values()) await rm(part.path);
    const size = chosen.reduce((sum, part) => sum + part.size, 0);
    return await this.put(key, { path, size, etag: `${hash.digest('hex')}-${chosen.length}` }, headers);
  }

  async abort(key: string, id: string): Promise<void> {
    const { parts } = this.upload(key, id);
    this.uploads.delete(id);
    for (const part of parts.values()) await rm(part.path);
  }

  /**
   * Keeps the body of a request.
   * @param size bytes that were promised
   * @param md5 in hexadecimal, where one was sent
   */
  async receive(
    body: Readable,
    size: number,
    md5: string | undefined,
  ): Promise<Pick<StoredObject, 'path' | 'size' | 'etag'>> {
    const path = this.#newPath();
    const file = await open(path, 'w');
    const hash = createHash('md5');
    let received = 0;
    try {
      for await (const bytes of body as AsyncIterable<Buffer>) {
        hash.update(bytes);
        received += bytes.byteLength;
        await file.writeFile(bytes);
      }
      const etag = hash.digest('hex');
      if (received !== size) throw new ScsRefusal(400, 'IncompleteBody', `${received} bytes came`);
      if (md5 !== undefined && md5 !== etag)
        throw new ScsRefusal(400, 'BadDigest', `Content-MD5 is not ${etag}`);
      return { path, size, etag };
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    } finally {
      await file.close();
    }
  }

  async #replace(key: string, object: StoredObject): Promise<void> {
    const before = this.objects.get(key);
    this.objects.set(key, object);
    if (before !== undefined) await rm(before.path);
  }

  #newPath(): string {
    return join(this.#folder, randomBytes(12).toString('hex'));
  }
}
