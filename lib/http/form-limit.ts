import { ConcurrencyLimit } from '../concurrency/concurrency-limit.ts';
import { share } from '../concurrency/share.ts';
import { LimitPerKey } from '../concurrency/limit-per-key.ts';

/** Forms of the token service that are received at once, of 64 KiB at most, and forms that wait. */
const [atOnce, waiting] = [256, 500];

/** The same of one client: one that sends its forms slowly leaves room for those of others. */
const [ofOneAtOnce, ofOneWaiting] = [64, 100];

/** Limits the forms that are received, for each client and in all. */
export class FormLimit {
  /** Of all clients. */
  readonly all: ConcurrencyLimit;
  readonly #ofClients: LimitPerKey;

  /** @param workers processes that share the limits */
  constructor({
    timeoutMs,
    workers = 1,
  }: {
    readonly timeoutMs: number;
    readonly workers?: number | undefined;
  }) {
    const part = (total: number) => share(total, workers);
    this.all = new ConcurrencyLimit(part(atOnce), { queueLimit: part(waiting), timeoutMs });
    this.#ofClients = new LimitPerKey({
      atOnce: part(ofOneAtOnce),
      waiting: part(ofOneWaiting),
      total: part(atOnce + waiting),
      timeoutMs,
    });
  }

  /** @param client of `clientKey` @throws RegistryError BUSY */
  async run<T>(client: string, task: () => Promise<T>): Promise<T> {
    return await this.#ofClients.run(client, async () => await this.all.run(task));
  }
}
