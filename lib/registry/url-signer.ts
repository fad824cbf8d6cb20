import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Digest } from '../protocol/digests.ts';
import { RegistryError } from '../protocol/errors.ts';
import type { RepositoryName } from '../protocol/names.ts';
import { deriveKey } from './derived-keys.ts';

/*
 * What a URL itself entitles its holder to. Clients drop their credentials on another host (docker, containerd) or
 * carry them where they do not belong (podman, oras), so the URLs of the data plane are all the authority it asks for.
 */

/** How long an upload may pause between two requests, in seconds. */
export const uploadLifetimeSeconds = 24 * 3600;

/** How long a pull may take to begin after its redirect, in seconds. */
export const blobUrlLifetimeSeconds = 20 * 60;

/** What the `_state` of an upload's Location says. */
export interface UploadState {
  /** Bytes the upload had when the Location was made. */
  readonly offset: number;
}

/** Makes and checks signatures with keys derived from the registry's secrets, one key for each purpose. */
export class UrlSigner {
  readonly #uploadKeys: readonly Buffer[];
  readonly #blobKeys: readonly Buffer[];
  readonly #now: () => number;

  /**
   * @param secrets the first signs, all are accepted
   * @param now milliseconds since 1970
   */
  constructor(secrets: readonly string[], now: () => number = Date.now) {
    this.#uploadKeys = secrets.map((secret) => deriveKey(secret, 'stowage upload state'));
    this.#blobKeys = secrets.map((secret) => deriveKey(secret, 'stowage signed blob url'));
    this.#now = now;
  }

  /** The `_state` for a Location: version, offset, expiry and a MAC over these, the repository and the upload's id. */
  signUpload(name: RepositoryName, id: string, state: UploadState): string {
    const claim = `1.${state.offset}.${this.#expiresIn(uploadLifetimeSeconds)}`;
    return `${claim}.${mac(this.#uploadKeys[0], [claim, name, id])}`;
  }

  /**
   * @throws RegistryError BLOB_UPLOAD_UNKNOWN when there is none or it has expired, UPLOAD_STATE_FOREIGN when it was signed
   *   with another secret or for another upload or repository, or was altered; BLOB_UPLOAD_INVALID when it is no state
   */
  readUpload(name: RepositoryName, id: string, text: string | null): UploadState {
    if (text === null) throw new RegistryError('BLOB_UPLOAD_UNKNOWN');
    const [, claim, offset, expiry, signature = ''] =
      /^(1\.(\d{1,15})\.(\d{1,11}))\.([\w-]{43})$/.exec(text) ?? [];
    if (claim === undefined)
      throw new RegistryError(
        'BLOB_UPLOAD_INVALID',
        'the _state of this upload was altered; use the Location as sent',
      );
    if (!isSigned(this.#uploadKeys, [claim, name, id], signature))
      throw new RegistryError('UPLOAD_STATE_FOREIGN');
    if (this.#isExpired(expiry)) throw new RegistryError('BLOB_UPLOAD_UNKNOWN');
    return { offset: Number(offset) };
  }

  /** The query that lets anyone read a blob for {@link blobUrlLifetimeSeconds}. */
  signBlob(name: RepositoryName, digest: Digest): URLSearchParams {
    const expiry = String(this.#expiresIn(blobUrlLifetimeSeconds));
    return new URLSearchParams({
      expires: expiry,
      signature: mac(this.#blobKeys[0], [expiry, name, digest]),
    });
  }

  /** Whether a query entitles to read this blob of this repository now. */
  mayReadBlob(name: RepositoryName, digest: Digest, query: URLSearchParams): boolean {
    return this.#isSignedBlob(name, digest, query) && !this.#isExpired(query.get('expires') ?? '');
  }

  /** Whether a query has a signature that this process would not make: with another secret, or for something else. */
  isForeign(name: RepositoryName, digest: Digest, query: URLSearchParams): boolean {
    const isSignature = /^[\w-]{43}$/.test(query.get('signature') ?? '');
    return isSignature && !this.#isSignedBlob(name, digest, query);
  }

  #isSignedBlob(name: RepositoryName, digest: Digest, query: URLSearchParams): boolean {
    const fields = [query.get('expires') ?? '', name, digest];
    return isSigned(this.#blobKeys, fields, query.get('signature') ?? '');
  }

  #expiresIn(seconds: number): number {
    return Math.floor(this.#now() / 1000) + seconds;
  }

  #isExpired(expiry: string | undefined): boolean {
    return !(Number(expiry) * 1000 > this.#now());
  }
}

/** No field may contain a line feed; names, ids, digests and numbers do not. */
function mac(key: Buffer | undefined, fields: readonly string[]): string {
  if (key === undefined) throw new Error('no secret to sign with');
  return createHmac('sha256', key).update(fields.join('\n')).digest('base64url');
}

function isSigned(keys: readonly Buffer[], fields: readonly string[], signature: string): boolean {
  const given = Buffer.from(signature);
  return keys.some((key) => {
    const right = Buffer.from(mac(key, fields));
    return right.length === given.length && timingSafeEqual(right, given);
  });
}
