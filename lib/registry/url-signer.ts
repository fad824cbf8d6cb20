import { createHmac, createSecretKey, timingSafeEqual, type KeyObject } from 'node:crypto';
import type { Digest } from '../protocol/digests.ts';
import { RegistryError } from '../protocol/errors.ts';
import type { RepositoryName } from '../protocol/names.ts';
import { deriveKey } from './derived-keys.ts';

/*
 * Signed URLs of the data plane. The signature is the only authorization they need: some clients drop their credentials
 * on another host (docker, containerd), and others send them where they do not belong (podman, oras).
 */

/** How long an upload may pause between two requests. */
export const uploadLifetimeSeconds = 24 * 3600;

/** How long after its redirect a pull may start. */
export const blobUrlLifetimeSeconds = 20 * 60;

/** The content of `_state` in an upload's Location. */
export interface UploadState {
  /** Bytes received when the Location was created. */
  readonly offset: number;
  /** Who may write the upload, for the audit log of a data plane; undefined without access control. */
  readonly writer?: Writer | undefined;
  /** The id of the quota that its bytes count for; undefined without one. */
  readonly quota?: string | undefined;
}

/** The caller to whom access control granted an upload. */
export interface Writer {
  /** `anonymous`, or the name in the audit log. */
  readonly actor: string;
  /** The rule that granted it. */
  readonly rule?: string | undefined;
}

/** Characters of each name in a URL. Users have at most 255, rules 100 and their number. */
const maxNameLength = 255;

/** Creates and checks signatures, with a key for each purpose derived from the registry's secrets. */
export class UrlSigner {
  readonly #uploadKeys: readonly KeyObject[];
  readonly #blobKeys: readonly KeyObject[];
  readonly #now: () => number;

  /**
   * @param secrets the first signs, all are accepted
   * @param now milliseconds since 1970
   */
  constructor(secrets: readonly string[], now: () => number = Date.now) {
    // Of bytes, Node would make a key anew for each signature.
    const keysFor = (purpose: string) => secrets.map((secret) => createSecretKey(deriveKey(secret, purpose)));
    this.#uploadKeys = keysFor('stowage upload state');
    this.#blobKeys = keysFor('stowage signed blob url');
    this.#now = now;
  }

  /** The `_state` for a Location: version, offset, expiry, writer and quota, and a MAC of these, the repository and the upload ID. */
  signUpload(name: RepositoryName, id: string, { offset, writer, quota }: UploadState): string {
    const more = writer === undefined && quota === undefined ? '' : `.${encode(writer, quota)}`;
    const claim = `1.${offset}.${this.#expiresIn(uploadLifetimeSeconds)}${more}`;
    return `${claim}.${mac(this.#uploadKeys[0], [claim, name, id])}`;
  }

  /**
   * @throws RegistryError BLOB_UPLOAD_UNKNOWN if it is missing or expired, BLOB_UPLOAD_INVALID if it is malformed,
   *   UPLOAD_STATE_FOREIGN if it was signed with another secret or for another upload or repository, or altered
   */
  readUpload(name: RepositoryName, id: string, text: string | null): UploadState {
    if (text === null) throw new RegistryError('BLOB_UPLOAD_UNKNOWN');
    const [, claim, offset, expiry, more, signature = ''] =
      /^(1\.(\d{1,15})\.(\d{1,11})(?:\.([\w-]{1,4096}))?)\.([\w-]{43})$/.exec(text) ?? [];
    if (claim === undefined)
      throw new RegistryError(
        'BLOB_UPLOAD_INVALID',
        'the _state of this upload was altered; use the Location as sent',
      );
    if (!isSigned(this.#uploadKeys, [claim, name, id], signature))
      throw new RegistryError('UPLOAD_STATE_FOREIGN');
    if (this.#isExpired(expiry)) throw new RegistryError('BLOB_UPLOAD_UNKNOWN');
    return { offset: Number(offset), ...(more !== undefined && decode(more)) };
  }

  /** The query that allows anyone to read a blob for {@link blobUrlLifetimeSeconds}. */
  signBlob(name: RepositoryName, digest: Digest): URLSearchParams {
    const expiry = String(this.#expiresIn(blobUrlLifetimeSeconds));
    return new URLSearchParams({
      expires: expiry,
      signature: mac(this.#blobKeys[0], [expiry, name, digest]),
    });
  }

  /** Whether a query has a valid signature for this blob of this repository. */
  mayReadBlob(name: RepositoryName, digest: Digest, query: URLSearchParams): boolean {
    return this.#isSignedBlob(name, digest, query) && !this.#isExpired(query.get('expires') ?? '');
  }

  /** Whether a query has a signature with another secret or for something else. */
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

/** Earlier releases, which know no quotas, read the first two names as the writer. */
function encode(writer: Writer | undefined, quota: string | undefined): string {
  const names = [writer?.actor ?? '', writer?.rule, quota].map(
    (name) => name?.slice(0, maxNameLength) ?? null,
  );
  const used = names.slice(0, names.findLastIndex((name) => name !== null) + 1);
  return Buffer.from(JSON.stringify(used)).toString('base64url');
}

function decode(text: string): Pick<UploadState, 'writer' | 'quota'> {
  const names = JSON.parse(Buffer.from(text, 'base64url').toString()) as (string | null)[];
  const [actor, rule, quota] = names.map((name) => name ?? undefined);
  return {
    ...(actor !== undefined && actor !== '' && { writer: { actor, rule } }),
    ...(quota !== undefined && { quota }),
  };
}

/** Fields must not contain line feeds; names, IDs, digests and numbers do not. */
function mac(key: KeyObject | undefined, fields: readonly string[]): string {
  if (key === undefined) throw new Error('no secret to sign with');
  return createHmac('sha256', key).update(fields.join('\n')).digest('base64url');
}

function isSigned(keys: readonly KeyObject[], fields: readonly string[], signature: string): boolean {
  const given = Buffer.from(signature);
  return keys.some((key) => {
    const right = Buffer.from(mac(key, fields));
    return right.length === given.length && timingSafeEqual(right, given);
  });
}
