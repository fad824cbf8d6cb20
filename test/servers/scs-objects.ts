import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { ScsRefusal } from './scs-refusal.ts';
import { copy, join as joined, receive, remove, type Received } from './scs-content.ts';

/** What is kept of an object. */
export interface StoredObject extends Received {
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

  async put(key: string, object: Received, headers: Readonly<Record<string, string>>): Promise<StoredObject> {
    const stored = { ...object, headers, modified: new Date() };
    await this.#replace(key, stored);
    return stored;
  }

  async copy(from: StoredObject, to: string): Promise<StoredObject> {
    const content = await copy(from.content, this.#newPath);
    return await this.put(to, { ...from, content }, from.headers);
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
    if (object !== undefined) await remove(object.content);
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
    const hash = createHash('md5');
    for (const part of chosen) hash.update(Buffer.from(part.etag, 'hex'));
    const content = await joined(
      chosen.map((part) => part.content),
      this.#newPath,
    );
    for (const part of parts.values()) await remove(part.content);
    const size = chosen.reduce((sum, part) => sum + part.size, 0);
    return await this.put(key, { content, size, etag: `${hash.digest('hex')}-${chosen.length}` }, headers);
  }

  async abort(key: string, id: string): Promise<void> {
    const { parts } = this.upload(key, id);
    this.uploads.delete(id);
    for (const part of parts.values()) await remove(part.content);
  }

  /** Keeps the body of a request. @see receive */
  async receive(body: Readable, size: number, md5: string | undefined): Promise<Received> {
    return await receive(body, size, md5, this.#newPath);
  }

  async #replace(key: string, object: StoredObject): Promise<void> {
    const before = this.objects.get(key);
    this.objects.set(key, object);
    if (before !== undefined) await remove(before.content);
  }

  readonly #newPath = (): string => join(this.#folder, randomBytes(12).toString('hex'));
}
