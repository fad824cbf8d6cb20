import { digestOrUndefined, digestParts, type Digest } from '../protocol/digests.ts';
import { RegistryError } from '../protocol/errors.ts';
import { maxManifestSize, storedMediaType, unsignedManifestType } from '../protocol/manifests.ts';
import type { RepositoryName } from '../protocol/names.ts';
import type { Page } from '../protocol/pages.ts';
import { readIndexed, readReferrers, referrersTag, type ReferrerDescriptor } from '../protocol/referrers.ts';
import type { Reference } from '../protocol/references.ts';
import { signedManifestType } from '../protocol/schema1.ts';
import type { Tag } from '../protocol/tags.ts';
import { digestOf } from '../registry/uploads/content-hash.ts';
import type { ByteRange } from '../storage/store.ts';
import { Authorization, type Credentials } from './authorization.ts';
import { continuedBody } from './blob-body.ts';
import { openRange, type OpenedRange } from './blob-range.ts';
import { discard, Exchange, type Answer, type Ask, type ExchangeOptions } from './exchange.ts';
import { listReferrers, listTags, readReferrersTag, readTagPage, type AskList } from './lists.ts';
import {
  UpstreamError,
  type Upstream,
  type UpstreamBlob,
  type UpstreamBlobLocation,
  type UpstreamLister,
  type UpstreamManifest,
  type UpstreamManifestBytes,
  type UpstreamTags,
} from './upstream.ts';

export interface UpstreamOptions extends Omit<ExchangeOptions, 'timeoutMs' | 'deadlineMs'> {
  /** Milliseconds until the headers of a response, and between any two pieces of its body. Default: 30 s. */
  readonly timeoutMs?: number;
  /** Default: 2 min. */
  readonly deadlineMs?: number;
  readonly credentials?: Credentials | undefined;
}

/** Milliseconds until a registry that answers nothing counts as down. */
const pingMs = 5_000;

/** What Docker Hub's images are named by. Its API is elsewhere. */
const dockerHub = ['docker.io', 'index.docker.io', 'registry-1.docker.io'];

/** All that this registry stores. Without lists in it, registries answer with one platform's image. */
const accept = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ');

/** Another registry, by the OCI Distribution Spec. Its answers are not trusted, and its credentials stay with it. */
export class UpstreamClient implements Upstream, UpstreamLister {
  readonly host: string;
  readonly #base: URL;
  readonly #isDockerHub: boolean;
  readonly #exchange: Exchange;
  readonly #authorization: Authorization;
  #hasReferrers = true;

  /** @param url of the registry, such as `https://registry-1.docker.io`; what its path has stands before `/v2/` */
  constructor(
    url: URL,
    { credentials, timeoutMs = 30_000, deadlineMs = 120_000, ...options }: UpstreamOptions,
  ) {
    this.host = url.host;
    this.#isDockerHub = dockerHub.includes(url.host);
    this.#base = new URL(url);
    if (this.#isDockerHub) this.#base.host = 'registry-1.docker.io';
    this.#base.pathname = `${url.pathname.replace(/\/+$/, '')}/v2/`;
    this.#exchange = new Exchange(this.#base, { ...options, timeoutMs, deadlineMs });
    this.#authorization = new Authorization(
      this.#base,
      credentials,
      async (realm, request) =>
        // Requests share it, so it does not end with one of them.
        await this.#exchange.inTime(async (signal) => {
          const what = 'a token';
          const response = await this.#exchange.once(realm, { ...request, isForToken: true, what, signal });
          // Also a redirect: the service of the realm alone gets the credentials.
          if (response.statusCode !== 200)
            throw withoutToken(await this.#exchange.failure({ response, url: realm }, what));
          return await this.#exchange.smallBody(response, realm, what);
        }),
    );
  }

  async ping(): Promise<void> {
    try {
      const ask = { method: 'GET', what: 'its API' } as const;
      await this.#exchange.inTime(async (signal) => {
        discard(await this.#exchange.once(this.#base, { ...ask, signal }));
      }, pingMs);
    } catch (error) {
      if (!(error instanceof UpstreamError && error.kind === 'limited')) throw error;
    }
  }

  async resolve(name: RepositoryName, reference: Reference): Promise<UpstreamManifest> {
    const text = textOf(reference);
    const what = manifestOf(name, text);
    return await this.#exchange.retry(async (signal) => {
      const answer = await this.#ask(name, `manifests/${text}`, {
        method: 'HEAD',
        headers: { accept },
        what,
        signal,
      });
      const { response } = answer;
      response.resume();
      const found = response.statusCode === 200 ? headersOf(answer) : undefined;
      // Some registries answer no HEAD, or leave out headers of it.
      if (response.statusCode === 405 || (response.statusCode === 200 && found === undefined))
        return await this.#manifest(name, reference, signal);
      if (found === undefined) throw await this.#exchange.failure(answer, what);
      assertSupported(found.mediaType, what, this.host);
      if (reference.kind === 'digest' && found.digest !== reference.digest)
        throw new UpstreamError('unavailable', `${this.host} answered with another digest for ${what}`);
      return found;
    });
  }

  async manifest(name: RepositoryName, digest: Digest): Promise<UpstreamManifestBytes> {
    return await this.#exchange.retry(
      async (signal) => await this.#manifest(name, { kind: 'digest', digest }, signal),
    );
  }

  async blob(name: RepositoryName, digest: Digest, range?: ByteRange): Promise<UpstreamBlob> {
    const what = blobOf(name, digest);
    const open = async (asked: ByteRange) => await this.#openBlob(name, digest, asked);
    const { size, start, end, body } = await open(range ?? { start: 0 });
    const reopen = async (received: number) => {
      const rest = await open({ start: start + received, end });
      if (rest.size === size) return rest.body;
      rest.body.destroy();
      throw new UpstreamError('unavailable', `${this.host} gave ${what} another size`);
    };
    return { size, body: continuedBody(body, { what, length: end + 1 - start, reopen }) };
  }

  async blobLocation(name: RepositoryName, digest: Digest): Promise<UpstreamBlobLocation> {
    const what = blobOf(name, digest);
    // Not HEAD: a signed URL may be for one method. One byte tells the size of all, and that there is something.
    const ask = { method: 'GET', headers: { range: 'bytes=0-0' }, what } as const;
    return await this.#exchange.retry(async (signal) => {
      const answer = await this.#authorized(name, `blobs/${digest}`, async (url, authorization) => ({
        response: await this.#exchange.once(url, { ...ask, authorization, signal }),
        url,
      }));
      const url = this.#exchange.redirect(answer, what);
      if (url === undefined) return { size: await this.#sizeOf(answer, what), url };
      discard(answer.response);
      return { size: await this.#sizeOf(await this.#exchange.following(url, { ...ask, signal }), what), url };
    });
  }

  tags: UpstreamLister['tags'] = (name) => listTags(this.#askList(name), this.host, name);

  async referrers(
    name: RepositoryName,
    subject: Digest,
    tags?: ReadonlySet<Tag>,
  ): Promise<readonly Digest[]> {
    const about = { name, subject };
    const listed = this.#hasReferrers
      ? await listReferrers(this.#askList(name), this.host, about, readIndexed)
      : undefined;
    // A registry that has the API answers for any digest of a repository that is there.
    this.#hasReferrers = listed !== undefined;
    if (listed !== undefined) return [...new Set(listed)];
    return tags?.has(referrersTag(subject)) === false ? [] : await readReferrersTag(this, about, readIndexed);
  }

  async tagPage(name: RepositoryName, page: Page): Promise<UpstreamTags> {
    return await readTagPage(this.#askList(name), this.host, name, page);
  }

  async referrerEntries(name: RepositoryName, subject: Digest): Promise<readonly ReferrerDescriptor[]> {
    const about = { name, subject };
    const listed = await listReferrers(this.#askList(name), this.host, about, readReferrers);
    return listed ?? (await readReferrersTag(this, about, readReferrers));
  }

  async #manifest(
    name: RepositoryName,
    reference: Reference,
    signal: AbortSignal,
  ): Promise<UpstreamManifestBytes> {
    const text = textOf(reference);
    const what = manifestOf(name, text);
    const ask = { method: 'GET', headers: { accept }, what, signal } as const;
    const answer = await this.#ask(name, `manifests/${text}`, ask);
    if (answer.response.statusCode !== 200) throw await this.#exchange.failure(answer, what);
    const bytes = await this.#exchange.smallBody(answer.response, answer.url, what, maxManifestSize + 1);
    if (bytes.byteLength > maxManifestSize)
      throw new UpstreamError('unknown', `${what} at ${this.host} has more than ${maxManifestSize} bytes`);
    const mediaType = storedTypeOrError(bytes);
    // Its digest is not that of its bytes.
    if (typeof mediaType === 'string') assertSupported(mediaType, what, this.host);
    const named = reference.kind === 'digest' ? reference.digest : digestHeader(answer);
    const digest = digestOf(bytes, named && digestParts(named).algorithm);
    if (named !== undefined && digest !== named)
      throw new UpstreamError('unavailable', `${this.host} sent bytes of another digest for ${what}`);
    if (typeof mediaType !== 'string') throw unreadable(mediaType, named, what, this.host);
    return { digest, mediaType, size: bytes.byteLength, bytes };
  }

  async #openBlob(name: RepositoryName, digest: Digest, range: ByteRange): Promise<OpenedRange> {
    const what = blobOf(name, digest);
    const isWhole = range.start === 0 && range.end === undefined;
    const headers = isWhole ? {} : { range: `bytes=${range.start}-${range.end ?? ''}` };
    return await this.#exchange.retry(async (signal) => {
      const answer = await this.#ask(name, `blobs/${digest}`, { method: 'GET', headers, what, signal });
      return await this.#opened(answer, range, what);
    });
  }

  async #opened(answer: Answer, range: ByteRange, what: string): Promise<OpenedRange> {
    const opened = openRange(answer.response, range);
    if (opened !== undefined) return opened;
    if (![200, 206].includes(answer.response.statusCode ?? 0))
      throw await this.#exchange.failure(answer, what);
    answer.response.destroy();
    throw new UpstreamError('unavailable', `${answer.url.host} does not say which bytes it sends of ${what}`);
  }

  /** Bytes of a blob whose first one was asked for. */
  async #sizeOf(answer: Answer, what: string): Promise<number> {
    const { response } = answer;
    const isEmpty = response.statusCode === 416 && response.headers['content-range'] === 'bytes */0';
    const size = isEmpty ? 0 : (await this.#opened(answer, { start: 0, end: 0 }, what)).size;
    discard(response);
    return size;
  }

  #askList(name: RepositoryName): AskList {
    return async (path, what, limit) =>
      await this.#exchange.retry(async (signal) => {
        const answer = await this.#ask(name, path, { method: 'GET', what, signal });
        if (answer.response.statusCode !== 200) throw await this.#exchange.failure(answer, what);
        const bytes = await this.#exchange.smallBody(answer.response, answer.url, what, limit);
        return { bytes, headers: answer.response.headers };
      });
  }

  /** Asks for something of a repository, and follows redirects. */
  async #ask(
    name: RepositoryName,
    path: string,
    ask: Pick<Ask, 'method' | 'headers' | 'what' | 'signal'>,
  ): Promise<Answer> {
    return await this.#authorized(
      name,
      path,
      async (url, authorization) => await this.#exchange.following(url, { ...ask, authorization }),
    );
  }

  async #authorized(
    name: RepositoryName,
    path: string,
    ask: (url: URL, authorization: string | undefined) => Promise<Answer>,
  ): Promise<Answer> {
    const repository = this.#isDockerHub && !name.includes('/') ? `library/${name}` : name;
    const url = new URL(`${repository}/${path}`, this.#base);
    const scope = `repository:${repository}:pull`;
    const known = this.#authorization.header(scope);
    const answer = await ask(url, known);
    // What it redirects to asks for credentials of its own, if any.
    if (answer.response.statusCode !== 401 || answer.url !== url) return answer;
    discard(answer.response);
    const header = await this.#authorization.answer(answer.response.headers, scope, known);
    return await ask(url, header);
  }
}

function textOf(reference: Reference): string {
  return reference.kind === 'tag' ? reference.tag : reference.digest;
}

function manifestOf(name: RepositoryName, reference: string): string {
  return `manifest ${reference} of ${name}`;
}

function blobOf(name: RepositoryName, digest: Digest): string {
  return `blob ${digest} of ${name}`;
}

function digestHeader({ response }: Answer): Digest | undefined {
  const header = response.headers['docker-content-digest'];
  return typeof header === 'string' ? digestOrUndefined(header) : undefined;
}

/** What a response to HEAD says; undefined if it does not say all. */
function headersOf(answer: Answer): UpstreamManifest | undefined {
  const { 'content-type': type = '', 'content-length': length = '' } = answer.response.headers;
  const digest = digestHeader(answer);
  const mediaType = type.split(';', 1)[0]?.trim().toLowerCase() ?? '';
  if (digest === undefined || !/^[\w.+-]+\/[\w.+-]+$/.test(mediaType) || !/^\d{1,10}$/.test(length))
    return undefined;
  return { digest, mediaType, size: Number(length) };
}

/** A token service that refuses says nothing of what the token is for. OAuth 2.0 has it answer 400 to wrong credentials. */
function withoutToken(error: UpstreamError): UpstreamError {
  return error.kind === 'unknown' ? new UpstreamError('denied', error.message) : error;
}

/** Of its bytes alone, as it will be once they are stored. */
function storedTypeOrError(bytes: Buffer): string | RegistryError {
  try {
    return storedMediaType(bytes);
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
    return error;
  }
}

/** @param digest of the bytes, if the registry has named it: it has these then, and will send no others */
function unreadable(
  cause: RegistryError,
  digest: Digest | undefined,
  what: string,
  host: string,
): UpstreamError {
  const kind = digest === undefined ? 'unavailable' : 'unknown';
  return new UpstreamError(kind, `${host} answered with no manifest for ${what}`, {
    cause,
  });
}

/** @throws UpstreamError unknown: that no repetition helps */
function assertSupported(mediaType: string, what: string, host: string): void {
  if (mediaType === signedManifestType || mediaType === unsignedManifestType)
    throw new UpstreamError(
      'unknown',
      `${what} at ${host} is of Docker's schema 1, which is not supported; push it there again with docker 1.10 or newer`,
    );
}
