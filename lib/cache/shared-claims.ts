import type { CopyClaim, CopyClaims } from './copy-claims.ts';

/*
 * Workers of a server ask their primary process which of them copies a blob, so that a machine makes one download of it. The others wait,
 * and find the blob in the bucket then.
 */

/** What a worker sends to its primary process. */
export type ClaimRequest =
  | {
      readonly copies: 'begin';
      /** Chosen by the worker. */
      readonly id: number;
      /** Of the blob. */
      readonly key: string;
    }
  | { readonly copies: 'opened'; readonly key: string; readonly size: number }
  | { readonly copies: 'end'; readonly key: string };

/** What it is told, any number of times `opened` and then `granted`. */
export type ClaimResponse =
  | { readonly copies: 'opened'; readonly id: number; readonly size: number }
  | { readonly copies: 'granted'; readonly id: number; readonly hasWaited: boolean };

export function isClaimRequest(message: unknown): message is ClaimRequest {
  return typeof message === 'object' && message !== null && 'copies' in message;
}

interface Waiting {
  readonly opened: (size: number) => void;
  readonly granted: (hasWaited: boolean) => void;
}

/** In a worker. */
export class SharedClaims implements CopyClaims {
  readonly #send: (request: ClaimRequest) => void;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;

  constructor(send: (request: ClaimRequest) => void) {
    this.#send = send;
  }

  /** Takes a message of the primary process. */
  receive(message: ClaimResponse): void {
    const waiting = this.#waiting.get(message.id);
    if (message.copies === 'opened') waiting?.opened(message.size);
    else waiting?.granted(message.hasWaited);
  }

  async take(key: string, opened: (size: number) => void): Promise<CopyClaim> {
    const id = ++this.#lastId;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#waiting.set(id, { opened, granted: resolve });
    this.#send({ copies: 'begin', id, key });
    const hasWaited = await promise;
    this.#waiting.delete(id);
    return {
      hasWaited,
      opened: (size) => {
        this.#send({ copies: 'opened', key, size });
      },
      end: () => {
        this.#send({ copies: 'end', key });
      },
    };
  }
}

/** In a worker. */
export function claimsOfAllWorkers(): CopyClaims {
  const shared = new SharedClaims((request) => process.send?.(request));
  process.on('message', (message) => {
    if (isClaimRequest(message)) shared.receive(message as unknown as ClaimResponse);
  });
  return shared;
}

interface Claim<Worker> {
  holder: Worker;
  /** Of the blob, once the holder knows it. */
  size?: number | undefined;
  readonly waiting: { readonly worker: Worker; readonly id: number }[];
}

/** In the primary process: the claims of all workers. @typeParam Worker identifies one */
export class ClaimKeeper<Worker extends object> {
  readonly #respond: (worker: Worker, response: ClaimResponse) => void;
  /** By the key of the blob. */
  readonly #claims = new Map<string, Claim<Worker>>();

  constructor(respond: (worker: Worker, response: ClaimResponse) => void) {
    this.#respond = respond;
  }

  receive(worker: Worker, request: ClaimRequest): void {
    const claim = this.#claims.get(request.key);
    if (request.copies === 'begin') this.#begin(worker, request, claim);
    else if (claim?.holder !== worker) return;
    else if (request.copies === 'end') this.#pass(request.key, claim);
    else {
      claim.size = request.size;
      for (const waiting of claim.waiting) this.#tell(waiting, request.size);
    }
  }

  /** Gives the claims of a worker that has ended to others. */
  forget(worker: Worker): void {
    for (const [key, claim] of this.#claims) {
      const others = claim.waiting.filter((one) => one.worker !== worker);
      claim.waiting.splice(0, claim.waiting.length, ...others);
      if (claim.holder === worker) this.#pass(key, claim);
    }
  }

  #begin(
    worker: Worker,
    { id, key }: { readonly id: number; readonly key: string },
    claim: Claim<Worker> | undefined,
  ): void {
    if (claim === undefined) {
      this.#claims.set(key, { holder: worker, waiting: [] });
      this.#respond(worker, { copies: 'granted', id, hasWaited: false });
      return;
    }
    claim.waiting.push({ worker, id });
    if (claim.size !== undefined) this.#tell({ worker, id }, claim.size);
  }

  #pass(key: string, claim: Claim<Worker>): void {
    const next = claim.waiting.shift();
    if (next === undefined) {
      this.#claims.delete(key);
      return;
    }
    claim.holder = next.worker;
    claim.size = undefined;
    this.#respond(next.worker, { copies: 'granted', id: next.id, hasWaited: true });
  }

  #tell({ worker, id }: { readonly worker: Worker; readonly id: number }, size: number): void {
    this.#respond(worker, { copies: 'opened', id, size });
  }
}
