import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

/** The offset of an upload and its next Location. */
interface Progress {
  readonly location: string;
  readonly offset: number;
}

/** Milliseconds before a request is repeated. */
const PAUSE = 100;

/** Milliseconds for a request. */
const PATIENCE = 20_000;

/**
 * Uploads blobs in chunks and downloads them (OCI Distribution Spec, "Pushing a blob in chunks"). After a lost
 * connection or an error of the server it asks how far the upload is and goes on from there.
 */
export class ChunkClient {
  /** Requests that brought no answer, or that the server failed. */
  failures = 0;
  readonly #repository: string;
  readonly #failuresAllowed: number;

  /** @param repository its URL, as `http://127.0.0.1:5000/v2/app` */
  constructor(repository: string, { failuresAllowed = 0 } = {}) {
    this.#repository = repository;
    this.#failuresAllowed = failuresAllowed;
  }

  /** @returns the blob's digest, once the registry has it */
  async upload(bytes: Buffer, chunkSize: number): Promise<string> {
    let progress = await this.#begin();
    while (progress.offset < bytes.length) progress = await this.#send(progress, bytes, chunkSize);
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    await this.#finish(progress.location, digest);
    return digest;
  }

  /** @param origin of the server that the registry must send its client to for the bytes */
  async download(digest: string, origin: string): Promise<Buffer> {
    const response = await this.#persist('GET', `${this.#repository}/blobs/${digest}`);
    assert.equal(response.status, 307, await response.text());
    const location = response.headers.get('location') ?? '';
    assert.equal(new URL(location).origin, origin);
    const stored = await this.#persist('GET', location);
    assert.equal(stored.status, 200);
    return Buffer.from(await stored.arrayBuffer());
  }

  async #begin(): Promise<Progress> {
    const response = await this.#persist('POST', `${this.#repository}/blobs/uploads/`);
    assert.equal(response.status, 202, await response.text());
    return { location: this.#locationOf(response), offset: 0 };
  }

  /** Sends one chunk, or finds out what has become of it. */
  async #send({ location, offset }: Progress, bytes: Buffer, chunkSize: number): Promise<Progress> {
    const chunk = bytes.subarray(offset, offset + chunkSize);
    const end = offset + chunk.length;
    const response = await this.#try('PATCH', location, {
      body: new Uint8Array(chunk),
      headers: { 'content-type': 'application/octet-stream', 'content-range': `${offset}-${end - 1}` },
    });
    if (response === undefined) return await this.#ask(location);
    const progress = this.#progressOf(response);
    // An attempt that got no answer may have been taken after the question how far the upload is.
    if (response.status === 416 && this.#failuresAllowed > 0) return progress;
    assert.equal(response.status, 202, await response.text());
    assert.equal(progress.offset, end);
    return progress;
  }

  async #ask(location: string): Promise<Progress> {
    const response = await this.#persist('GET', location);
    assert.equal(response.status, 204, await response.text());
    return this.#progressOf(response);
  }

  async #finish(location: string, digest: string): Promise<void> {
    const url = new URL(location);
    url.searchParams.set('digest', digest);
    const response = await this.#persist('PUT', url.href);
    assert.equal(response.status, 201, await response.text());
    assert.equal(response.headers.get('docker-content-digest'), digest);
  }

  /** Repeats a request until it is answered. */
  async #persist(method: string, url: string): Promise<Response> {
    for (;;) {
      const response = await this.#try(method, url);
      if (response !== undefined) return response;
    }
  }

  /** @returns undefined after a failure that is allowed */
  async #try(method: string, url: string, init: RequestInit = {}): Promise<Response | undefined> {
    const request = { redirect: 'manual', signal: AbortSignal.timeout(PATIENCE), ...init, method } as const;
    const outcome = await fetch(url, request).catch((error: unknown) => error);
    if (outcome instanceof Response && outcome.status < 500) return outcome;
    this.failures++;
    const why = outcome instanceof Response ? `${outcome.status} ${await outcome.text()}` : outcome;
    if (this.failures > this.#failuresAllowed) throw new Error(`${method} ${url} failed`, { cause: why });
    await delay(PAUSE);
    return undefined;
  }

  #locationOf(response: Response): string {
    return new URL(response.headers.get('location') ?? '', this.#repository).href;
  }

  /** `Range` ends with the last byte, and says `0-0` of no byte as well as of one; here no upload ever has one. */
  #progressOf(response: Response): Progress {
    const last = Number(/^0-(\d+)$/.exec(response.headers.get('range') ?? '')?.[1]);
    return { location: this.#locationOf(response), offset: last === 0 ? 0 : last + 1 };
  }
}
