import { Agent } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import {
  contentRange,
  digestOf,
  imageType,
  indexType,
  send,
  withDigest,
  type Ask,
  type Reply,
} from '../../functions/client.ts';
import type { Random } from '../random.ts';
import type { Content, Image } from './images.ts';
import type { Outcome } from './places.ts';

/** An instance of the registry, as a client sees it. */
export interface Endpoint {
  readonly url: string;
  /** Aborted when it is stopped or killed: no client waits for it any longer. */
  readonly lost: AbortSignal;
}

/** What clients did. */
export interface Counts {
  requests: number;
  /** Requests that were sent again, after a 5xx or without an answer. */
  retries: number;
  /** Pushes that began again from the start, since something was missing that had been there. */
  pushedAgain: number;
}

export interface ClientOptions {
  /** The delay of collections in milliseconds. */
  readonly delayMs: number;
  /** Whether instances are killed and stopped, and the bucket fails. Elsewhere an error is a fault. */
  readonly isHarmed: boolean;
}

/** The registry has failed a client after all its attempts. */
export class ClientFailed extends Error {
  override readonly name = 'ClientFailed';
}

/** No answer, or a 5xx: the request may have had an effect, or may have it yet. */
class Unanswered extends Error {
  override readonly name = 'Unanswered';
  /** Whether its instance was stopped or killed, which says nothing of the registry. */
  readonly isLost: boolean;

  constructor(message: string, { cause, isLost = false }: { cause?: unknown; isLost?: boolean } = {}) {
    super(message, { cause });
    this.isLost = isLost;
  }
}

/** As docker and containerd try a request, or the upload of a blob. */
const attempts = 5;

/** More of them for a client that is unlucky: on a busy machine a request may outlive one instance after the other. */
const lostAttempts = 25;

/** Of a whole push. */
const pushAttempts = 6;

/** By how much a delay may be shorter than it says: times of objects have whole seconds, and are compared with another clock. */
const toleranceMs = 1500;

/** Longer than a writer waits for a deletion. */
const answerMs = 30_000;

const acceptedTypes = {
  accept: [imageType, indexType, 'application/vnd.docker.distribution.manifest.v2+json'].join(', '),
};

export interface PushOptions {
  /** A repository that blobs are mounted from. */
  readonly from?: string | undefined;
  /** Milliseconds between the look for blobs and the manifest. */
  readonly pauseMs?: number | undefined;
}

/** A client that pushes and pulls as docker, containerd and podman do, each request to another instance. */
export class RegistryClient {
  readonly #endpoints: () => readonly Endpoint[];
  readonly #random: Random;
  readonly #counts: Counts;
  readonly #options: ClientOptions;
  readonly #agent = new Agent({ keepAlive: true });
  #leftBehind = false;
  /** When the push that is under way has begun to send what was accepted, by digest: of `performance.now()`. */
  readonly #sent = new Map<string, number>();

  constructor(endpoints: () => readonly Endpoint[], random: Random, counts: Counts, options: ClientOptions) {
    this.#endpoints = endpoints;
    this.#random = random;
    this.#counts = counts;
    this.#options = options;
  }

  close(): void {
    this.#agent.destroy();
  }

  /**
   * Pushes all that an image needs, then the image.
   * @param reference its tag or digest
   * @throws ClientFailed
   */
  async push(
    repository: string,
    image: Image,
    reference: string,
    options: PushOptions = {},
  ): Promise<Outcome> {
    this.#leftBehind = false;
    this.#sent.clear();
    const began = performance.now();
    const refused: string[] = [];
    for (let attempt = 1; ; attempt++) {
      // A blob that waits longer for its manifest than the delay may go again and again.
      const { pauseMs, ...rest } = options;
      const reply = await this.#pushOnce(
        repository,
        image,
        reference,
        attempt === 1 ? { ...rest, pauseMs } : rest,
      );
      if (reply.status === 201) return { leftBehind: this.#leftBehind };
      // What was there has been deleted meanwhile: a client begins again.
      const isMissing = reply.status === 404 && reply.body.includes('MANIFEST_BLOB_UNKNOWN');
      if (isMissing) refused.push(this.#describeMissing(repository, reply, began));
      if (!isMissing || attempt === pushAttempts)
        throw new ClientFailed(
          `a push of ${repository}:${reference} was answered ${describe(reply)}\n${refused.join('\n')}`,
        );
      this.#counts.pushedAgain++;
      await this.#wait(2 ** attempt);
    }
  }

  /**
   * Says what a manifest lacked, and how long before the answer the client had sent it.
   * @throws ClientFailed for what was sent in less than the delay: it is newer than a mark that could take it so soon
   */
  #describeMissing(repository: string, reply: Reply, began: number): string {
    const now = performance.now();
    const { errors } = JSON.parse(reply.body.toString()) as {
      errors: { detail?: { digest?: string } | { digest?: string }[] }[];
    };
    const missing = errors.flatMap(({ detail = [] }) => detail).flatMap(({ digest = [] }) => digest);
    const sent = missing.map((digest) => {
      const ageMs = now - (this.#sent.get(digest) ?? -Infinity);
      if (ageMs < this.#options.delayMs - toleranceMs)
        throw new ClientFailed(
          `${digest} is gone from ${repository} ${Math.round(ageMs)} ms after it was sent`,
        );
      return `${digest}, ${Number.isFinite(ageMs) ? `sent ${Math.round(ageMs)} ms before` : 'which was found'}`;
    });
    return `after ${Math.round(now - began)} ms it lacked ${sent.join('; ')}`;
  }

  /** @returns the answer to its manifest, or to that of a child */
  async #pushOnce(repository: string, image: Image, reference: string, options: PushOptions): Promise<Reply> {
    for (const child of image.children) {
      const reply = await this.#pushOnce(repository, child, child.digest, options);
      if (reply.status !== 201) return reply;
    }
    for (const blob of image.blobs) await this.#pushBlob(repository, blob, options.from);
    if (options.pauseMs !== undefined) await delay(options.pauseMs);
    const path = `/v2/${repository}/manifests/${reference}`;
    const began = performance.now();
    const reply = await this.#persist({
      method: 'PUT',
      path,
      headers: { 'content-type': image.type },
      body: image.bytes,
    });
    if (reply.status === 201) this.#sent.set(image.digest, began);
    return reply;
  }

  async #pushBlob(repository: string, blob: Content, from: string | undefined): Promise<void> {
    let lost = 0;
    for (let attempt = 1; ; attempt++) {
      try {
        const reply = await this.#tryBlob(repository, blob, from);
        if (reply.status === 201) return;
        // The session is gone with what it had, since requests of it were lost.
        if (![400, 404, 416].includes(reply.status) || attempt === attempts)
          throw new ClientFailed(
            `an upload of ${blob.digest} to ${repository} was answered ${describe(reply)}`,
          );
      } catch (error) {
        if (!(error instanceof Unanswered)) throw error;
        if (error.isLost && lost++ < lostAttempts) attempt--;
        else if (attempt === attempts) throw asFailed(error);
      }
      this.#counts.retries++;
      await this.#wait();
    }
  }

  /** @returns 201 if it is there, or the answer to the upload */
  async #tryBlob(
    repository: string,
    { digest, bytes }: Content,
    from: string | undefined,
  ): Promise<Pick<Reply, 'status' | 'body'>> {
    const head = await this.#once({ method: 'HEAD', path: `/v2/${repository}/blobs/${digest}` });
    if (head.status === 200) return { status: 201, body: head.body };
    if (head.status !== 404) return head;
    const uploads = `/v2/${repository}/blobs/uploads/`;
    const mount = `?mount=${digest}&from=${encodeURIComponent(from ?? '')}`;
    const asked =
      from === undefined ? undefined : await this.#once({ method: 'POST', path: uploads + mount });
    // Mounted: its link may be as old as that of any blob that is found.
    if (asked !== undefined && asked.status !== 202) return asked;
    const began = performance.now();
    const reply = await this.#upload(uploads, { digest, bytes }, asked);
    if (reply.status === 201) this.#sent.set(digest, began);
    return reply;
  }

  /** @param asked the answer that has begun it, if one has */
  async #upload(uploads: string, { digest, bytes }: Content, asked: Reply | undefined): Promise<Reply> {
    if (asked === undefined && this.#random.onceIn(5))
      return await this.#once({ method: 'POST', path: `${uploads}?digest=${digest}`, body: bytes });
    const begun = asked ?? (await this.#once({ method: 'POST', path: uploads }));
    if (begun.status !== 202) return begun;
    if (this.#random.onceIn(3))
      return await this.#once({ method: 'PUT', path: withDigest(next(begun), digest), body: bytes });
    const half = this.#random.onceIn(4) ? Math.ceil(bytes.length / 2) : bytes.length;
    let location = next(begun);
    for (const [start, end] of [
      [0, half],
      [half, bytes.length],
    ] as const) {
      if (start === end) continue;
      const body = bytes.subarray(start, end);
      const isChunk = half < bytes.length;
      const sent = await this.#once({
        method: 'PATCH',
        path: location,
        body,
        ...(isChunk ? { headers: contentRange(start, body) } : { chunked: true }),
      });
      if (sent.status !== 202) return sent;
      location = next(sent);
    }
    return await this.#once({ method: 'PUT', path: withDigest(location, digest) });
  }

  /**
   * Pulls an image by its tag or digest, and hashes all of it.
   * @returns what is wrong with it; undefined if nothing is
   * @throws ClientFailed
   */
  async pull(repository: string, image: Image, reference = image.digest): Promise<string | undefined> {
    const path = `/v2/${repository}/manifests/${reference}`;
    if (this.#random.onceIn(3)) {
      const head = await this.#persist({ method: 'HEAD', path, headers: acceptedTypes });
      if (head.status !== 200) return `HEAD ${path} was answered ${head.status}`;
    }
    const reply = await this.#persist({ method: 'GET', path, headers: acceptedTypes });
    if (reply.status !== 200) return `GET ${path} was answered ${describe(reply)}`;
    if (digestOf(reply.body) !== image.digest)
      return `${path} is ${digestOf(reply.body)}, not ${image.digest}`;
    for (const child of image.children) {
      const wrong = await this.pull(repository, child);
      if (wrong !== undefined) return wrong;
    }
    for (const { digest } of image.blobs) {
      const blob = await this.#persist({ method: 'GET', path: `/v2/${repository}/blobs/${digest}` });
      if (blob.status !== 200) return `blob ${digest} of ${repository} was answered ${describe(blob)}`;
      if (digestOf(blob.body) !== digest) return `blob ${digest} of ${repository} has other bytes`;
    }
    return undefined;
  }

  /** The digests of the referrers of a manifest. */
  async referrers(repository: string, digest: string): Promise<ReadonlySet<string>> {
    const reply = await this.#mustGet(`/v2/${repository}/referrers/${digest}`);
    const { manifests } = JSON.parse(reply.body.toString()) as { manifests: { digest: string }[] };
    return new Set(manifests.map((one) => one.digest));
  }

  async tags(repository: string): Promise<readonly string[]> {
    const reply = await this.#mustGet(`/v2/${repository}/tags/list`, 404);
    const { tags } = JSON.parse(reply.body.toString()) as { tags?: string[] | null };
    return tags ?? [];
  }

  /** What a tag points at. */
  async resolve(repository: string, tag: string): Promise<string | undefined> {
    const path = `/v2/${repository}/manifests/${tag}`;
    const reply = await this.#persist({ method: 'HEAD', path, headers: acceptedTypes });
    return reply.status === 200 ? reply.headers['docker-content-digest']?.toString() : undefined;
  }

  /** Deletes a tag or manifest. @returns also whether it was there */
  async delete(repository: string, reference: string): Promise<Outcome & { readonly wasThere: boolean }> {
    this.#leftBehind = false;
    const path = `/v2/${repository}/manifests/${reference}`;
    const reply = await this.#persist({ method: 'DELETE', path });
    if (reply.status !== 202 && reply.status !== 404)
      throw new ClientFailed(`DELETE ${path} was answered ${describe(reply)}`);
    return { leftBehind: this.#leftBehind, wasThere: reply.status === 202 };
  }

  async #mustGet(path: string, ...more: readonly number[]): Promise<Reply> {
    const reply = await this.#persist({ method: 'GET', path });
    if (reply.status === 200 || more.includes(reply.status)) return reply;
    throw new ClientFailed(`GET ${path} was answered ${describe(reply)}`);
  }

  /** A request that may be sent again as it is. */
  async #persist(ask: Ask): Promise<Reply> {
    let lost = 0;
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#once(ask);
      } catch (error) {
        if (!(error instanceof Unanswered)) throw error;
        if (error.isLost && lost++ < lostAttempts) attempt--;
        else if (attempt === attempts) throw asFailed(error);
        this.#counts.retries++;
        await this.#wait();
      }
    }
  }

  /** @throws Unanswered */
  async #once(ask: Ask): Promise<Reply> {
    const { method, path } = ask;
    const { url, lost } = this.#random.one(this.#endpoints());
    this.#counts.requests++;
    const began = performance.now();
    try {
      const reply = await sooner(send(url, ask, this.#agent), lost);
      if (reply.status < 500) return reply;
      const ms = Math.round(performance.now() - began);
      const what = `${method} ${path} was answered ${describe(reply)} after ${ms} ms`;
      // Only what takes longer than the waits may be refused because of a collection.
      if (!this.#options.isHarmed && ms < this.#options.delayMs) throw new ClientFailed(what);
      throw new Unanswered(what);
    } catch (cause) {
      if (cause instanceof ClientFailed) throw cause;
      // What else is left behind changes no tag and takes no manifest.
      if (['PUT', 'DELETE'].includes(method) && path.includes('/manifests/')) this.#leftBehind = true;
      if (cause instanceof Unanswered) throw cause;
      throw new Unanswered(`${method} ${path} had no answer from ${url}`, { cause, isLost: lost.aborted });
    }
  }

  /** Clients wait for seconds, and for minutes in the end. */
  async #wait(times = 1): Promise<void> {
    await delay(times * (50 + this.#random.below(300)));
  }
}

/** A promise, unless a signal or the time comes first. */
async function sooner<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: ended, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    reject(new Error(`no answer in ${answerMs / 1000} s`));
  }, answerMs);
  const onAbort = () => {
    reject(new Error('the instance was stopped or killed'));
  };
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    return await Promise.race([promise, ended]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}

function next(reply: Reply): string {
  const { location } = reply.headers;
  if (location === undefined) throw new ClientFailed(`no Location in the answer of ${reply.url}`);
  const { pathname, search } = new URL(location, reply.url);
  return pathname + search;
}

function asFailed(error: unknown): unknown {
  return error instanceof Unanswered ? new ClientFailed(error.message, { cause: error }) : error;
}

function describe({ status, body }: Pick<Reply, 'status' | 'body'>): string {
  return `${status}: ${body.toString().slice(0, 500)}`;
}
