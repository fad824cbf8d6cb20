import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { send, type Ask, type Reply } from '../functions/client.ts';
import type { Random } from './random.ts';

/** The registry failed, or the connection did: whether the request took effect is not known. */
export class Unanswered extends Error {
  override readonly name = 'Unanswered';
}

/** A client that sends each request to another of several instances. */
export class ManyInstances {
  readonly #bases: () => readonly string[];
  readonly #random: Random;
  /** Whether failures of the registry are expected. */
  readonly #faulty: boolean;
  /** Keeps its connections, as real clients do. */
  readonly #agent = new Agent({ keepAlive: true });

  constructor(bases: () => readonly string[], random: Random, faulty: boolean) {
    this.#bases = bases;
    this.#random = random;
    this.#faulty = faulty;
  }

  /**
   * @param statuses that may be answered
   * @throws Unanswered where failures are expected
   */
  async send(ask: Ask, ...statuses: readonly number[]): Promise<Reply> {
    const base = this.#random.one(this.#bases());
    const reply = await this.#sendTo(base, ask);
    if (this.#faulty && reply.status >= 500) {
      assertErrors(reply);
      throw new Unanswered(`${reply.status}`);
    }
    assert.ok(
      statuses.includes(reply.status),
      `${ask.method} ${ask.path} answered ${reply.status}, not ${statuses.join(' or ')}: ${reply.body.toString()}`,
    );
    return reply;
  }

  /** Closes its connections. */
  close(): void {
    this.#agent.destroy();
  }

  /** The path of the next request of an upload, whichever instance is to take it. */
  next(reply: Reply): string {
    const { pathname, search } = new URL(reply.headers.location ?? assert.fail('no Location'), reply.url);
    return pathname + search;
  }

  async #sendTo(base: string, ask: Ask): Promise<Reply> {
    try {
      return await send(base, ask, this.#agent);
    } catch (cause) {
      if (this.#faulty) throw new Unanswered('the connection was cut', { cause });
      throw cause;
    }
  }
}

function assertErrors({ headers, body }: Reply): void {
  assert.equal(headers['content-type'], 'application/json');
  const { errors } = JSON.parse(body.toString()) as { errors: { code: string; message: string }[] };
  assert.ok(errors.length > 0 && errors.every(({ code, message }) => code !== '' && message !== ''));
}
