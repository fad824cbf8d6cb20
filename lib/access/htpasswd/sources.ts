import { readFile, stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { HtpasswdError } from './entries.ts';
import { decode, type Reader } from './reader.ts';

/**
 * Where a password file is.
 * - `file`: at a path
 * - `content`: the text is in a setting
 * - `secret`: the value of a secret of AWS Secrets Manager, by its ARN
 */
export type HtpasswdSource =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'content'; readonly content: string }
  | { readonly kind: 'secret'; readonly arn: string };

/** Enough for ten thousand users. */
const maxBytes = 1024 * 1024;

/** @throws Error if the AWS client cannot be loaded */
export async function createReader(source: HtpasswdSource, intervalMs?: number): Promise<Reader> {
  switch (source.kind) {
    case 'file':
      return new FileReader(source.path, intervalMs);
    case 'content':
      return new ContentReader(source.content);
    case 'secret':
      // Loads the AWS client on demand.
      return new (await import('./secret.ts')).SecretReader(source.arn, intervalMs);
  }
}

/** A constant text. */
class ContentReader implements Reader {
  readonly name = 'the content of the password file in the settings';
  readonly intervalMs = Infinity;
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- implements Reader
  async read(): Promise<string> {
    return this.#text;
  }
}

/** Milliseconds without a change after which a file is considered complete. */
const quietMs = 50;

/**
 * A file that may be replaced, or overwritten in place as `htpasswd` does. `stat` follows symbolic links, so it notices when
 * Kubernetes switches its link `..data` to another folder.
 */
class FileReader implements Reader {
  readonly intervalMs: number;
  readonly #path: string;
  #version: string | undefined;

  constructor(path: string, intervalMs = 1_000) {
    this.#path = path;
    this.intervalMs = intervalMs;
  }

  get name(): string {
    return `the password file ${this.#path}`;
  }

  async read(): Promise<string | undefined> {
    try {
      if ((await this.#stat()).version === this.#version) return undefined;
      return await this.#readWhole();
    } catch (error) {
      // A file that is not UTF-8 is not read again until it changes.
      if (!(error instanceof HtpasswdError)) this.#version = undefined;
      throw error;
    }
  }

  /** Retries while the file is being written: it must be unchanged for {@link quietMs} before the read, and during it. */
  async #readWhole(): Promise<string> {
    for (let attempt = 0; attempt < 10; attempt++) {
      const before = await this.#stat();
      if (Math.abs(Date.now() - before.changedAt) > quietMs) {
        const bytes = await readFile(this.#path);
        if ((await this.#stat()).version === before.version) {
          this.#version = before.version;
          return decode(bytes, this.name);
        }
      }
      await delay(quietMs);
    }
    throw new Error(`${this.name} is changing constantly`);
  }

  async #stat(): Promise<{ version: string; changedAt: number }> {
    const stats = await this.#statFile();
    const { dev, ino, size, mtimeNs, ctimeNs, ctimeMs } = stats;
    if (!stats.isFile()) throw new Error(`${this.name} is not a file`);
    if (size > maxBytes) throw new Error(`${this.name} has ${size} bytes, more than ${maxBytes}`);
    return { version: [dev, ino, size, mtimeNs, ctimeNs].join(), changedAt: Number(ctimeMs) };
  }

  async #statFile() {
    try {
      return await stat(this.#path, { bigint: true });
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException;
      const why = code === 'ENOENT' ? 'does not exist' : `cannot be read (${code})`;
      throw new Error(`${this.name} ${why}`, { cause: error });
    }
  }
}
